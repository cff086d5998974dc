"""From what a user has to observed rows: arrays, columns, labels, standardisation, each by itself."""

import numpy as np
import pandas as pd
import pytest

from elision import InputError
from elision.inputs import (
    Samples,
    Standardizer,
    check_finite,
    observed_rows,
    partial_rows,
    read_arrays,
    read_groups,
    read_labels,
    resolve_columns,
    share_right,
)

NAMES = ["a1", "a2", "b1"]


def test_a_row_is_missing_if_all_of_it_is_nan_and_partial_if_some():
    values = np.array([[[1.0, np.nan]], [[np.nan, np.nan]], [[1.0, 2.0]]])
    assert observed_rows(values).tolist() == [True, False, True]
    assert partial_rows(values) == 1


@pytest.mark.parametrize(("data", "words"), [
    ({1: [[1.0]]}, "modality 1 is named by a int"),
    ({"a": np.array([[1j]])}, "complex"),
    ({"a": np.zeros((0, 2))}, r"shape \(0, 2\): expected at least one sample"),
])  # fmt: skip
def test_arrays_that_cannot_be_read_are_refused(data, words):
    with pytest.raises(InputError, match=words):
        read_arrays(data)


def test_infinity_is_named_by_row_and_column():
    with pytest.raises(InputError, match="X contains infinity at row 1, column 'a2'"):
        check_finite(np.array([[1.0, 2.0], [3.0, -np.inf]]), "X", ["a1", "a2"])


@pytest.mark.parametrize(("columns", "expected"), [
    (slice(1, None), [1, 2]), ([0, 2], [0, 2]), (-1, [2]), (["b1", "a1"], [2, 0]), ("a2", [1]),
    ([True, False, True], [0, 2]), (np.array([False, True, False]), [1]),
], ids=str)  # fmt: skip
def test_columns_are_chosen_by_slice_position_name_or_mask(columns, expected):
    assert np.arange(3)[resolve_columns({"m": columns}, NAMES)["m"]].tolist() == expected


def test_without_modalities_all_columns_are_one():
    assert {m: c.tolist() for m, c in resolve_columns(None, NAMES).items()} == {"x": [0, 1, 2]}


@pytest.mark.parametrize(("modalities", "words"), [
    ({"m": [True, False]}, "'m' has a mask of 2: X has n_features = 3"),
    ({"m": [0, 3]}, "'m' names column 3.*n_features = 3, columns 'a1', 'a2', 'b1'"),
    ({"m": slice(3, None)}, "'m' has no column in X"), ({"m": [False] * 3}, "'m' has no column"),
    ({2: [0]}, "modality 2 is named by a int"),
])  # fmt: skip
def test_columns_that_are_not_there_are_refused(modalities, words):
    with pytest.raises(InputError, match=words):
        resolve_columns(modalities, NAMES)


def test_whole_numbers_are_names_where_columns_have_names():
    assert resolve_columns({"m": [7]}, [5, 7], unnamed=False)["m"].tolist() == [1]
    with pytest.raises(InputError, match="names column 0"):
        resolve_columns({"m": [0]}, [5, 7], unnamed=False)


def test_labels_are_coded_by_sorted_class_and_none_is_minus_one():
    found = read_labels(["b", None, "a", float("nan"), "?", "b"], unlabelled="?")
    assert (found.classes.tolist(), found.codes.tolist()) == (["a", "b"], [1, -1, 0, -1, -1, 1])
    assert read_labels(pd.Series([True, False])).codes.tolist() == [1, 0]
    assert read_labels([None, 3, 2]).classes.dtype.kind == "i"


@pytest.mark.parametrize("none", [float("nan"), None, pd.NA])
def test_what_is_missing_in_a_list_of_texts_is_no_text(none):
    """numpy alone makes 'nan' of NaN among texts: a class, and a group, of its own."""
    found = read_labels(np.ma.MaskedArray([7, 8, 9], mask=[False, True, False]))
    assert (found.classes.tolist(), found.codes.tolist()) == ([7, 9], [0, -1, 1])
    found = read_labels(["b", none, "a"])
    assert (found.classes.tolist(), found.codes.tolist()) == (["a", "b"], [1, -1, 0])
    assert share_right(np.array(["b", "a", "b"]), ["b", none, "a"]) == 0.5
    with pytest.raises(InputError, match="groups is missing at row 1"):
        read_groups(["b", none, "a"], 3)


def test_labels_of_new_samples_are_coded_by_the_known_classes():
    known = np.array(["a", "b", "c"])
    assert read_labels(["c", "c", None], classes=known).codes.tolist() == [2, 2, -1]
    with pytest.raises(InputError, match="label 'd' at row 1 is no class of the training data: 'a', 'b', 'c'"):
        read_labels(["c", "d"], classes=known)


def test_standardising_is_by_the_observed_numbers_of_each_column():
    """A loop over the columns; what is NaN becomes the mean, 0, and a column that never varies too."""
    rng = np.random.default_rng(0)
    values = rng.normal(3, 5, size=(20, 3))
    values[:, 2], values[:4, 0], values[5] = 7.0, np.nan, np.nan
    batch = Standardizer.fit({"m": values}).batch({"m": values}, np.zeros(20, dtype=int))
    kept = values[~np.isnan(values).all(1)]
    for column in range(2):
        numbers = kept[:, column]
        seen = numbers[~np.isnan(numbers)]
        expected = [0.0 if np.isnan(x) else (x - seen.mean()) / seen.std() for x in numbers]
        np.testing.assert_allclose(batch.inputs["m"][:, column], expected, atol=1e-12)
    assert not batch.inputs["m"][:, 2].any()
    assert batch.rows["m"].tolist() == [i for i in range(20) if i != 5]


def test_rows_of_more_dimensions_have_one_mean_and_one_deviation():
    values = np.random.default_rng(1).normal(2, 3, size=(6, 4, 5))
    scaled = Standardizer.fit({"m": values}).batch({"m": values}, np.zeros(6, dtype=int)).inputs["m"].numpy()
    np.testing.assert_allclose(scaled, (values - values.mean()) / values.std(), atol=1e-12)


def test_huge_numbers_are_standardised_like_others():
    values = {"a": np.array([[1e200], [-1e200], [3e200]])}
    scaled = Standardizer.fit(values).batch(values, np.zeros(3, dtype=int)).inputs["a"]
    assert scaled.std(correction=0).item() == pytest.approx(1.0)


def test_samples_are_taken_and_left_together():
    samples = Samples({"a": np.arange(5.0)[:, None]}, np.array([0, 1, 2, 3, 4]))
    rest = samples.without(np.array([1, 3]))
    assert (rest.arrays["a"].ravel().tolist(), rest.codes.tolist()) == ([0, 2, 4], [0, 2, 4])
    with pytest.raises(InputError, match="'a' has 5 samples and y has 4"):
        Samples(samples.arrays, samples.codes[:4])


def test_standardising_by_blocks_is_standardising_at_once(monkeypatch):
    """Blocks of two rows, the greatest number in the last; means and deviations by numpy, of what was observed."""
    from elision import inputs

    monkeypatch.setattr(inputs, "_BLOCK", 6)
    rng = np.random.default_rng(0)
    values = rng.normal(2.0, 3.0, (11, 3))
    values[4] = np.nan
    values[10, 1] = 1e200  # its square is no float64
    values[2, 0] = np.nan
    standardizer = inputs.Standardizer.fit({"a": values})
    batch = standardizer.batch({"a": values}, np.zeros(11, dtype=np.int64))
    assert batch.rows["a"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    rows = values[batch.rows["a"].numpy()]
    mean = np.nanmean(rows, 0)
    largest = np.nanmax(np.abs(rows - mean), 0)
    deviation = largest * np.sqrt(np.nanmean(((rows - mean) / largest) ** 2, 0))
    expected = np.nan_to_num((rows - mean) / deviation)
    np.testing.assert_allclose(batch.inputs["a"].numpy(), expected, rtol=1e-12, atol=1e-15)
