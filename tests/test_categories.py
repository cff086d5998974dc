"""Columns of texts and categories: one number per value that training showed, whatever form they come in."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elision import InputError, MultimodalClassifier
from elision.categories import Levels, is_category, learn_categories, one_hot, tell_unseen

N = 80
RNG = np.random.default_rng(0)
Y = RNG.choice(["calm", "tense"], N)
SEX = np.where(RNG.random(N) < np.where(Y == "calm", 0.8, 0.2), "f", "m").astype(object)
SEX[:5] = None
TABLE = pd.DataFrame({
    "sex": SEX, "grade": pd.Categorical(RNG.choice([1, 2, 3], N)), "smokes": RNG.random(N) < 0.5,
    "crp": RNG.normal(size=N) + (Y == "calm"), "rate": RNG.normal(size=N), "site": RNG.choice(["x", "y"], N),
})  # fmt: skip
MODALITIES = {"person": ["sex", "grade", "smokes"], "labs": ["crp"], "gait": ["rate", "site"]}
ONE_HOT = np.column_stack([  # written out by hand, from the definition
    [[np.nan] * 2 if s is None else [s == "f", s == "m"] for s in SEX],
    [[g == 1, g == 2, g == 3] for g in TABLE["grade"]], TABLE["smokes"],
]).astype(float)  # fmt: skip
PLAIN = {
    "person": ONE_HOT,
    "labs": TABLE[["crp"]].to_numpy(),
    "gait": np.column_stack([TABLE["rate"], TABLE["site"] == "x", TABLE["site"] == "y"]).astype(float),
}


def quick(**changes) -> MultimodalClassifier:
    return MultimodalClassifier(encoders="linear", objective="joint", max_steps=15, random_state=0, **changes)


def frames(table: pd.DataFrame = TABLE) -> dict[str, pd.DataFrame]:
    return {m: table[names] for m, names in MODALITIES.items()}


@pytest.fixture(scope="module")
def of_table():
    return quick(modalities=MODALITIES).fit(TABLE, Y)


@pytest.fixture(scope="module")
def of_dict():
    return quick().fit(frames(), Y)


def test_every_form_is_one_hot_of_what_training_showed(of_table, of_dict):
    expected = quick().fit(PLAIN, Y).predict_proba(PLAIN)
    np.testing.assert_allclose(of_table.predict_proba(TABLE), expected, atol=1e-6)
    np.testing.assert_allclose(of_dict.predict_proba(frames()), expected, atol=1e-6)
    arrays = {m: frame.to_numpy(dtype=object) for m, frame in frames().items()}
    arrays["person"][:, 1] = [f"grade {g}" for g in TABLE["grade"]]
    np.testing.assert_allclose(quick().fit(arrays, Y).predict_proba(arrays), expected, atol=1e-6)
    lists = arrays | {"person": arrays["person"].tolist()}
    np.testing.assert_allclose(quick().fit(lists, Y).predict_proba(lists), expected, atol=1e-6)
    assert of_table.categories_ == of_dict.categories_ == {
        "person": {"sex": Levels(("f", "m")), "grade": Levels(("1", "2", "3"))},
        "labs": {}, "gait": {"site": Levels(("x", "y"))},
    }  # fmt: skip


def test_a_table_without_names_may_hold_texts():
    table = TABLE.drop(columns="grade").to_numpy(dtype=object)
    chosen = quick(modalities={"person": [0, 1], "labs": [2], "gait": slice(3, 5)})
    plain = PLAIN | {"person": np.delete(ONE_HOT, [2, 3, 4], axis=1)}
    expected = quick().fit(plain, Y).predict_proba(plain)
    np.testing.assert_allclose(chosen.fit(table, Y).predict_proba(table), expected, atol=1e-6)
    whole = quick(modalities={"x": slice(None)}).fit(table, Y)
    np.testing.assert_array_equal(whole.predict_proba(pd.DataFrame(table)), whole.predict_proba(table))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.permutations(range(N)),
    columns=st.permutations(list(TABLE)),
    order=st.permutations(list(MODALITIES)),
    index=st.sampled_from([None, [f"p{i}" for i in range(N)], range(N, 0, -1)]),
    as_text=st.booleans(),
)
def test_any_order_and_any_dtype_of_categories_give_the_same(of_table, of_dict, rows, columns, order, index, as_text):
    expected = of_table.predict_proba(TABLE)[rows]
    table = TABLE if index is None else TABLE.set_axis(list(index))
    table = table.iloc[rows][columns]
    if as_text:
        table = table.astype({"grade": "Int64", "sex": "category", "site": "string"})
    np.testing.assert_allclose(of_table.predict_proba(table), expected, atol=1e-9)
    shown = frames(table)
    np.testing.assert_allclose(of_dict.predict_proba({m: shown[m] for m in order}), expected, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(rows=st.permutations(range(N)))
def test_the_order_of_training_rows_decides_no_level(rows):
    assert learn_categories(TABLE.iloc[rows]) == learn_categories(TABLE)


def test_unseen_values_are_said_once_and_unknown(of_table, of_dict):
    new = TABLE.head(6).astype({"grade": object})
    new.loc[0, "sex"], new.loc[1:3, "grade"], new.loc[4, "site"] = "?", 7, " y "
    unknown = new.copy()
    unknown.loc[0, "sex"], unknown.loc[1:3, "grade"], unknown.loc[4, "site"] = None, None, "y"
    for model, form in ((of_table, lambda t: t), (of_dict, frames)):
        with pytest.warns(UserWarning, match="did not show.*: column") as told:
            found = model.predict_proba(form(new))
        assert " ".join(str(w.message) for w in told).count("'7'") == 1
        assert len(told) == 1
        np.testing.assert_array_equal(found, model.predict_proba(form(unknown)))
    assert "'?'" in str(told[0].message)


def test_a_row_of_nothing_but_unknown_values_lacks_the_modality():
    model = quick().fit({"sex": SEX, "labs": PLAIN["labs"]}, Y)
    with pytest.warns(UserWarning, match="modality 'sex' holds values that training did not show"):
        shown = model.shown({"sex": np.array(["f", None, "other"], dtype=object)})
    assert shown[:, 0].tolist() == [True, False, False]


def test_a_saved_model_knows_its_categories(of_table, of_dict, tmp_path):
    for name, model, form in (("t", of_table, TABLE), ("d", of_dict, frames())):
        model.save(tmp_path / name)
        loaded = MultimodalClassifier.load(tmp_path / name)
        assert loaded.categories_ == model.categories_
        np.testing.assert_array_equal(loaded.predict_proba(form), model.predict_proba(form))
    ordered = {"a": pd.DataFrame({3: pd.Categorical(np.where(Y == "calm", "low", "high"), ["low", "high"], True)})}
    quick().fit(ordered, Y).save(tmp_path / "o")
    assert MultimodalClassifier.load(tmp_path / "o").categories_ == {"a": {3: Levels(("low", "high"), True)}}


def test_an_ordered_category_is_one_number():
    sizes = pd.Series(pd.Categorical(["low", "high", None], ["low", "mid", "high"], ordered=True), name="size")
    found = learn_categories(sizes.to_frame())
    assert found == {"size": Levels(("low", "mid", "high"), ordered=True)}
    codes = found["size"].codes(sizes)
    np.testing.assert_array_equal(one_hot(codes[:, None], [found["size"]])[:, 0], [0, 2, np.nan])


@pytest.mark.parametrize(("values", "category"), [
    (["a", "b", None], True), (["1", "2"], False), (["a", "2"], False), ([1, "a"], False), ([None, None], False),
    ([True, None], False), (pd.Categorical([1, 2]), True), (pd.Series(["a", pd.NA], dtype="string"), True),
    ([1, 2], False), ([["list"], "a"], False), (["a", " ", "nan"], True),
], ids=str)  # fmt: skip
def test_which_columns_are_categories(values, category):
    assert is_category(pd.Series(values)) == category


def test_whole_numbers_stay_the_same_values_beside_gaps():
    levels = learn_categories(pd.DataFrame({"g": pd.Categorical([1, 2, 2])}))["g"]
    np.testing.assert_array_equal(levels.codes(pd.Series([2.0, np.nan, 1.0])), [1, np.nan, 0])
    assert levels.values == ("1", "2")


def test_values_that_hardly_repeat_are_no_category():
    many = pd.DataFrame({"t": [f"t{i // 2}" for i in range(60)], "u": [f"u{i // 3}" for i in range(60)]})
    assert list(learn_categories(many.iloc[:59])) == ["u"]
    assert list(learn_categories(many.head(20))) == ["t", "u"]
    assert learn_categories(pd.DataFrame({"t": [f"t{i % 1001}" for i in range(3000)]})) == {}
    with pytest.raises(InputError, match=r"'t' \(30 texts such as 't0'\)"):
        quick().fit({"a": many.iloc[:59]}, np.arange(59) % 2)


def test_nothing_is_unseen_where_training_showed_nothing():
    frame = pd.DataFrame({"a": pd.Categorical([None, None])})
    found = learn_categories(frame)
    assert found == {"a": Levels(())} and not tell_unseen(pd.DataFrame({"a": ["x"]}), found, "X")
    assert one_hot(found["a"].codes(frame["a"])[:, None], [found["a"]]).shape == (2, 1)


def test_a_column_of_numbers_that_comes_as_text_is_refused_by_name(of_table):
    with pytest.raises(InputError, match=r"in column 'crp'.*'crp' \(1 texts such as 'high'\)"):
        of_table.predict(TABLE.assign(crp="high"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_table.predict(TABLE.assign(crp=TABLE["crp"].astype(str)))
