"""Blanks in rows that show the rest of a modality: means, neighbours, regressions."""

import numpy as np
import pytest

from elision import MultimodalClassifier
from elision.errors import InputError
from elision.imputation import Filling
from elision.inputs import Standardizer
from small import small_model


def tied(n: int = 200, seed: int = 0) -> np.ndarray:
    """Columns that are nearly one, a tenth of them blank, and rows that are missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 1)) @ [[1.0, -2.0, 3.0, 0.5]] + rng.normal(scale=0.1, size=(n, 4)) + 7
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[::9] = np.nan
    return rows


def test_a_blank_takes_the_mean_of_the_five_nearest_rows_that_show_it():
    """A loop: distances over what both rows show, scaled up for what they do not."""
    rows = tied()
    rows = rows[~np.isnan(rows).all(1)]
    new = tied(40, 1)
    filled = Filling.of("knn", rows).fill(new)
    for row, ours in zip(new, filled, strict=True):
        blank = np.isnan(row)
        if blank.all():
            assert np.isnan(ours).all()
            continue
        apart = (rows - row) ** 2
        distance = np.sqrt(np.nansum(apart, 1) * 4 / np.maximum((~np.isnan(apart)).sum(1), 1e-9))
        for column in range(4):
            donors = ~np.isnan(rows[:, column]) & ~np.isnan(apart).all(1)
            nearest = rows[donors, column][np.argsort(distance[donors])[:5]]
            np.testing.assert_allclose(ours[column], nearest.mean() if blank[column] else row[column])


@pytest.mark.parametrize("impute", ["knn", "iterative"])
def test_what_ties_columns_fills_their_blanks(impute):
    """Columns are multiples of one: neighbours and regressions find the others of a row, means are a deviation off."""
    whole = np.random.default_rng(3).normal(size=(300, 1)) * [1.0, -2.0, 3.0]
    rows = whole.copy()
    rows[np.arange(0, 300, 2), np.arange(150) % 3] = np.nan
    spread = np.nanstd(rows, 0)
    codes = np.zeros(300, dtype=int)
    for name, most in ((impute, 0.15), ("mean", 2.0)):
        found = Standardizer.fit({"m": rows}, impute=name).batch({"m": rows}, codes).inputs["m"].numpy()
        wrong = np.abs(found - (whole - np.nanmean(rows, 0)) / spread)[np.isnan(rows)]
        assert wrong.mean() < most and (name != "mean" or wrong.mean() > 0.5)


@pytest.mark.parametrize("impute", ["knn", "iterative"])
def test_a_loaded_model_fills_as_the_one_that_was_saved(tmp_path, impute):
    y = np.arange(200) % 2
    X = {
        "a": tied() + 3 * y[:, None],
        "b": np.random.default_rng(5).normal(size=(200, 1)),
        "image": np.zeros((200, 2, 2)),
    }
    X["image"][:, 0, 0] = np.nan  # rows of more dimensions take means
    X["b"][::5] = np.nan  # and so does a single column, which shows all or nothing
    model = small_model(impute=impute).fit(X, y)
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    asked = model.predict_proba(X)
    np.testing.assert_array_equal(loaded.predict_proba(X), asked)
    np.testing.assert_array_equal(loaded.get_params()["impute"], impute)
    alone = {m: values[7:8] for m, values in X.items()}
    np.testing.assert_allclose(loaded.predict_proba(alone), asked[7:8], atol=1e-9)
    assert np.abs(small_model().fit(X, y).predict_proba(X) - asked).max() > 1e-3


@pytest.mark.parametrize("impute", ["knn", "iterative"])
def test_columns_that_training_never_showed_or_that_never_varied_do_no_harm(impute):
    rows = np.full((6, 3), 2.0)
    rows[:, 1] = np.nan
    new = np.array([[np.nan, 1.0, 2.0], [2.0, np.nan, np.nan]])
    found = Standardizer.fit({"m": rows}, impute=impute).batch({"m": new}, np.zeros(2, dtype=int))
    assert not found.inputs["m"].any()


def test_few_rows_are_kept_of_many_and_the_same_each_time():
    rows = np.random.default_rng(0).normal(size=(5000, 2))
    one, other = (Filling.of("knn", rows).rows for _ in range(2))
    assert len(one) == 2000 and (one == other).all() and len(np.unique(one[:, 0])) == 2000


def test_an_imputer_that_is_none_is_refused():
    with pytest.raises(InputError, match="unknown impute 'median': choose from iterative, knn, mean"):
        small_model(impute="median").fit({"a": tied()}, np.arange(200) % 2)
