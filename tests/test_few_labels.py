"""Labels that go missing, and what a comparison sets beside the methods then."""

import numpy as np
import pandas as pd
import pytest

from elision.data import load
from elision.data.missing import hide_labels
from elision.data.partition import Partition, Removal
from elision.errors import InputError
from elision.inputs import Samples
from elision.study.compare import Comparison, plan_comparison
from elision.study.few_labels import FLOOR, fit_scikit, labelled_only
from elision.study.on_arrays import by_estimator
from elision.study.run import LABEL_ONLY, RIVALS

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


def table(folder, n=120, names=("a", "b")):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    columns = {f"{m}.{i}": rng.normal(size=n) + 3 * (y == i) for m in names for i in range(3)}
    path = folder / "few.csv"
    pd.DataFrame({"label": np.array(["u", "v", "w"])[y], **columns}).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9, 1.0])
def test_each_class_loses_the_share_and_keeps_two_and_fewer_are_among_more(rate):
    codes = np.random.default_rng(1).integers(-1, 3, 200)
    hidden = hide_labels(codes, rate, seed=4)
    assert (hidden[hidden >= 0] == codes[hidden >= 0]).all()
    for code in range(3):
        n = (codes == code).sum()
        assert (hidden == code).sum() == max(round((1 - rate) * n), 2)
    more = hide_labels(codes, rate / 2, seed=4)
    assert (more[hidden >= 0] >= 0).all()
    assert rate in (0, 1) or not np.array_equal(hidden, hide_labels(codes, rate, seed=5))


def test_a_partition_without_labels_has_no_validation_samples_and_hides_none_of_the_test_samples(tmp_path):
    data = load(table(tmp_path))
    whole, few = Partition.of(data, 0), Partition.of(data, 0, removal=Removal("labels", 0.9))
    assert few.test.tolist() == whole.test.tolist() and (few.codes[few.test] == data.codes[few.test]).all()
    assert sorted(few.train) == sorted([*whole.train, *whole.validation]) and not len(few.validation)
    assert (few.codes[few.train] >= 0).sum() == 3 * round(0.1 * len(few.train) / 3)
    assert all(mask.all() for mask in few.observed.values())
    few.check(validated=False)
    with pytest.raises(InputError, match="no labelled sample is left for validation"):
        few.check()


def test_the_plan_sets_rivals_beside_the_methods_in_columns_of_labels_alone(tmp_path):
    path = table(tmp_path)
    plan = plan_comparison(Comparison(path, ("mle",), unlabelled=(0.5, 0.9), seeds=1))
    assert {(run.method, run.missing, run.rate) for run in plan.runs} == {
        (method, "labels", rate) for method in ("mle", *RIVALS) for rate in (0.5, 0.9)
    }
    both = plan_comparison(Comparison(path, ("mle",), missing=("a",), rates=(0.5,), unlabelled=(0.5,), seeds=1))
    assert {(run.method, run.missing) for run in both.runs} == {
        ("mle", "a"), *((method, "labels") for method in ("mle", *RIVALS))
    }  # fmt: skip
    assert not RIVALS.keys() & {run.method for run in plan_comparison(Comparison(path)).runs}
    with pytest.raises(InputError, match="a modality 'labels'"):
        plan_comparison(Comparison(table(tmp_path, names=("labels", "b")), unlabelled=(0.5,)))
    with pytest.raises(InputError, match=r"rate 1\.5 cannot be used"):
        Comparison(path, unlabelled=(1.5,))


def test_label_only_learns_from_labelled_samples_alone(tmp_path, monkeypatch):
    fitted = []
    from elision.estimator import MultimodalClassifier

    fit = MultimodalClassifier.fit

    def spy(self, X, y, **options):
        fitted.append((y, options))
        return fit(self, X, y, **options)

    monkeypatch.setattr(MultimodalClassifier, "fit", spy)
    plan = plan_comparison(Comparison(table(tmp_path), ("mle",), encoders="linear", unlabelled=(0.8,), seeds=1))
    results = {run.method: by_estimator(run) for run in plan.runs if run.method in ("mle", LABEL_ONLY)}
    (every, options), (few, _) = fitted
    assert options == {"validation": None, "sample_weight": None}
    assert len(every) == 102 and (few >= 0).all() and len(few) == 21
    assert (every >= 0).sum() == 21 and results["mle"].test.metrics.n == results[LABEL_ONLY].test.metrics.n == 18


@pytest.mark.parametrize("name", ["self-training", "label-spreading"])
def test_scikit_s_ways_give_log_probabilities_of_any_pattern(name):
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    arrays = {m: rng.normal(size=(90, 2)) + 4 * np.eye(3)[codes][:, :2] for m in "ab"}
    arrays["b"][::4] = np.nan
    hidden = hide_labels(codes, 0.8, 0)
    predict = fit_scikit(name, Samples(arrays, hidden), 4)  # a class that nobody shows
    logs = predict(arrays)
    np.testing.assert_allclose(np.exp(logs).sum(1), 1)
    assert logs.shape == (90, 4) and np.exp(logs).min() >= FLOOR / (1 + 4 * FLOOR)
    assert (logs.argmax(1) == codes).mean() > 0.9
    assert (predict({"a": arrays["a"]}).argmax(1) == codes).mean() > 0.8
    assert (labelled_only(Samples(arrays, hidden)).codes == codes[hidden >= 0]).all()


def test_the_command_compares_with_few_labels_and_saves_the_best_method(tmp_path, here):
    out = tmp_path / "out"
    options = ("--methods", "mle", "--encoders", "linear", "--seeds", "1", "--workers", "1")
    code, said, err = here("compare", table(tmp_path), "--out", str(out), "--unlabelled", "0.8", *options)
    assert code == 0, err
    assert "label-spreading" in said and "Model of mle" in said
    page = (out / "report.html").read_text()
    assert "labels missing" in page and "SelfTrainingClassifier" in page
    assert set(pd.read_csv(out / "results.csv")["method"]) == {"mle", *RIVALS}
