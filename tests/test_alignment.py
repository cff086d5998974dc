"""Frames at the door: any order of rows, columns and dict gives the same probabilities, any renaming is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elision import InputError, MultimodalClassifier
from elision.alignment import frame_numbers

N = 60
IDS = [f"p{i:02}" for i in range(N)]


def make():
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b"], N)
    shift = np.where(y == "a", 1.5, 0.0)[:, None]
    v = pd.DataFrame(rng.normal(size=(N, 3)) * [1, 1, 5] + shift * [1, 0, 0], columns=["v1", "v2", "v3"], index=IDS)
    p = pd.DataFrame(rng.normal(size=(N, 2)) - shift, columns=["p1", "p2"], index=IDS)
    p.iloc[::4] = np.nan
    return v, p, pd.Series(y, index=IDS)


V, P, Y = make()
TABLE = pd.concat([V, P], axis=1)


def quick(**changes):
    return MultimodalClassifier(encoders="linear", objective="joint", max_steps=20, random_state=0, **changes)


@pytest.fixture(scope="module")
def of_dict():
    return quick().fit({"v": V, "p": P}, Y)


@pytest.fixture(scope="module")
def of_table():
    return quick(modalities={"v": ["v1", "v2", "v3"], "p": ["p1", "p2"]}).fit(TABLE, Y)


@settings(max_examples=25, deadline=None)
@given(rows=st.permutations(range(N)), columns=st.permutations(range(3)), swap=st.booleans())
def test_any_order_gives_the_same_probabilities(of_dict, of_table, rows, columns, swap):
    v, p = V.iloc[rows, columns], P.iloc[rows, [1, 0]]
    frames = {"p": p, "v": v} if swap else {"v": v, "p": p}
    expected = of_dict.predict_proba({"v": V, "p": P})[rows]
    np.testing.assert_allclose(of_dict.predict_proba(frames), expected, atol=1e-10)
    table = pd.concat(list(frames.values()), axis=1).assign(other=1.0)
    np.testing.assert_allclose(of_table.predict_proba(table), of_table.predict_proba(TABLE)[rows], atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    column=st.sampled_from(["v1", "v2", "v3", "p1", "p2"]), name=st.text(min_size=1).filter(lambda n: n not in TABLE)
)
def test_any_renaming_is_refused(of_dict, of_table, column, name):
    with pytest.raises(InputError, match=f"lacks column '{column}'"):
        of_table.predict_proba(TABLE.rename(columns={column: name}))
    frames = {"v": V.rename(columns={column: name}), "p": P.rename(columns={column: name})}
    with pytest.raises(InputError, match=f"lacks column '{column}'"):
        of_dict.predict_proba(frames)


@pytest.mark.parametrize("where", ["fit", "predict", "labels"])
def test_rows_in_another_order_are_refused(of_dict, where):
    """One frame sorted by another key pairs different people; labels in another order are noise."""
    turned = P.iloc[::-1]
    with pytest.raises(InputError, match=r"row 0 is 'p59' there and 'p00' here"):
        if where == "fit":
            quick().fit({"v": V, "p": turned}, Y)
        elif where == "predict":
            of_dict.predict_proba({"v": V, "p": turned})
        else:
            quick().fit({"v": V, "p": P}, Y.iloc[::-1])


def test_rows_that_are_only_counted_go_with_any_names(of_dict):
    counted = P.reset_index(drop=True)
    same = of_dict.predict_proba({"v": V, "p": counted})
    np.testing.assert_array_equal(same, of_dict.predict_proba({"v": V, "p": P}))
    with pytest.raises(InputError, match="the rows of modality 'p' are not those of modality 'v'"):
        of_dict.predict_proba({"v": V.reset_index(drop=True), "p": counted.iloc[::-1]})


def test_a_modality_whose_columns_are_all_absent_is_missing(of_table):
    absent = of_table.predict_proba(TABLE[["v3", "v1", "v2"]])
    hidden = of_table.predict_proba(TABLE.assign(p1=np.nan, p2=np.nan))
    np.testing.assert_array_equal(absent, hidden)


def test_whole_numbers_are_names_where_a_table_has_names():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 5)) + 2 * (Y.to_numpy() == "a")[:, None] * [0, 0, 0, 1, 1]
    named = pd.DataFrame(values, columns=[4, 3, 2, 1, 0])
    modalities = {"a": [3, 4, 2], "b": [0, 1]}
    model = quick(modalities=modalities).fit(named, Y.to_numpy())
    plain = quick().fit({"a": values[:, [1, 0, 2]], "b": values[:, [4, 3]]}, Y.to_numpy())
    expected = plain.predict_proba({"a": values[:, [1, 0, 2]], "b": values[:, [4, 3]]})
    np.testing.assert_allclose(model.predict_proba(named[[0, 1, 2, 3, 4]]), expected, atol=1e-6)
    with pytest.raises(InputError, match="names column 0, which X does not have"):
        quick(modalities={"a": [0]}).fit(TABLE, Y)


def test_a_saved_model_remembers_the_names(of_dict, tmp_path):
    of_dict.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.predict_proba({"v": V[["v3", "v1", "v2"]], "p": P}), of_dict.predict_proba({"v": V, "p": P})
    )


@pytest.mark.parametrize("form", ["table", "dict"])
def test_values_of_pandas_that_are_missing_are_missing(form):
    hole = TABLE.astype(object)
    hole.iloc[3, 0] = pd.NA
    plain = TABLE.copy()
    plain.iloc[3, 0] = np.nan
    if form == "table":
        model = quick(modalities={"v": ["v1", "v2", "v3"], "p": ["p1", "p2"]})
        forms = hole, plain, plain.convert_dtypes()
    else:
        model = quick()
        forms = [{"v": t[["v1", "v2", "v3"]], "p": t[["p1", "p2"]]} for t in (hole, plain, plain.convert_dtypes())]
    first, *others = (model.fit(form, Y).predict_proba(form) for form in forms)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [("high", "object", "'high' beside"), ("high", "category", "'high' beside"), (1.0, "category", "category dtype")],
)
def test_a_column_of_which_training_showed_numbers_is_not_told_to_become_a_category(value, kind, found):
    """That is what a fit is told; here it would lead back to the same message."""
    model = quick(modalities={"v": list(V)}).fit(V, Y)
    column = pd.Series([value, *V["v1"][1:]], index=V.index).astype(kind)
    with pytest.raises(InputError, match=f"no number in column 'v1', of which training showed.*{found}") as refused:
        model.predict(V.assign(v1=column))
    assert "astype" not in str(refused.value)


def test_dates_and_text_are_refused_by_name():
    crp = ["3.5", "high"] * (N // 2)
    frame = V.assign(born=pd.Timestamp("2020-01-01"), note=[f"text {i}" for i in range(N)], crp=crp)
    words = (
        r"holds dates in column 'born'.*nor category in columns 'note', 'crp'.*"
        r"'note' \(60 texts such as 'text 0'\); 'crp' \('high' beside others such as '3\.5'\)"
    )
    with pytest.raises(InputError, match=words):
        quick().fit({"v": frame}, Y)
    with pytest.raises(InputError, match=words):
        quick(modalities={"v": list(frame)}).fit(frame, Y)
    with pytest.raises(InputError, match="X holds what is neither number nor category in columns 3, 4"):
        quick().fit(frame.drop(columns="born").to_numpy(), Y)
    with pytest.raises(InputError, match="modality 'v' holds dates"):
        quick().fit({"v": np.full((N, 2), np.datetime64("NaT", "D"))}, Y)
    assert frame_numbers(pd.DataFrame({"a": [True, None]}, dtype="boolean"), "x")[0, 0] == 1


def test_labels_keep_their_type():
    for labels, classes in {
        "boolean": (pd.array(Y == "a", dtype="boolean"), [False, True]),
        "Int64": (pd.array(np.where(Y == "a", 2**60, 2**60 + 1), dtype="Int64"), [2**60, 2**60 + 1]),
    }.values():
        y = pd.Series(labels, index=IDS)
        y.iloc[:3] = pd.NA
        assert quick().fit({"v": V, "p": P}, y).classes_.tolist() == classes
    with pytest.raises(InputError, match="the labels are dates"):
        quick().fit({"v": V, "p": P}, pd.Series(pd.Timestamp("2020-01-01"), index=IDS))


def test_an_array_after_a_named_table_is_read_in_the_tables_order():
    """Modalities may name columns in another order than the table has them."""
    turned = {"p": slice(3, 5), "v": ["v3", "v1", "v2"]}
    model = quick(modalities=turned).fit(TABLE, Y)
    with pytest.warns(UserWarning, match="valid feature names"):
        plain = model.predict_proba(TABLE.to_numpy())
    np.testing.assert_array_equal(plain, model.predict_proba(TABLE))


def test_labels_in_another_order_are_refused_at_every_door(of_dict):
    frames, turned = {"v": V, "p": P}, Y.iloc[::-1]
    for call in (
        lambda: of_dict.score(frames, turned),
        lambda: of_dict.importance(frames, turned),
        lambda: of_dict.calibrate_sets(frames, turned),
        lambda: quick().fit(frames, Y, validation=(frames, turned)),
    ):
        with pytest.raises(InputError, match="the rows of y are not those of modality 'v': row 0 is 'p59' there"):
            call()
    assert of_dict.score(frames, Y) == (of_dict.predict(frames) == Y).mean()


def test_dates_and_pandas_own_blanks_in_a_table_without_modalities():
    with pytest.raises(InputError, match="X holds dates in column 'd'"):
        quick().fit(pd.DataFrame({"d": pd.date_range("2020", periods=N)}), Y.to_numpy())
    with pytest.raises(InputError, match="X holds dates"):
        quick().fit(np.full((N, 2), np.datetime64("2020-01-01")), Y)
    hole, plain = V.astype(object), V.copy()
    hole.iloc[0, 0], plain.iloc[0, 0] = pd.NA, np.nan
    first, other = (quick(modalities={"x": slice(None)}).fit(form, Y).predict_proba(V) for form in (hole, plain))
    np.testing.assert_array_equal(first, other)


def test_labels_that_are_a_column_of_the_table_are_kept_apart_from_it():
    """Their own column would predict them; one that no modality names does no harm. A name is no label."""
    table, modalities = TABLE.assign(kind=Y), {"v": ["v1", "v2"], "p": ["p1"]}
    own = table["kind"]
    for chosen in (None, {"v": ["v1"], "p": ["p1", "kind"]}):
        with (
            pytest.raises(InputError, match="labels among its columns: leave 'kind' out"),
            warnings.catch_warnings(action="ignore"),
        ):
            quick(modalities=chosen).fit(table, own)
    with warnings.catch_warnings(action="ignore"):
        assert quick(modalities=modalities).fit(table, own).score(table, own) < 1
        with pytest.raises(InputError, match=r"y is the text 'kind'.*X\['kind'\]"):
            quick(modalities=modalities).fit(table, "kind")


def test_a_row_as_a_series_a_dict_and_a_lacking_column_are_told_what_a_table_would_be(of_table):
    for X, message in (
        (TABLE.iloc[0], r"one sample as a series: expected a table, such as table.iloc\[\[0\]\]"),
        ({"v": V, "p": P}, "fitted on a table: give a table with the columns that are known"),
        (TABLE.drop(columns="v2"), "lacks column 'v2'.*NaN where it is not known"),
    ):
        with pytest.raises(InputError, match=message):
            of_table.predict_proba(X)


def test_a_named_series_is_a_column_of_that_name():
    model = quick().fit({"v": V["v1"], "p": P}, Y)
    with pytest.raises(InputError, match="lacks column 'v1'"):
        model.predict_proba({"v": V["v2"], "p": P})


def test_nullable_arrays_are_labels_like_a_series():
    values = [None, *(Y == "a")[1:]]
    assert quick().fit({"v": V.to_numpy()}, pd.array(values, dtype="boolean")).classes_.tolist() == [False, True]


def test_weights_in_another_order_than_the_samples_are_refused(of_table):
    weights = pd.Series(np.arange(N) % 3 + 1.0, index=IDS)
    other = weights.sample(frac=1, random_state=0)
    for call in (
        lambda: quick(modalities={"v": list(V), "p": list(P)}).fit(TABLE, Y, sample_weight=other),
        lambda: quick(modalities={"v": list(V), "p": list(P)}).fit(TABLE, Y, validation=(TABLE, Y, other)),
        lambda: of_table.score(TABLE, Y, other),
    ):
        with pytest.raises(InputError, match="sample_weight"):
            call()
    fitted = [
        quick(modalities={"v": list(V), "p": list(P)}).fit(TABLE, Y, sample_weight=given).predict_proba(TABLE)
        for given in (weights, weights.to_numpy())
    ]
    np.testing.assert_array_equal(*fitted)


def test_a_prior_with_names_goes_by_them(of_table):
    expected = of_table.predict_proba(TABLE, class_prior=[0.2, 0.8])
    for prior in (pd.Series([0.8, 0.2], index=["b", "a"]), {"b": 0.8, "a": 0.2}, pd.Series([0.2, 0.8])):
        np.testing.assert_array_equal(of_table.predict_proba(TABLE, class_prior=prior), expected)
    with pytest.raises(InputError, match="expected each class"):
        of_table.predict_proba(TABLE, class_prior=pd.Series([0.2, 0.8], index=["a", "c"]))
