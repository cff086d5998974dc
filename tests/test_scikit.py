"""What scikit-learn and its users bring: folds, groups, pipelines, all kinds of tables, mistakes in the mapping."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from elision import InputError, MultimodalClassifier, Splittable
from elision.data.splits import grouped_part
from elision.inputs import filled_share, share_right

N = 90
Y = np.array(["u", "v", "w"])[np.arange(N) % 3]
MODALITIES = {"a": ["a1", "a2"], "b": ["b1", "b2", "b3"]}
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(N, 5)), columns=[*MODALITIES["a"], *MODALITIES["b"]])
TABLE[["a1", "b2"]] += 4.0 * (np.arange(N) % 3)[:, None]
TABLE.loc[10:40, MODALITIES["b"]] = np.nan
SITES = np.arange(N) // 15
X = {m: TABLE[names].to_numpy() for m, names in MODALITIES.items()}


def quick(**changes) -> MultimodalClassifier:
    options = {"encoders": "linear", "objective": "joint", "max_steps": 40, "learning_rate": 0.05, "random_state": 0}
    return MultimodalClassifier(**options | changes)


def of_table(**changes) -> MultimodalClassifier:
    return quick(modalities=MODALITIES, **changes)


# Folds.


def test_a_dict_is_cross_validated_like_its_table():
    scores = cross_val_score(quick(), Splittable(X), Y, cv=3)
    np.testing.assert_allclose(scores, cross_val_score(of_table(), TABLE, Y, cv=3))
    assert scores.min() > 0.6
    search = GridSearchCV(quick(), {"n_features": [2, 8]}, cv=3).fit(Splittable(X), Y)
    assert search.predict(X).tolist() == search.predict(Splittable(X)).tolist()


def test_every_kind_of_array_is_taken_by_position_and_by_mask():
    forms = {
        "frame": TABLE.set_axis(np.arange(N)[::-1]), "series": TABLE["a1"], "list": TABLE["a1"].tolist(),
        "sparse": sparse.csr_array(X["a"]), "images": np.arange(N * 4).reshape(N, 1, 2, 2),
    }  # fmt: skip
    whole = Splittable(forms)
    mask = np.arange(N) % 30 == 2
    for part in (whole[[2, 32, 62]], whole[mask], whole[np.array([2, 32, 62]), ...]):
        assert (len(part), part.shape) == (3, (3, 5))
        assert part.arrays["frame"].index.tolist() == [87, 57, 27]
        assert part.arrays["list"] == forms["series"].iloc[[2, 32, 62]].tolist()
        np.testing.assert_array_equal(part.arrays["sparse"].toarray(), X["a"][mask])
        np.testing.assert_array_equal(part.arrays["images"], forms["images"][mask])
    with pytest.raises(InputError, match="unequal length: 'a' has 90, 'b' has 89"):
        Splittable({"a": X["a"], "b": X["b"][1:]})
    with pytest.raises(InputError, match="there is none"):
        Splittable({})


def test_rows_of_labels_are_checked_beside_a_splittable_dict():
    frames = Splittable({"a": TABLE[["a1"]].set_axis([f"p{i}" for i in range(N)])})
    with pytest.raises(InputError, match="the rows of y are not those of modality 'a'"):
        quick().fit(frames, pd.Series(Y, index=[f"p{i}" for i in range(N)][::-1]))


def test_labels_that_are_none_are_no_label_in_folds():
    """Stratified folds cannot sort None: a value of ``unlabelled`` can be; other folds take None as well."""
    some = Y.astype(object)
    some[::9] = None
    scores = cross_val_score(quick(), Splittable(X), some, cv=KFold(3, shuffle=True, random_state=0))
    filled = np.where(some == None, "?", some)  # noqa: E711
    marked = cross_val_score(quick(unlabelled="?"), Splittable(X), filled, cv=3)
    assert min(*scores, *marked) > 0.6


def test_the_share_that_is_right_is_of_labelled_samples():
    assert share_right(np.array(["u", "v", "v"]), ["u", None, "w"]) == 0.5
    assert share_right(np.array([1, 0, 1]), np.array([1, 1, -1]), unlabelled=-1, sample_weight=[3, 1, 9]) == 0.75
    assert share_right(np.array(["u"]), ["never seen"]) == 0
    with pytest.raises(InputError, match="no sample has a label"):
        share_right(np.array(["u"]), [None])


# Groups.


def test_validation_takes_whole_groups(monkeypatch):
    from elision import estimator

    drawn = []
    monkeypatch.setattr(estimator, "grouped_part", lambda *args: drawn.append(grouped_part(*args)) or drawn[-1])
    names = pd.Series([f"site {s}" for s in SITES])
    of_table().fit(TABLE, Y, groups=names)
    held = SITES[drawn[0]]
    assert 0 < len(held) < N / 2
    assert all((s == SITES).sum() == (held == s).sum() for s in set(held))
    weights = np.ones(N)
    weights[SITES == 0] = 0
    of_table().fit(TABLE, Y, groups=names, sample_weight=weights)
    with pytest.raises(InputError, match="groups is 'site': expected the group of each sample, such as a column"):
        of_table().fit(TABLE, Y, groups="site")
    with pytest.raises(InputError, match="groups has 3 entries: expected one for each of 90"):
        of_table().fit(TABLE, Y, groups=[1, 2, 3])
    with pytest.raises(InputError, match="groups is missing at row 4"):
        of_table().fit(TABLE, Y, groups=names.where(names.index != 4))
    with pytest.raises(InputError, match="the rows of groups are not those of X"):
        of_table().fit(TABLE, Y, groups=names[::-1])


def test_groups_leave_every_class_and_modality_to_learn_from():
    codes, needed = np.array([0, 0, 1, 1, 2, 2, -1, -1]), np.zeros((8, 1), dtype=bool)
    needed[2:4] = True
    needed = np.hstack([needed, codes[:, None] == np.arange(3)])
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    for seed in range(10):
        chosen = grouped_part(codes, groups, 0.15, np.random.default_rng(seed), needed)
        assert needed[np.setdiff1d(np.arange(8), chosen)].any(0).all()
        assert (codes[chosen] >= 0).any()
    with pytest.raises(InputError, match=r"2 group.* cannot be parted"):
        grouped_part(codes, np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.15, np.random.default_rng(0), needed)


def test_groups_are_routed_by_scikit_learn():
    with sklearn.config_context(enable_metadata_routing=True):
        model = of_table().set_fit_request(groups=True)
        scores = cross_val_score(model, TABLE, Y, cv=GroupKFold(3), params={"groups": SITES})
        assert scores.min() > 0.6
        with pytest.raises(InputError, match=r"1 group.* cannot be parted"):
            cross_val_score(model, TABLE, Y, cv=3, params={"groups": np.zeros(N)}, error_score="raise")


# Forms of tables.


def test_sparse_and_foreign_tables_are_read_like_dense_ones():
    arrow = pytest.importorskip("pyarrow")
    zeros = TABLE.fillna(0.0)
    expected = of_table().fit(zeros, Y).predict_proba(zeros)
    forms = [
        zeros.astype(pd.SparseDtype(float, np.nan)), zeros.astype(pd.SparseDtype(float, 0)),
        arrow.Table.from_pandas(zeros),
    ]  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(of_table().fit(form, Y).predict_proba(form), expected)
    by_place = quick(modalities={"a": [0, 1], "b": [2, 3, 4]})
    np.testing.assert_allclose(by_place.fit(sparse.csr_array(zeros), Y).predict_proba(zeros.to_numpy()), expected)
    dense = {"a": zeros[["a1"]].to_numpy(), "b": X["a"]}
    some = dense | {"a": sparse.coo_matrix(dense["a"])}
    np.testing.assert_array_equal(quick().fit(some, Y).predict_proba(some), quick().fit(dense, Y).predict_proba(dense))


def test_polars_is_read_by_its_names_with_its_categories():
    polars = pytest.importorskip("polars")
    table = TABLE.assign(a2=np.where(TABLE["a2"] > 0, "yes", "no"))
    expected = of_table().fit(table, Y).predict_proba(table)
    for kind in (polars.String, polars.Categorical, polars.Enum(["no", "yes"])):
        frame = polars.from_pandas(table).with_columns(polars.col("a2").cast(kind))
        shuffled = frame.select(frame.columns[::-1])
        model = of_table().fit(frame, polars.Series(Y))
        np.testing.assert_array_equal(model.predict_proba(frame.lazy()), model.predict_proba(frame))
        np.testing.assert_allclose(model.predict_proba(shuffled), expected, atol=1e-9)
        frames = Splittable({m: frame.select(names) for m, names in MODALITIES.items()})
        assert cross_val_score(quick(), frames, Y, cv=2).min() > 0.6


def test_columns_named_on_several_levels_are_named_by_a_dot(tmp_path):
    levels = TABLE.set_axis(pd.MultiIndex.from_tuples([(c[0], c) for c in TABLE]), axis=1)
    chosen = {m: [(m, c) for c in names] for m, names in MODALITIES.items()}
    model = quick(modalities=chosen).fit(levels, Y)
    np.testing.assert_array_equal(model.predict_proba(levels), of_table().fit(TABLE, Y).predict_proba(TABLE))
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(levels), model.predict_proba(levels))
    assert loaded.fit(levels, Y).modalities["a"] == ["a.a1", "a.a2"]
    with pytest.raises(InputError, match=r"modality 'b' lacks columns 'b.b1', 'b.b2'"):
        frames = quick().fit({m: levels[[m]] for m in "ab"}, Y)
        frames.predict({"a": levels[["a"]], "b": levels[["a"]]})


def test_names_lost_in_a_pipeline_are_told_how_to_keep():
    pipeline = make_pipeline(StandardScaler(), of_table())
    with pytest.raises(InputError, match=r"columns 0, 1.*set_output\(transform='pandas'\)"):
        pipeline.fit(TABLE, Y)
    assert pipeline.set_output(transform="pandas").fit(TABLE, Y).score(TABLE, Y) > 0.6


def test_a_name_that_occurs_twice_is_told():
    twice = TABLE.set_axis(["a1", "a1", "b1", "b2", "b3"], axis=1)
    for call in (
        lambda: of_table().fit(twice, Y), lambda: quick().fit(twice, Y), lambda: quick().fit({"a": twice}, Y),
    ):  # fmt: skip
        with pytest.raises(InputError, match="has column 'a1' twice"):
            call()


# A modality that nobody shows.


@pytest.mark.parametrize("form", ["dict", "table"])
def test_a_modality_that_no_training_sample_shows_is_said_and_ignored(form, tmp_path):
    blank = TABLE.assign(**dict.fromkeys(MODALITIES["b"], np.nan))
    model, alone = (quick(), quick()) if form == "dict" else (of_table(), quick(modalities={"a": MODALITIES["a"]}))
    as_form = (lambda t: {m: t[c] for m, c in MODALITIES.items() if c[0] in t}) if form == "dict" else (lambda t: t)
    with pytest.warns(UserWarning, match="no training sample shows modality 'b'") as told:
        model.set_params(encoders={"a": "linear", "b": "linear"}).fit(as_form(blank), Y)
    assert len(told) == 1
    assert (model.modalities_, model.unseen_modalities_) == (("a",), ("b",))
    expected = alone.fit(as_form(TABLE[MODALITIES["a"]]), Y).predict_proba(as_form(TABLE[MODALITIES["a"]]))
    np.testing.assert_allclose(model.predict_proba(as_form(blank)), expected)  # nothing to say: nobody shows it
    model.save(tmp_path / "model")
    for known in (model, MultimodalClassifier.load(tmp_path / "model")):
        with pytest.warns(UserWarning, match="no training sample showed modality 'b': it is ignored") as told:
            np.testing.assert_allclose(known.predict_proba(as_form(TABLE)), expected)
        assert len(told) == 1
    model.fit(as_form(TABLE), Y)
    assert (model.modalities_, model.unseen_modalities_) == (("a", "b"), ())


@pytest.mark.filterwarnings("ignore:no training sample show")
def test_data_sorted_by_site_is_searched():
    """The first two folds train without b, or test without it."""
    sorted_by_site = TABLE.assign(b1=TABLE["b1"].where(SITES < 2), b2=np.nan, b3=np.nan)
    search = GridSearchCV(of_table(), {"n_features": [2, 8]}, cv=KFold(3)).fit(sorted_by_site, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# Mistakes in the mapping.


def test_what_may_be_a_mistake_in_the_mapping_is_said_once():
    cases = [
        (lambda: of_table().fit(TABLE.assign(age=1.0, sex="f"), Y), "does not name, left out: 'age', 'sex'"),
        (lambda: quick(modalities={"a": [0, 1]}).fit(TABLE.to_numpy(), Y), "does not name, left out: 2, 3, 4"),
        (lambda: quick().fit(TABLE, Y), "the 5 columns of X are one modality"),
        (lambda: quick().fit(TABLE.to_numpy(), Y), "the 5 columns of X are one modality"),
        (lambda: quick().fit(X, np.where(Y == "u", " ", Y)), "the label ' ' is an empty text.*unlabelled=' '"),
        (lambda: quick().fit(X, np.where(Y == "u", str(np.nan), Y)), "the label 'nan' is what numpy makes of NaN"),
    ]
    for call, words in cases:
        with pytest.warns(UserWarning, match=words) as told:
            model = call()
        assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
        quick(unlabelled="").fit(X, np.where(Y == "u", "", Y))
        quick(modalities={"a": [0]}).fit(X["a"][:, :1], Y)
        of_table().fit(TABLE, Y).predict(TABLE.assign(age=1.0))


def test_the_share_of_numbers_that_took_means_is_kept(tmp_path):
    holes = TABLE.copy()
    holes.loc[[0, 50, 51], "b2"] = np.nan
    model = of_table().fit(holes, Y)
    assert model.filled_shares_ == {"a": 0.0, "b": 3 / (59 * 3)}
    model.save(tmp_path / "model")
    assert MultimodalClassifier.load(tmp_path / "model").filled_shares_ == model.filled_shares_
    assert filled_share(np.full((2, 2), np.nan)) == 0
    assert filled_share(np.array([[[1, np.nan]], [[np.nan, np.nan]]])) == 0.5
