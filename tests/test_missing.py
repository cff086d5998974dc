"""Mechanisms of missingness: the exact rate, the right dependence, and nothing but (data, seed)."""

import numpy as np
import pytest

from elision.data.missing import STRENGTH, depends_on, remove
from elision.errors import InputError
from elision.registries import MECHANISMS

N = 400
CODES = np.arange(N) % 5 - 1  # one in five has no label


def arrays(seed: int = 0, n: int = N) -> dict[str, np.ndarray]:
    """Three independent modalities, some samples of which lack one by themselves."""
    rng = np.random.default_rng([seed, 99])
    values = {"a": rng.normal(3, 5, (n, 4)), "b": rng.normal(size=(n, 2, 3)), "c": rng.exponential(size=(n, 1))}
    values["a"][: n // 10] = np.nan
    values["b"][n // 20 : n // 5] = np.nan
    return values


def shown(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {m: ~np.isnan(a.reshape(len(a), -1)).all(1) for m, a in values.items()}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("missing", ["a", "b", "c"])
@pytest.mark.parametrize("rate", [0.0, 0.03, 0.5, 0.95, 1.0])
def test_every_mechanism_hits_exactly_the_rate_and_leaves_what_lacks_by_itself(mechanism, missing, rate):
    values = arrays()
    observed = shown(values)
    kept = remove(observed, missing, rate, 7, MECHANISMS[mechanism](values, CODES, missing, 7))
    can = observed[missing] & (sum(mask.astype(int) for mask in observed.values()) >= 2)
    lost = observed[missing] & ~kept[missing]
    assert lost.sum() == round(rate * can.sum()) and not (lost & ~can).any()
    for m in observed:
        if m != missing:
            np.testing.assert_array_equal(kept[m], observed[m])
    assert (np.any(list(kept.values()), axis=0) == np.any(list(observed.values()), axis=0)).all()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_mechanism_is_a_function_of_data_and_seed(mechanism):
    def kept(data: int, seed: int) -> list[bool]:
        values = arrays(data)
        return remove(shown(values), "c", 0.5, seed, MECHANISMS[mechanism](values, CODES, "c", seed))["c"].tolist()

    np.random.seed(0)
    first = kept(0, 1)
    np.random.seed(1)
    assert kept(0, 1) == first
    assert kept(0, 2) != first
    assert (kept(1, 1) == first) == (mechanism in ("mcar", "mnar-label"))  # the values do not count


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_higher_rate_hits_the_same_samples_and_more(mechanism):
    values = arrays()
    drive = MECHANISMS[mechanism](values, CODES, "b", 3)
    kept = [remove(shown(values), "b", rate, 3, drive)["b"] for rate in (0.1, 0.4, 0.8)]
    assert not (kept[1] & ~kept[0]).any() and not (kept[2] & ~kept[1]).any()


def correlation(x: np.ndarray, hit: np.ndarray) -> float:
    return float(np.corrcoef(x, hit)[0, 1])


@pytest.mark.parametrize("seed", range(3))
def test_who_is_hit_depends_on_what_the_mechanism_says_and_on_nothing_else(seed):
    """c is one column: MNAR hits the large values of c; MAR does not see them but the other modalities.

    A correlation of 4000 independent pairs is within 4 / sqrt(4000) = 0.063 of 0.
    """
    values = arrays(seed, 5000)
    rows = shown(values)["a"] & shown(values)["b"]
    values = {m: a[rows] for m, a in values.items()}  # 4000, complete
    codes = np.random.default_rng(seed).integers(-1, 4, len(values["c"]))
    hit = {
        name: ~remove(shown(values), "c", 0.5, seed, mechanism(values, codes, "c", seed))["c"]
        for name, mechanism in MECHANISMS.items()
    }
    c = values["c"][:, 0]
    others = depends_on(np.concatenate([values["a"], values["b"].reshape(len(c), -1)], axis=1), seed)
    table = {name: (correlation(c, h), correlation(others, h)) for name, h in hit.items()}
    assert abs(table["mcar"][0]) < 0.063 and abs(table["mcar"][1]) < 0.063
    assert abs(table["mar"][0]) < 0.063 and table["mar"][1] > 0.4
    assert table["mnar"][0] > 0.4 and abs(table["mnar"][1]) < 0.063
    assert abs(table["mnar-label"][0]) < 0.063 and abs(table["mnar-label"][1]) < 0.063
    # classes are hit by their draws, and samples without a label, 800 of the 4000, as on average
    rates = {name: [h[codes == code].mean() for code in range(-1, 4)] for name, h in hit.items()}
    assert np.ptp(rates["mnar-label"][1:]) > 0.3 and abs(rates["mnar-label"][0] - 0.5) < 0.15
    assert all(np.ptp(rates[name]) < 0.12 for name in ("mcar", "mar", "mnar"))


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_the_probability_is_logistic_in_the_drive_with_the_intercept_of_the_rate(rate):
    """Two kinds of sample, drive -1 and +1: each kind's share of hits over many seeds, against the equation."""
    drive = np.tile([-1.0, 1.0], 150)
    observed = {"a": np.ones(300, bool), "b": np.ones(300, bool)}
    hit = np.mean([~remove(observed, "a", rate, seed, drive)["a"] for seed in range(300)], axis=0)
    shares = hit[::2].mean(), hit[1::2].mean()
    low, high = -30.0, 30.0  # bisection for c with mean sigmoid(drive + c) = rate
    for _ in range(80):
        c = (low + high) / 2
        mean = (1 / (1 + np.exp(1 - c)) + 1 / (1 + np.exp(-1 - c))) / 2
        low, high = (c, high) if mean < rate else (low, c)
    wanted = 1 / (1 + np.exp(1 - c)), 1 / (1 + np.exp(-1 - c))
    # 45 000 draws a kind: deviation at most 0.5 / sqrt(45000) = 0.0024; the exact count bends c by O(1/300)
    np.testing.assert_allclose(shares, wanted, atol=0.012)


def test_a_drive_is_standardised_whatever_the_scale():
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    np.testing.assert_allclose(depends_on(x, 0), STRENGTH * (x - x.mean()) / x.std(), atol=1e-12)
    for scaled in (1e-200 * x, 1e200 * x, 3 + 1e-3 * x):
        np.testing.assert_allclose(depends_on(scaled, 0), depends_on(x, 0), atol=1e-9)
    np.testing.assert_allclose(depends_on(x, 0, strength=-0.5), depends_on(x, 0) * -0.25, atol=1e-12)
    many = rng.normal(size=(100, 7)) * np.logspace(-5, 5, 7)
    np.testing.assert_allclose(depends_on(many, 1).std(), STRENGTH)
    np.testing.assert_allclose(depends_on(many * 10, 1), depends_on(many, 1), atol=1e-9)
    assert abs(correlation(depends_on(many, 1), depends_on(many, 2))) < 0.99  # another direction


def test_blank_numbers_count_as_the_mean_and_missing_rows_drive_nothing():
    x = np.array([[1.0, 5], [3, np.nan], [np.nan, np.nan], [5, 7]])
    drive = depends_on(x, 0)
    assert drive[2] == 0
    np.testing.assert_allclose(drive[[0, 1, 3]], depends_on(np.array([[1.0, 5], [3, 6], [5, 7]]), 0), atol=1e-12)


@pytest.mark.parametrize("values", [np.full(5, 3.7), np.full((5, 2), np.nan), np.full(5, 1e300)], ids=str)
def test_what_does_not_vary_drives_nothing(values):
    assert depends_on(values, 0).tolist() == [0] * 5


@pytest.mark.parametrize("mechanism", ["mar", "mnar", "mnar-label"])
def test_a_mechanism_that_depends_on_values_needs_one_modality_by_name(mechanism):
    with pytest.raises(InputError, match="unknown modality 'any': the data has a, b, c; which one"):
        MECHANISMS[mechanism](arrays(), CODES, "any", 0)
    with pytest.raises(InputError, match="unknown modality 'smell'"):
        MECHANISMS[mechanism](arrays(), CODES, "smell", 0)
    with pytest.raises(InputError, match="'a' is the only modality"):
        MECHANISMS[mechanism]({"a": np.ones((3, 1))}, CODES[:3], "a", 0)


@pytest.mark.parametrize("drive", [np.zeros(3), np.zeros((4, 1)), np.array([0, 1, np.nan, 2])], ids=str)
def test_a_drive_of_another_form_is_refused(drive):
    with pytest.raises(InputError, match=r"expected \(4,\), a finite number per sample"):
        remove({"a": np.ones(4, bool), "b": np.ones(4, bool)}, "a", 0.5, 0, drive)
