"""Splits, missingness, digits, manifests: who is where, and what is refused with which words."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from sklearn.datasets import load_digits

from elision.data import Dataset, load
from elision.data.missing import remove
from elision.data.partition import Partition
from elision.data.splits import PARTS, split, stratified_part
from elision.errors import InputError

HEADER = ["label", "id", "group", "a.x", "a.y", "b.z"]
ROWS = [[name, f"s{i}", f"g{i % 5}", str(i / 8), str(-i), str(2 * i)] for i, name in enumerate(["u", "v", "w"] * 4)]
TABLE = [HEADER, *ROWS]


def csv(table: list[list[str]]) -> str:
    return "\n".join(",".join(row) for row in table) + "\n"


def edited(row: int, column: int, text: str) -> str:
    """The good manifest with one cell changed; row 1 is the header, as in a spreadsheet, and column 1 the first."""
    table = [list(cells) for cells in TABLE]
    table[row - 1][column - 1] = text
    return csv(table)


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refused(source: str, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(source)
    message = str(caught.value).replace(str(Path(source).parent), "")  # numbers in the folder's name are no finding
    for word in words:
        assert word in message
    assert "np." not in message and "\n" not in message


# Splits.


@pytest.mark.parametrize("counts", [[60, 40, 25], [3, 3, 3], [1000, 7], [20, 13, 11, 6]])
@pytest.mark.parametrize("seed", range(3))
def test_split_gives_each_part_its_share_of_each_class(counts, seed):
    codes = np.random.default_rng(9).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split(codes, None, seed)
    assert set(parts) == set(PARTS)
    for code, n in enumerate(counts):
        held = {part: int(((codes == code) & (parts == part)).sum()) for part in PARTS}
        assert sum(held.values()) == n
        assert min(held.values()) >= 1
        if n >= 7:  # from 7 on, a share of 0.15 n is at least one sample by itself
            assert abs(held["val"] - 0.15 * n) < 1
            assert abs(held["test"] - 0.15 * n) < 1.2  # 3/17 of the rest: val's rounding adds up to 0.18


def test_split_is_15_per_cent_on_average():
    codes = np.repeat(np.arange(5), 11)
    shares = [np.mean(split(codes, None, seed) == part) for seed in range(200) for part in ("val", "test")]
    # each class holds 1 or 2 of 11, 1.65 on average: deviation 0.48, of the mean of 5 x 400 such counts 0.011 / 11
    np.testing.assert_allclose(np.mean(shares), 0.15, atol=4 * 0.011 / 11)


@pytest.mark.parametrize("groups", [None, np.arange(90) // 6])
def test_split_is_a_function_of_its_seed(groups):
    codes = np.arange(90) % 3
    first, again, other = (split(codes, groups, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_split_trains_on_what_has_no_label_and_splits_the_rest_as_if_it_were_alone():
    codes = np.arange(60) % 3
    parts = split(np.concatenate([codes, np.full(20, -1)]), None, seed=4)
    assert set(parts[60:]) == {"train"}
    np.testing.assert_array_equal(parts[:60], split(codes, None, seed=4))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_groups", "held"), [(20, 3), (4, 1), (3, 1)])  # round(0.15 x 20) = 3, at least one
def test_groups_never_cross_parts(n_groups, held, seed):
    groups = np.array([f"g{i}" for i in np.arange(120) % n_groups])
    parts = split(np.arange(120) // 60, groups, seed)
    where = {part: set(groups[parts == part]) for part in PARTS}
    assert [len(where[part]) for part in PARTS] == [n_groups - 2 * held, held, held]
    assert sum(map(len, where.values())) == len(set.union(*where.values()))


def test_groups_that_the_data_names_are_kept_together_unless_asked_otherwise():
    groups = np.array([f"g{i}" for i in np.arange(60) % 6])
    data = Dataset("made", {"a": np.zeros((60, 1))}, np.array(["u", "v"])[np.arange(60) // 30], groups=groups)
    for by_group, apart in ((None, True), (True, True), (False, False)):
        parts = Partition.of(data, 0, by_group)
        sides = [set(groups[part]) for part in (parts.train, parts.validation, parts.test)]
        assert (sum(map(len, sides)) == 6) == apart, by_group


def test_too_few_groups_are_refused():
    with pytest.raises(InputError, match=r"2 group\(s\): expected at least 3"):
        split(np.arange(10) % 2, np.arange(10) % 2, seed=0)


def test_a_class_that_groups_leave_out_of_training_is_refused_with_an_option_that_exists():
    codes = np.repeat([0, 1], [90, 10])
    groups = np.repeat(np.arange(10), 10)  # class 1 is one group
    seed = next(s for s in range(100) if _held_out(s))
    with pytest.raises(InputError, match=f"seed {seed} leaves class '1' out of training.*--split-random"):
        split(codes, groups, seed)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_in_which_no_sample_has_a_label_is_refused(part):
    groups = np.arange(40) // 10
    labelled = np.arange(40) % 2
    seed = next(s for s in range(100) if split(labelled, groups, s)[-1] == part)
    with pytest.raises(InputError, match="label"):
        split(np.where(groups == 3, -1, labelled), groups, seed)  # the last group is all there is of that part


def _held_out(seed: int) -> bool:
    return split(np.zeros(100, int), np.repeat(np.arange(10), 10), seed)[-1] != "train"


def test_stratified_part_leaves_one_of_each_class_on_either_side():
    chosen = stratified_part(np.array([0, 0, 1, 1, -1, -1]), 0.01, np.random.default_rng(0))
    assert np.bincount(np.array([0, 0, 1, 1])[chosen]).tolist() == [1, 1]


def test_stratified_part_refuses_a_class_of_one_sample():
    with pytest.raises(InputError, match="one sample"):
        stratified_part(np.array([0, 0, 1]), 0.5, np.random.default_rng(0))


# Missingness.

COMPLETE = {m: np.ones(41, bool) for m in "abc"}
INCOMPLETE = {"a": np.arange(41) < 30, "b": np.arange(41) >= 20, "c": np.arange(41) % 2 == 0}
"""30 and 21 samples, 10 of them both: eligible for losing a are those that also show b or c."""
RATES = [0.0, 0.1, 0.5, 0.85, 0.95, 1.0]


def eligible(observed: dict[str, np.ndarray], missing: str) -> np.ndarray:
    several = sum(mask.astype(int) for mask in observed.values()) >= 2
    return several if missing == "any" else several & observed[missing]


@pytest.mark.parametrize("observed", [COMPLETE, INCOMPLETE], ids=["complete", "incomplete"])
@pytest.mark.parametrize("missing", ["a", "c", "any"])
@pytest.mark.parametrize("rate", RATES)
def test_remove_hits_exactly_the_rate_and_never_the_last_modality(observed, missing, rate):
    before = {m: mask.copy() for m, mask in observed.items()}
    after = remove(observed, missing, rate, seed=3)
    lost = {m: observed[m] & ~after[m] for m in observed}
    hit = np.logical_or.reduce(list(lost.values()))
    can = eligible(observed, missing)
    assert hit.sum() == round(rate * can.sum())
    assert not (hit & ~can).any()
    assert not any((after[m] & ~observed[m]).any() for m in observed)  # nothing appears
    shown = sum(mask.astype(int) for mask in after.values())
    assert (shown[can] >= 1).all()  # with "any": a proper subset was lost
    if missing != "any":
        assert all(not lost[m].any() for m in observed if m != missing)
    for m, mask in observed.items():  # the caller's masks are as they were
        np.testing.assert_array_equal(mask, before[m])


@pytest.mark.parametrize("missing", ["b", "any"])
def test_remove_hits_the_fewer_among_the_more(missing):
    tables = [remove(COMPLETE, missing, rate, seed=7) for rate in RATES]
    for fewer, more in pairwise(tables):
        for m in COMPLETE:
            assert not (more[m] & ~fewer[m]).any()


def test_remove_is_a_function_of_its_seed():
    first, again, other = (remove(COMPLETE, "any", 0.5, seed)["a"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_any_loses_each_proper_subset_equally_often():
    masks = {m: np.ones(3000, bool) for m in "abc"}
    after = np.stack(list(remove(masks, "any", 1.0, seed=0).values()), axis=1)
    codes, counts = np.unique(after @ [1, 2, 4], return_counts=True)
    assert codes.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.abs(counts - 500).max() < 4 * np.sqrt(3000 / 6 * 5 / 6)  # four binomial deviations


def test_remove_refuses_an_unknown_modality():
    with pytest.raises(InputError, match="unknown modality 'd': the data has a, b, c"):
        remove(COMPLETE, "d", 0.5, seed=0)


# Digits.


def test_digits_are_the_halves_of_each_picture():
    data, bunch = load("digits"), load_digits()
    left, right = (data.arrays[m].reshape(-1, 8, 4) for m in ("left", "right"))
    np.testing.assert_array_equal(np.concatenate([left, right], axis=2), bunch.images)
    np.testing.assert_array_equal(data.classes[data.codes].astype(int), bunch.target)
    assert data.is_complete


# Manifests.


def test_a_manifest_is_read_as_it_is(tmp_path):
    table = [list(cells) for cells in TABLE]
    table[1][0] = ""  # no label
    table[2][3] = ""  # a lacks one number
    table[3][3] = table[3][4] = " NaN".strip()  # a is missing
    data = load(written(tmp_path, csv(table)))
    assert data.name == "data"
    assert {m: a.shape for m, a in data.arrays.items()} == {"a": (12, 2), "b": (12, 1)}
    np.testing.assert_array_equal(data.arrays["a"][:3], [[0, 0], [np.nan, -1], [np.nan, np.nan]])
    np.testing.assert_array_equal(data.arrays["b"][:, 0], np.arange(12) * 2.0)
    assert data.classes.tolist() == ["u", "v", "w"]
    assert data.codes[:4].tolist() == [-1, 1, 2, 0]
    assert data.groups.tolist() == [f"g{i % 5}" for i in range(12)]
    assert data.parts is None and not data.is_complete
    assert data.observed["a"].tolist() == [True, True, False] + [True] * 9


@pytest.mark.parametrize("encode", [
    lambda text: text.encode("utf-8-sig"), lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace("u,", '"u",').encode(),
], ids=["byte order mark", "Windows line ends", "quotes"])  # fmt: skip
def test_what_spreadsheets_write_is_read(tmp_path, encode):
    plain = load(written(tmp_path, csv(TABLE)))
    assert load(written(tmp_path, encode(csv(TABLE)))).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("labels", [["u", "v", None] * 4, [3, 1, 2] * 4, [3, 1, None] * 4], ids=str)
def test_csv_and_parquet_are_equal(tmp_path, labels):
    columns = {
        "label": pyarrow.array(labels), "id": list(range(12)), "split": [*["train"] * 4, *["val"] * 4, *["test"] * 4],
        "a.x": [0.1, None, *range(10)], "b.z": pyarrow.array([None, 5, *range(10)]),
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    names = ["" if label is None else str(label) for label in labels]
    rows = zip(names, *(list(map(str, columns[c])) for c in ("id", "split", "a.x", "b.z")), strict=True)
    text = csv([list(columns), *([cell if cell != "None" else "" for cell in row] for row in rows)])
    first, second = load(written(tmp_path, text)), load(str(tmp_path / "data.parquet"))
    assert first.labels.tolist() == second.labels.tolist() == names
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize(("content", "words"), [
    ("", ["data.csv", "empty", "header"]),
    ("\n\n", ["data.csv", "empty"]),
    (csv([HEADER]), ["data.csv", "no sample"]),
    (edited(1, 1, "class"), ["no column 'label'", "'class', 'id'", "--label"]),
    (csv([row[1:] for row in TABLE]), ["no column 'label'"]),
    (csv([row[:3] for row in TABLE]), ["no column modality.feature", "'label', 'id', 'group'", "--modality labs="]),
    (edited(1, 5, "a.x"), ["column 'a.x' twice"]),
    (edited(1, 3, "label"), ["column 'label' twice"]),
    (edited(4, 5, "loud"), ["row 4", "column 'a.y'", "'loud'", "number"]),
    (edited(13, 5, "True"), ["row 13", "column 'a.y'", "'True'"]),
    (edited(4, 6, "inf"), ["row 4", "column 'b.z'", "inf", "finite"]),
    (edited(4, 6, "-Infinity"), ["row 4", "column 'b.z'", "finite"]),
    (edited(4, 6, "1e999"), ["row 4", "column 'b.z'", "finite"]),
    (edited(3, 4, "loud").replace("\n", "\n\n", 1), ["row 4", "column 'a.x'"]),  # a blank line is a row there
    (csv([HEADER, *([row[0].upper() + "ß", *row[1:]] for row in ROWS)]).encode("latin-1"), ["not UTF-8"]),
    (csv(TABLE).encode("utf-16")[:-21], ["not utf-16", "--encoding"]),
    (csv([HEADER, *(["", *row[1:]] for row in ROWS)]), ["column 'label'", "blank in all 12 rows"]),
    (csv([HEADER, *(["u", *row[1:]] for row in ROWS)]), ["one class only, 'u'", "at least two"]),
    (edited(5, 1, "rare"), ["class 'rare'", "1 sample", "at least 3"]),
    (edited(5, 2, "s0"), ["id 's0'", "2 times", "unique"]),
    (edited(5, 3, ""), ["row 5", "column 'group'"]),
    (csv(TABLE).replace("group", "split"), ["row 2", "column 'split'", "'g0'", "train, val, test"]),
    (csv([HEADER, *([*row, "7"] for row in ROWS)]), ["data.csv", "row 2", "7", "6"]),  # cells: came, expected
    (csv([*TABLE[:3], [*TABLE[3], "7"], *TABLE[4:]]), ["data.csv", "4", "7", "6"]),
    (csv([*TABLE[:3], TABLE[3][:-1], *TABLE[4:]]), ["data.csv", "row 4", "5", "6"]),
    (csv([*TABLE[:-1], TABLE[-1][:2]]), ["data.csv", "row 13"]),  # cut off, as by a full disk
    (edited(4, 1, '"u'), ["data.csv"]),  # a quote that is never closed
    (csv([HEADER, *([*row[:-1], ""] for row in ROWS)]), ["'b'", "no sample"]),
], ids=lambda value: ", ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_a_bad_manifest_is_refused_with_what_is_wrong_and_where(tmp_path, content, words):
    refused(written(tmp_path, content), *words)


@pytest.mark.parametrize(("parts", "words"), [
    (["train"] * 6 + ["val"] * 6, ["column 'split'", "no labelled sample into 'test'"]),
    (["train"] * 2 + ["val"] * 5 + ["test"] * 5, ["class 'w'", "no sample with split 'train'"]),
    (["train"] * 6 + ["val"] * 3 + ["exam"] * 3, ["row 11", "column 'split'", "'exam'", "train, val, test"]),
    (["train"] * 6 + ["val"] * 5 + [""], ["row 13", "column 'split'"]),
], ids=lambda value: ", ".join(value[:2]))  # fmt: skip
def test_a_bad_split_is_refused(tmp_path, parts, words):
    table = [["split", *HEADER], *([part, *row] for part, row in zip(parts, ROWS, strict=True))]
    refused(written(tmp_path, csv(table)), *words)


def test_a_given_split_may_hold_rare_classes(tmp_path):
    table = [["split", "label", "a.x"], *([part, c, "1"] for part in PARTS for c in "uv"), ["train", "rare", "2"]]
    assert load(written(tmp_path, csv(table))).parts.tolist() == [*np.repeat(PARTS, 2), "train"]


def test_text_late_in_a_long_column_is_named_like_any_other(tmp_path):
    """pandas reads long files in chunks and warns of mixed types; warnings are errors here."""
    lines = [f"{'uv'[i % 2]},{i}" for i in range(60_000)]
    lines[59_000] = "u,loud"
    refused(written(tmp_path, "label,a.x\n" + "\n".join(lines)), "row 59002", "column 'a.x'", "'loud'")


@pytest.mark.parametrize(("name", "words"), [
    ("nowhere.csv", ["nowhere.csv does not exist", "digits", ".csv or .parquet"]),
    ("folder", ["folder is a folder", ".csv or .parquet"]),
    ("folder/data.xls", ["'.xls'", ".csv, .tsv, .parquet, .feather, .xlsx"]),
    ("folder/text.parquet", ["text.parquet is not a Parquet file"]),
    ("folder/empty.parquet", ["empty.parquet is not a Parquet file"]),
])  # fmt: skip
def test_a_path_that_is_no_manifest_is_refused(tmp_path, name, words):
    folder = tmp_path / "folder"
    folder.mkdir()
    for file, content in {"data.xls": "x", "text.parquet": csv(TABLE), "empty.parquet": ""}.items():
        written(folder, content, file)
    refused(str(tmp_path / name), *words)


@pytest.mark.parametrize(("values", "words"), [
    ([*map(str, range(11)), "loud"], ["row 13", "column 'a.x'", "'loud'"]),
    ([1.0, -np.inf, *range(10)], ["row 3", "column 'a.x'", "inf"]),
    ([[1, 2]] * 12, ["row 2", "column 'a.x'", "not a finite number"]),
    (pd.date_range("2026-01-01", periods=12), ["column 'a.x'", "holds times"]),
], ids=["text", "infinity", "lists", "dates"])  # fmt: skip
def test_a_parquet_cell_that_is_no_number_is_refused(tmp_path, values, words):
    path = tmp_path / "data.parquet"
    pd.DataFrame({"label": ["u", "v"] * 6, "a.x": values}).to_parquet(path)
    refused(str(path), *words)


DATA = Dataset("d", {"a": np.arange(6.0).reshape(3, 2)}, np.array(["u", "v", ""]), np.array(["g", "h", "h"]))


@pytest.mark.parametrize("change", [
    {"arrays": {"a": np.array([[0, 1], [2, 3], [4, 5 + 1e-12]])}}, {"arrays": {"b": DATA.arrays["a"]}},
    {"arrays": {"a": DATA.arrays["a"].reshape(3, 1, 2)}}, {"arrays": {"a": np.array([[np.nan, 1], [2, 3], [4, 5]])}},
    {"labels": np.array(["u", "v", "u"])}, {"groups": None}, {"groups": np.array(["g", "g", "h"])},
    {"parts": np.array(["train", "val", "test"])},
    {"groups": None, "parts": DATA.groups},
], ids=lambda change: "+".join(change))  # fmt: skip
def test_the_fingerprint_changes_with_the_content(change):
    assert replace(DATA, **change).fingerprint() != DATA.fingerprint()


def test_the_fingerprint_is_that_of_the_content_alone():
    assert replace(DATA, name="other", labels=DATA.labels.astype("U9")).fingerprint() == DATA.fingerprint()


def test_a_parquet_index_is_a_column_if_it_has_a_name_and_nothing_otherwise(tmp_path):
    table = pd.DataFrame({"id": [f"s{i}" for i in range(12)], "label": ["u", "v"] * 6, "a.x": np.arange(12.0)})
    table.set_index("id").to_parquet(tmp_path / "named.parquet")
    table.iloc[::-1].to_parquet(tmp_path / "shuffled.parquet")
    assert load(str(tmp_path / "named.parquet")).labels.tolist() == ["u", "v"] * 6
    table.loc[0, "a.x"] = np.inf
    table.iloc[::-1].to_parquet(tmp_path / "infinite.parquet")
    with pytest.raises(InputError, match="row 13"):
        load(str(tmp_path / "infinite.parquet"))


@pytest.mark.parametrize("word", ["any", "each", "none"])
def test_words_of_the_command_are_no_modalities(tmp_path, word):
    (tmp_path / "data.csv").write_text(f"label,{word}.x\n" + "u,1\nv,2\n" * 6)
    with pytest.raises(InputError, match="rename"):
        load(str(tmp_path / "data.csv"))
