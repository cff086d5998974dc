"""Tables in whatever dialect and with whatever names: read as the same samples, or refused, never quietly misread."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elision
from elision import InputError, TableConfig, TableFormat
from elision.config import TrainConfig
from elision.data import load
from elision.data.formats import DETECTED
from elision.data.tables import call_of_pandas, read_table
from elision.study.compare import Comparison, plan_comparison
from elision.study.run import Run

N = 24
FINITE = st.floats(-1e300, 1e300)
NUMBERS = st.lists(st.one_of(st.none(), FINITE, st.integers(-99, 99).map(float)), min_size=N, max_size=N)
TEXTS = st.lists(st.sampled_from(["f", "m", "not, said", 'qu"ote', "ä; ö", None]), min_size=N, max_size=N)


@st.composite
def tables(draw):
    """A table of samples as pandas holds it: numbers, categories, booleans, gaps, labels and ids."""
    frame = pd.DataFrame({
        "id": [f"s{i}" for i in range(N)], "label": ["well", "ill; or so", "no, or yes"] * (N // 3),
        "lab.x": draw(NUMBERS), "lab.sex": draw(TEXTS), "gait.y": draw(NUMBERS),
        "gait.n": pd.array(draw(st.lists(st.integers(-(2**40), 2**40), min_size=N, max_size=N)), "Int64"),
        "gait.b": draw(st.lists(st.booleans(), min_size=N, max_size=N)),
    })  # fmt: skip
    frame["lab.x"], frame["gait.y"] = frame["lab.x"].astype(float), frame["gait.y"].astype(float)
    frame.loc[0, "lab.sex"] = "f"
    return frame[draw(st.permutations(list(frame.columns)))]


@st.composite
def dialects(draw):
    """How a table is written: the name's ending, and the options of `DataFrame.to_csv`."""
    ending = draw(st.sampled_from([".csv", ".csv", ".csv", ".tsv", ".parquet", ".feather", ".xlsx"]))
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    return ending, {
        "sep": separator, "decimal": draw(st.sampled_from([".", ","])),
        "na_rep": draw(st.sampled_from(["", "NA", "-"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])), "quoting": draw(st.sampled_from([0, 1, 2])),
    }  # fmt: skip


def write(frame: pd.DataFrame, path: Path, how: dict, pad: bool) -> Path:
    path.parent.mkdir(exist_ok=True)
    if pad:
        frame = frame.rename(columns=lambda name: f" {name} ")
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, **how)
    return path


def quietly(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)


def keys(path: Path, form: TableFormat = DETECTED) -> list[str]:
    plan = quietly(plan_comparison, Comparison(str(path), seeds=1, missing=("none",), methods=("mle",), form=form))
    return [run.key for run in plan.runs if isinstance(run, Run)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(), dialects(), st.booleans())
def test_a_table_written_by_pandas_in_any_dialect_is_the_same_data_and_the_same_runs(tmp_path, frame, dialect, pad):
    ending, how = dialect
    if ending == ".xlsx" and find_spec("openpyxl") is None:
        ending = ".csv"
    original = write(frame, tmp_path / "a" / "t.parquet", {}, pad=False)
    other = write(frame, tmp_path / "b" / f"t{ending}", how, pad)
    na = ("-",) if how["na_rep"] == "-" else ()
    form = TableFormat(na=na)
    data = quietly(load, str(original), DETECTED)
    try:
        again = quietly(load, str(other), form)
    except InputError as error:  # one number of three decimals alone may be thousands; a text may hold both separators
        assert "--decimal" in str(error) or "--separator" in str(error), error
        assert ending in (".csv", ".tsv")
        form = TableFormat(na=na, decimal=how["decimal"], separator=how["sep"])
        again = quietly(load, str(other), form)
    assert again.labels.tolist() == data.labels.tolist() and again.ids.tolist() == data.ids.tolist()
    for m, values in data.arrays.items():
        if ending == ".xlsx":  # Excel's own 15 to 17 digits
            np.testing.assert_allclose(again.arrays[m], values, rtol=1e-14)
        else:
            np.testing.assert_array_equal(again.arrays[m], values)
    assert again.levels == data.levels
    if ending != ".xlsx":
        assert again.fingerprint() == data.fingerprint()
        assert keys(other, form) == keys(original) != []


def written(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> str:
    (folder / name).write_bytes(text.encode(encoding))
    return str(folder / name)


ROWS = [("u", 1.5, 10), ("v", -0.25, 20), ("u", 3.0, 30)] * 4


def text(separator: str = ",", decimal: str = ".", rows=ROWS) -> str:
    lines = [separator.join(["label", "a.x", "a.y"])]
    return "\n".join([*lines, *(separator.join([c, str(x).replace(".", decimal), str(y)]) for c, x, y in rows)]) + "\n"


@pytest.mark.parametrize(("content", "encoding", "said"), [
    (text(";", ","), "utf-8", "cells separated by semicolons, decimal commas"),
    (text("\t"), "utf-8", "cells separated by tabs"),
    (text("\t", ","), "utf-16", "text in utf-16, cells separated by tabs, decimal commas"),
    (text().replace("a.x", " a.x "), "utf-8", "spaces around names"),
], ids=["Excel in Europe", "tabs", "Excel's Unicode text", "spaces"])  # fmt: skip
def test_what_was_detected_is_said_and_the_data_is_the_same(tmp_path, content, encoding, said):
    plain = load(written(tmp_path, text(), "plain.csv"))
    with pytest.warns(UserWarning, match=rf"t.csv: found {said}"):
        found = load(written(tmp_path, content, encoding=encoding))
    assert found.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(("content", "form", "words"), [
    (text(";", rows=[("u", "1,234", 1), ("v", "2,500", 2)] * 6), {}, ["'a.x'", "'1,234'", "thousands", "--decimal"]),
    (text(";", rows=[("u", "1,5", 1), ("v", "1,234,567", 2)] * 6), {}, ["'1,234,567'", "thousands"]),
    (text(";", rows=[("u", "1,5", 1), ("v", "2.5", 2)] * 6), {}, ["'2.5'", "point", "commas"]),
    (text(";", rows=[("u", "1,5", 1.25), ("v", "2,5", 2.5)] * 6), {}, ["'a.y'", "'1.25'", "point"]),
    (text(";", rows=[("u", 1.5, 1), ("v", 2.5, 2)] * 6), {"decimal": ","}, ["'1.5'", "point"]),
    (text(";", rows=[("u", "1,5", 1), ("v", "2,5", 2)] * 6), {"decimal": "."}, ["row 2", "'1,5'", "not a finite"]),
    ("label;a,x;a.y\n" + "u;1,5;2\nv;2,5;3\n" * 6, {}, ["commas or semicolons", "--separator"]),
    (text(";", ",").replace("20\n", "20;7\n", 1), {}, ["row 3", "4 cells separated by semicolons", "header 3"]),
    (text(";", ","), {"separator": ","}, ["row 2", "2 cells", "header 1"]),
])  # fmt: skip
def test_what_may_mean_two_things_is_refused_with_the_option_that_decides(tmp_path, content, form, words):
    with pytest.raises(InputError) as caught:
        quietly(load, written(tmp_path, content), TableFormat(**form))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("cells", [["1.234,5", "2.000,0"], ["5 %", "10 %"], ["1'000", "2'000"], ["1 000", "2 000"]])
def test_numbers_that_are_written_otherwise_are_no_categories(tmp_path, cells):
    frame = pd.DataFrame({"label": ["u", "v"] * 6, "a.x": cells * 6, "a.y": 1.0})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"row 2, column 'a.x'.*not a finite number"):
        load(str(tmp_path / "t.csv"))
    assert len(quietly(load, str(tmp_path / "t.csv"), TableFormat(categories=("a.x",))).levels["a.x"].values) == 2


def test_the_user_decides_what_is_ambiguous(tmp_path):
    path = written(tmp_path, text(";", rows=[("u", "1,234", 1), ("v", "2,500", 2)] * 6))
    data = quietly(load, path, TableFormat(decimal=","))
    assert data.arrays["a"][:2, 0].tolist() == [1.234, 2.5]
    latin = written(tmp_path, text(";").replace("u;", "ü;"), "latin.csv", "cp1252")
    with pytest.raises(InputError, match=r"not UTF-8.*--encoding cp1252"):
        load(latin)
    assert quietly(load, latin, TableFormat(encoding="cp1252")).classes.tolist() == ["v", "ü"]


def test_texts_of_which_some_read_as_numbers_are_told_the_option_for_categories(tmp_path):
    path = tmp_path / "blood.csv"
    path.write_text("label,a.group\n" + "u,A\nv,0\nu,AB\n" * 4)
    with pytest.raises(
        InputError, match=r"'A' is not a finite number.*'a.group' holds categories.*--category \(8 such"
    ):
        load(str(path))
    with pytest.warns(UserWarning, match=r"columns of categories.*'a.group' \(3\)"):
        assert load(str(path), TableFormat(categories=("a.group",))).arrays["a"].shape[0] == 12


@pytest.mark.parametrize("form", [TableFormat(), TableFormat(na=("-",))])
@pytest.mark.parametrize("dialect", [{}, {"sep": ";", "decimal": ","}, {"sep": "\t"}, {"encoding": "utf-16"}])
def test_the_call_of_pandas_that_is_told_reads_what_was_read(tmp_path, monkeypatch, dialect, form):
    written = pd.DataFrame({"label": ["1,5", "b", "c"], "a.x": [0.5, 1.25, 3.0], "a.k": ["u", "v", "u"]})
    written.to_csv(tmp_path / "new.csv", index=False, **dialect)
    call = call_of_pandas(tmp_path / "new.csv", form)
    assert ("sep" in call, "na_values=['-']" in call) == ("sep" in dialect, bool(form.na))
    monkeypatch.chdir(tmp_path)
    pd.testing.assert_frame_equal(eval(call, {"pandas": pd}), written)


def test_the_call_of_pandas_for_a_binary_table_reads_it(tmp_path, monkeypatch):
    written = pd.DataFrame({"label": ["u", "v"], "a.x": [0.5, 1.25]})
    written.to_parquet(tmp_path / "new.parquet")
    monkeypatch.chdir(tmp_path)
    pd.testing.assert_frame_equal(eval(call_of_pandas(tmp_path / "new.parquet"), {"pandas": pd}), written)
    assert call_of_pandas(tmp_path / "new.xlsx") == "pandas.read_excel('new.xlsx')"


def test_spellings_of_what_is_missing_are_missing_in_every_column_when_asked(tmp_path):
    rows = [["-", "#N/A", "1"], ["u", "2", "-99"], ["v", " - ", "3"], *[["u", "1", "2"], ["v", "2", "3"]] * 3]
    path = written(tmp_path, "\n".join(map(",".join, [["label", "a.x", "a.y"], *rows])))
    with pytest.raises(InputError, match=r"row 2, column 'a.x': '#N/A'.*--na.*2 such cells"):
        load(path)
    data = load(path, TableFormat(na=("-", "#N/A", "-99")))
    assert data.labels[:3].tolist() == ["", "u", "v"]
    np.testing.assert_array_equal(data.arrays["a"][:3], [[np.nan, 1], [2, np.nan], [np.nan, 3]])
    pd.read_csv(path).to_parquet(tmp_path / "t.parquet")
    other = load(str(tmp_path / "t.parquet"), TableFormat(na=("-", "#N/A", "-99")))
    assert other.fingerprint() == data.fingerprint()


def test_all_columns_that_cannot_be_used_are_named_at_once(tmp_path):
    frame = pd.DataFrame({
        "label": ["u", "v"] * 30, "a.x": ["1", "high"] * 30, "a.y": np.arange(60.0), "a.day": ["2024-01-02"] * 60,
        "a.note": [f"note {i}" for i in range(60)], "b.z": [*["1"] * 59, "1_0"],
    })  # fmt: skip
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError) as caught:
        load(str(tmp_path / "t.csv"))
    for word in ("row 3, column 'a.x': 'high'", "'a.day' holds times", "'a.note'", "row 61, column 'b.z': '1_0'"):
        assert word in str(caught.value)
    assert "a.y" not in str(caught.value)


@pytest.fixture
def clinic(tmp_path):
    """A table as a clinic has it: its own names, texts, and columns of no use."""
    rng = np.random.default_rng(3)
    sick = np.arange(96) % 2
    frame = pd.DataFrame({
        "patient": [f"p{i}" for i in range(96)], "diagnosis": np.where(sick, "ill", "well"),
        "site": [f"h{i // 8}" for i in range(96)], "crp": rng.normal(size=96) + 2 * sick, "ldh": rng.normal(size=96),
        "gait_a": rng.normal(size=96) - sick, "gait_b": rng.normal(size=96),
        "sex": rng.choice(["f", "m"], 96), "comment": "nothing, really", "weight": rng.normal(size=96),
    })  # fmt: skip
    frame.to_csv(tmp_path / "clinic.csv", index=False, sep=";", decimal=",")
    return frame, tmp_path / "clinic.csv"


ROLES = {
    "label": "diagnosis", "id": "patient", "group": "site", "ignore": ("comment",),
    "modalities": {"labs": ("crp", "ldh", "sex"), "gait": ("gait_*",)},
}  # fmt: skip
FLAGS = (
    "--label", "diagnosis", "--id", "patient", "--group", "site", "--modality", "labs=crp,ldh,sex", "--modality",
    "gait=gait_*", "--ignore", "comment",
)  # fmt: skip


def test_roles_are_said_once_saved_with_the_run_and_serve_every_verb(clinic, tmp_path, here):
    frame, path = clinic

    def command(*arguments):
        code, _, told = here(*map(str, arguments))
        assert code == 0, told
        return told

    told = command("train", path, "--out", tmp_path / "run", *FLAGS, "--encoder", "linear", "--max-steps", "30")
    assert told.count("columns without a role are left out: 'weight'") == 1
    assert told.count("separated by semicolons, decimal commas") == 1
    assert "'sex' (2)" in told and "comment" not in told and "Warning" not in told
    saved = TableConfig.read(tmp_path / "run" / "config.json").data
    assert (saved.label, saved.modalities["gait"]) == ("diagnosis", ("gait_*",))
    command("evaluate", tmp_path / "run")
    new = frame.drop(columns=["diagnosis", "comment"]).iloc[::-1]
    new.to_csv(tmp_path / "new.csv", index=False)
    command("predict", tmp_path / "run", tmp_path / "new.csv", "--out", tmp_path / "out.csv")
    predicted = pd.read_csv(tmp_path / "out.csv")
    assert predicted["id"].tolist() == new["patient"].tolist()
    told = command("compare", path, "--out", tmp_path / "cmp", *FLAGS, "--encoders", "linear", "--seeds", "1",
                       "--methods", "mle", "--missing", "gait", "--rates", "0.5")  # fmt: skip
    assert told.count("without a role") == 1
    again = command("predict", tmp_path / "cmp", tmp_path / "new.csv", "--out", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == new["patient"].tolist() and "patient" not in again


def test_roles_in_python_and_in_a_config_file_are_those_of_the_command(clinic, tmp_path):
    _, path = clinic
    data = quietly(load, str(path), TableFormat(**ROLES))
    assert data.columns == {"labs": ["crp", "ldh", "sex"], "gait": ["gait_a", "gait_b"]}
    assert data.groups[8] == "h1" and data.ids[3] == "p3"
    lines = ['max_steps = 20', 'encoders = "linear"', "[data]", 'label = "diagnosis"', 'id = "patient"',
             'group = "site"', 'ignore = "comment"', "[data.modalities]", 'labs = ["crp", "ldh", "sex"]',
             'gait = "gait_*"']  # fmt: skip
    (tmp_path / "config.toml").write_text("\n".join(lines))
    config = TableConfig.read(tmp_path / "config.toml")
    assert config.data == TableFormat(**ROLES)
    quietly(elision.train, path, tmp_path / "run", config)
    again = quietly(elision.train, path, tmp_path / "other", TableConfig(max_steps=20, encoders="linear",
                                                                        data=TableFormat(**ROLES)))  # fmt: skip
    first = json.loads((tmp_path / "run" / "result.json").read_text())
    assert first["test"] == json.loads(json.dumps(again.values["test"]))


@pytest.mark.parametrize(("change", "words"), [
    ({"label": "diagnoses", "id": "pat"}, ["'diagnoses'", "'pat'", "--label, --id", "'comment'"]),
    ({"modalities": {"labs": ("crp", "nothing")}}, ["labs=nothing", "'ldh'"]),
    ({"modalities": {"labs": ("crp",), "more": ("c*",)}}, ["'crp' in labs and more"]),
    ({"modalities": {"any": ("crp",)}}, ["'any'", "rename"]),
    ({"modalities": {"labs": ("crp", "comment")}, "ignore": ()}, ["comment"]),
])  # fmt: skip
def test_roles_that_the_table_cannot_have_are_refused(clinic, change, words):
    _, path = clinic
    if "comment" in str(change.get("modalities")):
        frame = quietly(read_table, path, (), "")
        frame["comment"] = [f"text {i}" for i in range(96)]
        frame.to_csv(path, index=False)
    with pytest.raises(InputError) as caught:
        quietly(load, str(path), TableFormat(**ROLES | change))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("values", "words"), [
    ({"decimal": ";"}, "decimal"), ({"separator": ";;"}, "separator"), ({"encoding": "utf-99"}, "encoding"),
    ({"label": "x", "id": "x"}, "two roles"), ({"lable": "x"}, "lable"),
])  # fmt: skip
def test_a_format_that_is_none_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        TableConfig.of({"data": values})


def test_recordings_have_no_section_data():
    with pytest.raises(InputError, match="no option 'data'"):
        TrainConfig.of({"data": {}})


def test_codes_are_categories_when_named_and_keep_their_zeros(tmp_path):
    frame = pd.DataFrame({"label": ["u", "v"] * 6, "a.x": range(12), "a.ward": ["01", "1", "10"] * 4})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = quietly(load, str(tmp_path / "t.csv"), TableFormat(categories=("a.ward",)))
    assert data.levels["a.ward"].values == ("01", "1", "10")
    assert data.encoded(np.arange(12))["a"].shape == (12, 4)
    assert load(str(tmp_path / "t.csv")).arrays["a"].shape == (12, 2)


def test_categories_that_training_rows_lack_are_missing_in_the_others():
    table = {"label": ["u", "v", "u"], "a.x": [1.0, 2.0, 3.0], "a.c": ["p", "q", "r"]}
    from elision.categories import learn_categories
    from elision.data import Dataset

    levels = learn_categories(pd.DataFrame(table)[["a.c"]])
    data = Dataset("d", {"a": np.array([[1, 0], [2, 1], [3, 2.0]])}, np.array(table["label"]),
                   columns={"a": ["a.x", "a.c"]}, levels=levels)  # fmt: skip
    np.testing.assert_array_equal(data.encoded(np.array([0, 1]))["a"], [[1, 1, 0], [2, 0, 1], [3, np.nan, np.nan]])
    hidden = {"a": np.array([True, False, True])}
    np.testing.assert_array_equal(data.encoded(np.array([0, 1]), hidden)["a"][1:], [[2, np.nan], [3, np.nan]])
    assert data.features()["a"].shape == (3, 4)


@pytest.mark.parametrize("name", ["NA", "nan", "null"])
def test_a_label_that_may_mean_none_is_told_and_a_blank_once_it_is_said(tmp_path, name):
    """What R and pandas write for a missing label would be a class of its own, without a word."""
    rows = [f"{['u', 'v'][i % 2] if i % 3 else name},{i}" for i in range(24)]
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(["label,a.x", *rows]))
    with pytest.warns(UserWarning, match=f"found '{name}' in column 'label', .* --na {name} makes it a blank"):
        assert name in load(str(path)).classes
    assert load(str(path), TableFormat(na=(name,))).classes.tolist() == ["u", "v"]
