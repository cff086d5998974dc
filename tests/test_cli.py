"""The command, as a person meets it: files, messages, exit codes, interruptions."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elision.data import load
from elision.data.missing import remove
from elision.errors import InputError
from elision.study.compare import Comparison, plan_comparison

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
COMMAND = str(Path(sys.executable).with_name("elision"))
FILES = {"results.csv", "patterns.csv", "table.md", "curves.png", "confusion.png", "report.html"}
COLUMNS = [
    "data", "method", "fusion", "objective", "missing", "rate", "by_group", "seed", "n_train", "n_complete", "n_test",
    "accuracy", "nll", "ece", "brier", "seconds",
]  # fmt: skip
QUICK = ["--encoders", "linear", "--methods", "zero-padding", "--seeds", "1"]


def manifest(folder: Path, classes=("u", "v", "w"), modalities=("a", "b"), blank: int = 0) -> str:
    """60 samples, two numbers per modality; the first ``blank`` samples lack the second modality."""
    y = np.arange(60) % len(classes)
    numbers = np.random.default_rng(0).normal(size=(60, 4)).round(3) + y[:, None]
    names = [f"{m}.{i}" for m in modalities for i in range(2)]
    frame = pd.DataFrame(numbers, columns=names)
    frame.loc[: blank - 1, names[2:]] = np.nan
    frame.insert(0, "label", np.array(classes)[y])
    path = folder / "tiny.csv"
    frame.to_csv(path, index=False)
    return str(path)


def elision(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, **options)


def visible(out: Path) -> set[str]:
    return {p.name for p in out.iterdir() if not p.name.startswith(".")}


def assert_whole(out: Path) -> int:
    """How many runs are finished; nothing half-written lies in the folder, nor beside a result."""
    json.loads((out / "study.json").read_text())
    results = list((out / "runs").glob("*/result.json"))
    for path in results:
        json.loads(path.read_text())
    assert len(results) == len(list((out / "runs").iterdir())), "a folder without a result"
    assert not list(out.glob(".*"))
    return len(results)


# From data to report.


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(finished process, folder) of a comparison in a process of its own."""
    folder = tmp_path_factory.mktemp("compare")
    arguments = ["compare", manifest(folder), "--out", "out", "--encoders", "linear", "--rates", "0.5", "--seeds", "1"]
    return elision(*arguments, "--methods", "mle", "zero-padding", cwd=folder), folder / "out"


def test_compare_writes_everything_and_says_so(compared):
    done, out = compared
    assert done.returncode == 0, done.stderr
    assert visible(out) == FILES | {
        "study.json",
        "runs",
        "winner",
        "model",
        "MODEL.md",
        "predictions.csv",
        "reading.json",
    }
    assert "zero-padding" in done.stdout and "out/report.html" in done.stdout
    assert re.fullmatch(r"(\d of (4 runs|6 fits of the winner) done(, about .* left)?\n)+", done.stderr)
    assert done.stderr.count("4 of 4 runs done") == 1
    assert done.stderr.splitlines()[-1] == "6 of 6 fits of the winner done"
    assert assert_whole(out) == 4


def test_results_hold_a_row_per_run(compared):
    table = pd.read_csv(compared[1] / "results.csv")
    assert list(table.columns) == COLUMNS
    runs = set(table[["method", "missing", "rate", "seed"]].itertuples(index=False, name=None))
    assert runs == {(method, missing, 0.5, 0) for method in ("mle", "zero-padding") for missing in "ab"}
    assert len(table) == 4
    # 20 of each class: 3 to validate, 3 to test (0.15 x 20), 42 in all to train; half of them lose a modality
    assert (table["n_train"] == 42).all() and (table["n_complete"] == 21).all()
    assert table["n_test"].between(9, 12).all()
    assert table["accuracy"].between(0, 1).all() and (table["nll"] > 0).all() and (table["seconds"] > 0).all()


def test_patterns_hold_each_modality_removed(compared):
    table, patterns = (pd.read_csv(compared[1] / f"{name}.csv") for name in ("results", "patterns"))
    assert len(patterns) == 12
    whole = patterns[patterns["test"] == "as they are"]
    assert whole["nll"].tolist() == table["nll"].tolist()
    assert set(patterns["test"]) == {"as they are", "without a", "without b"}
    without = patterns[patterns["test"] == "without a"]
    assert (without["nll"].to_numpy() != whole["nll"].to_numpy()).all()


def test_the_table_and_the_report_tell_what_was_run(compared):
    out = compared[1]
    results = pd.read_csv(out / "results.csv")
    accuracy = 100 * results.query("method == 'mle' and missing == 'a'")["accuracy"].item()
    assert re.search(rf"\| mle \| addition \| auto \| \**{accuracy:.1f}", (out / "table.md").read_text())
    report = (out / "report.html").read_text()
    for text in ("tiny: 60 samples, 3 classes", "a missing", "50 %", f"{accuracy:.1f}", "arXiv 2108.10513", "torch",
                 "elision compare", "--methods mle zero-padding", "without b"):  # fmt: skip
        assert text in report
    for name in ("curves.png", "confusion.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_the_report_needs_nothing_from_outside(compared):
    report = (compared[1] / "report.html").read_text()
    assert report.count("<svg") == 5  # accuracy and NLL for each of two modalities, and how honest the winner is
    assert not re.search(r"""(src|href)\s*=\s*["']?(?!["']?(data:|#))|url\((?!#)|@import""", report)


def test_as_json_nothing_but_the_result_is_printed_and_quiet_prints_nothing(compared, here, monkeypatch):
    out = compared[1]
    monkeypatch.chdir(out.parent)
    command = ["compare", "tiny.csv", "--out", "out", "--encoders", "linear", "--rates", "0.5", "--seeds", "1"]
    command += ["--methods", "mle", "zero-padding", "--workers", "1"]
    code, said, _ = here(*command, "--json")
    told = json.loads(said)
    assert (code, told["folder"], len(told["runs"]), told["failures"]) == (0, "out", 4, [])
    best = pd.read_csv(out / "results.csv").groupby("method")["nll"].mean()
    assert {rank["line"][0]: rank["nll"] for rank in told["ranking"]} == pytest.approx(best.to_dict())
    assert here(*command, "--quiet") == (0, "", "")


def test_the_same_command_again_trains_nothing(compared, here, monkeypatch):
    out = compared[1]
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/[!.]*/*")}
    monkeypatch.chdir(out.parent)
    command = ["compare", "tiny.csv", "--out", "out", "--encoders", "linear", "--rates", "0.5", "--seeds", "1"]
    code, _, _ = here(*command, "--methods", "mle", "zero-padding", "--workers", "1")
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/[!.]*/*")} == before


def test_the_report_of_a_comparison_is_written_again_from_its_folder(compared, here):
    out = compared[1]
    page = (out / "report.html").read_text()
    tables = {name: (out / name).read_bytes() for name in FILES - {"report.html"}}
    for name in FILES:
        (out / name).unlink()
    code, said, _ = here("report", str(out))
    assert (code, said) == (0, f"Report: {out / 'report.html'}\n")
    assert {name: (out / name).read_bytes() for name in tables} == tables
    again, command = (out / "report.html").read_text(), re.compile("<pre>.*</pre>")
    assert "<pre>elision report" in again and command.sub("", again) == command.sub("", page)


def test_a_folder_of_the_other_kind_of_study_is_refused(compared, here):
    out = compared[1]
    study = out / "study.json"
    whole = study.read_text()
    study.write_text(whole.replace('"kind": "comparison"', '"kind": "reproduction"'))
    words = ["--encoders", "linear", "--rates", "0.5", "--seeds", "1", "--methods", "mle", "zero-padding"]
    code, _, stderr = here("compare", str(out.parent / "tiny.csv"), "--out", str(out), *words)
    study.write_text(whole)
    assert_refused(code, stderr, "kind was reproduction, now comparison", "--out")


def test_other_settings_are_refused_and_change_nothing(compared, here):
    out = compared[1]
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    data = str(out.parent / "tiny.csv")
    for changes, word in ((["--seeds", "2"], "seeds was 1, now 2"), (["--encoders", "mlp"], "encoders was linear")):
        base = {"--encoders": "linear", "--rates": "0.5", "--seeds": "1"} | {changes[0]: changes[1]}
        options = [word for pair in base.items() for word in pair]
        code, _, stderr = here("compare", data, "--out", str(out), "--methods", "mle", "zero-padding", *options)
        assert_refused(code, stderr, word, "--out")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_data_that_lacks_modalities_is_used_as_it_is_and_loses_more_only_on_demand(tmp_path, here):
    source = manifest(tmp_path, classes=("<script>", "$\\frac$", "w"), modalities=("<b>", "$x_$"), blank=30)
    assert {(run.missing, run.rate) for run in plan_comparison(Comparison(source)).runs} == {("none", 0.0)}
    out = tmp_path / "out"
    code, _, stderr = here("compare", source, "--out", str(out), *QUICK, "--missing", "none", "any", "--rates", "0.5")
    assert code == 0, stderr
    assert visible(out) >= FILES
    table = pd.read_csv(out / "results.csv").set_index("missing")
    complete = int(table.loc["none", "n_complete"])
    assert 0 < complete < table.loc["none", "n_train"]  # of the half that was complete, what is trained on
    # with "any", round(0.5 n) of the n complete samples lose something
    assert table.loc["any", "n_complete"] == complete - round(0.5 * complete)
    report = (out / "report.html").read_text()
    assert "<script>" not in report and "<b>" not in report and "&lt;b&gt;" in report


def test_any_is_the_same_for_every_method_and_fewer_lose_something_at_a_lower_rate(tmp_path):
    source = manifest(tmp_path)
    runs = plan_comparison(
        Comparison(source, methods=("mle", "zero-padding"), missing=("any",), rates=(0.5, 0.8), seeds=2)
    ).runs
    assert {(r.rate, r.seed) for r in runs if r.missing == "any"} == {(0.5, 0), (0.5, 1), (0.8, 0), (0.8, 1)}
    observed = load(source).observed
    less, more = (remove(observed, "any", rate, seed=0) for rate in (0.5, 0.8))
    complete = [np.logical_and(*masks.values()).sum() for masks in (less, more)]
    assert complete == [30, 12]


def test_what_is_named_twice_is_run_once(tmp_path):
    once, twice = (
        plan_comparison(Comparison(manifest(tmp_path), **{name: values * n for name, values in {
            "methods": ("mle",), "fusions": ("addition",), "objectives": ("joint",), "rates": (0.5,), "missing": ("a",),
        }.items()})).runs
        for n in (1, 2)
    )  # fmt: skip
    assert list(twice) == list(once)


# Bad input.


def test_a_table_is_inspected_before_anything_is_trained(tmp_path, here):
    path = tmp_path / "t.csv"
    rows = [("x;gut;1,5;klar;2", "x;;2,5;;", "y;schlecht;;trüb;")[i % 3] for i in range(9)]
    lines = ["nr;ort;befund;temp;oel;fe", *(f"{i};{row}" for i, row in enumerate(rows))]
    path.write_text("\n".join(lines), encoding="utf-8")
    roles = ["--label", "befund", "--id", "nr", "--group", "ort", "--modality", "basis=temp", "labor=oel,fe"]
    code, told, err = here("inspect", str(path), *roles, "--json")
    found = json.loads(told)
    assert (code, found["samples"], found["classes"], found["unlabelled"]) == (0, 9, {"gut": 3, "schlecht": 3}, 3), err
    assert found["patterns"] == {"basis": 3, "basis + labor": 3, "labor": 3} and found["groups"] == {"x": 6, "y": 3}
    labor = found["modalities"]["labor"]
    assert (labor["shown"], labor["blank"], labor["categories"]) == (6, 0.25, {"oel": ["klar", "trüb"]})
    code, told, err = here("inspect", str(path), *roles)
    assert "labor: oel (2 values), fe; in 6 samples; 25.0% of its cells are blank there" in told and "decimal" in err
    assert_refused(*here("inspect", str(path), *roles, "--page", "p.html")[::2], "--page")


def assert_refused(code: int, stderr: str, *words: str) -> None:
    assert code == 2
    assert re.fullmatch(r"elision: [^\n]+\n", stderr), stderr  # one message, in one line, and no traceback
    assert "np." not in stderr
    for word in words:
        assert word in stderr


GOOD = "label,a.x,b.y\n" + "".join(f"{'uv'[i % 2]},{i},{-i}\n" for i in range(12))


@pytest.mark.parametrize(("content", "words"), [
    (GOOD.replace("label", "class"), ["data.csv", "no column 'label'", "'class'"]),
    (GOOD.replace("v,1,", "v,inf,"), ["row 3, column 'a.x'", "finite"]),
    (re.sub(r"\n[uv],", "\n,", GOOD), ["'label' is blank in all 12 rows"]),
    (GOOD.replace("v,1,-1", "rare,1,-1"), ["'rare'", "1 sample"]),
    (re.sub(r",[-\d]+\n", ",\n", GOOD), ["'b'", "no sample"]),
    (GOOD.replace("u", "ü").encode("latin-1"), ["data.csv", "not UTF-8"]),
    ("", ["data.csv is empty"]),
    ("label,a.x\n", ["data.csv", "no sample"]),
    (re.sub(r"(?m)$", ",9", GOOD.strip()).replace(",9", "", 1), ["data.csv", "row 2"]),
], ids=lambda value: ", ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_a_bad_manifest_ends_the_command_with_one_message(tmp_path, here, content, words):
    path, out = tmp_path / "data.csv", tmp_path / "out"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, stderr = here("compare", str(path), "--out", str(out), *QUICK)
    assert_refused(code, stderr, *words)
    assert not out.exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["nowhere.csv"], ["nowhere.csv", "does not exist"]),
    (["."], ["folder", ".csv or .parquet"]),
    (["digits", "--methods", "guess"], ["unknown method 'guess'", "zero-padding"]),
    (["digits", "--fusions", "glue"], ["unknown fusion 'glue'", "addition"]),
    (["digits", "--objectives", "both"], ["unknown objective 'both'", "joint"]),
    (["digits", "--encoders", "magic"], ["unknown encoder 'magic'", "linear"]),
    (["digits", "--missing", "smell"], ["unknown modality 'smell'", "left", "right"]),
    (["digits", "--rates", "80"], ["rate 80", "below 1"]),
    (["digits", "--rates", "0"], ["rate 0", "above 0"]),
    (["digits", "--rates", "nan"], ["rate nan"]),
    (["digits", "--rates", "much"], ["much"]),
    (["digits", "--seeds", "0"], ["seeds is 0"]),
    (["digits", "--workers", "0"], ["workers is 0"]),
    (["digits", "--split-by-group"], ["digits", "no column 'group'"]),
    (["digits", "--methods", "zero-padding", "--fusions", "outer-product"], ["zero vector is zero", "use addition"]),
    (["digits", "--depth", "3"], ["--depth"]),
    (["digits", "--seeds"], ["--seeds"]),
], ids=" ".join)  # fmt: skip
def test_a_bad_option_ends_the_command_with_one_message(tmp_path, here, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, stderr = here("compare", *arguments)
    assert_refused(code, stderr, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["compete"], ["--verbose"]], ids=" ".join)
def test_a_bad_command_ends_with_one_message(here, arguments):
    code, _, stderr = here(*arguments)
    assert_refused(code, stderr, arguments[0])


def foreign_file(out: Path) -> None:
    out.write_text("years of work")


def foreign_folder(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")


def foreign_settings(out: Path) -> None:
    out.mkdir()
    (out / "study.json").write_text("// an editor's\n{}")


def settings_of_another_kind(out: Path) -> None:
    out.mkdir()
    (out / "study.json").write_text("[]")


@pytest.mark.parametrize("make", [foreign_file, foreign_folder, foreign_settings, settings_of_another_kind])
def test_an_out_that_is_no_comparison_is_refused_and_left_alone(tmp_path, here, make):
    out = tmp_path / "out"
    make(out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, _, stderr = here("compare", manifest(tmp_path), "--out", str(out), *QUICK)
    assert_refused(code, stderr, "out", "--out")
    (tmp_path / "tiny.csv").unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("out", ["/proc/elision", "/dev/null/elision"])
def test_an_out_that_cannot_be_made_is_one_message(tmp_path, here, out):
    code, _, stderr = here("compare", manifest(tmp_path), "--out", out, *QUICK)
    assert_refused(code, stderr, out, "permissions")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("locked", ["parent", "earlier"])
def test_an_out_without_permission_is_one_message(tmp_path, here, locked):
    parent = tmp_path / "locked"
    parent.mkdir()
    parent.chmod(0o555)
    out = parent if locked == "earlier" else parent / "out"
    code, _, stderr = here("compare", manifest(tmp_path), "--out", str(out), *QUICK)
    assert_refused(code, stderr, str(parent), "Permission denied")


def test_the_installed_command_exits_with_2(tmp_path):
    done = elision("compare", "nowhere.csv", cwd=tmp_path)
    assert_refused(done.returncode, done.stderr, "nowhere.csv")
    assert done.stdout == ""


# Ctrl-C.


@pytest.mark.parametrize("finished", [0, 2], ids=["at the start", "half way"])
def test_ctrl_c_leaves_no_half_written_file_and_the_same_command_goes_on(tmp_path, here, finished):
    arguments = ["compare", manifest(tmp_path), "--out", str(tmp_path / "out"), *QUICK[:-1], "8", "--missing", "none"]
    out = tmp_path / "out"
    process = subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )  # fmt: skip
    assert "0 of 8 runs done" in process.stderr.readline()  # the workers are starting
    while len(list((out / "runs").glob("*/result.json"))) < finished:
        assert process.poll() is None  # it ends by itself at last, so that this does
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the workers too
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "Interrupted" in stderr and "same command again" in stderr
    done = assert_whole(out)
    assert finished <= done < 8
    assert not FILES & visible(out)
    if finished:
        before = {path: path.stat().st_mtime_ns for path in out.glob("runs/[!.]*/*")}
        assert here(*arguments)[0] == 0
        assert visible(out) >= FILES and assert_whole(out) == 8
        assert before.items() <= {path: path.stat().st_mtime_ns for path in out.glob("runs/[!.]*/*")}.items()


# What is compared.


def test_what_lacks_the_complete_samples_it_needs_is_named_before_any_training(tmp_path):
    """Every sample shows one modality of two: ae1, ae2, hgr and lower-bound have nothing to learn from; mle has."""
    from elision.study.compare import Comparison, plan_comparison

    rows = [f"{i % 3},{i % 3}.5,\n{i % 3},,{i % 3}.25\n" for i in range(30)]
    (tmp_path / "half.csv").write_text("label,a.x,b.x\n" + "".join(rows))
    wanting = ("ae1", "ae2", "hgr", "lower-bound")
    made = plan_comparison(Comparison(str(tmp_path / "half.csv"), methods=("mle", *wanting), seeds=2))
    assert {run.method for run in made.runs} == {"mle"}
    assert {what.split(",")[0] for what, _ in made.about["skipped"]} == set(wanting)
    assert all("and there are none (seed 0, 1)" in why for _, why in made.about["skipped"])
    with pytest.raises(InputError, match="nothing is left to compare: ae1"):
        plan_comparison(Comparison(str(tmp_path / "half.csv"), methods=("ae1",), seeds=2))


def test_complete_samples_without_a_label_are_of_use_to_autoencoders_alone(tmp_path):
    from elision.study.compare import Comparison, plan_comparison

    rows = [f"{i % 3},{i % 3}.5,\n{i % 3},,{i % 3}.25\n,{i % 3}.5,{i % 3}.25\n" for i in range(30)]
    (tmp_path / "half.csv").write_text("label,a.x,b.x\n" + "".join(rows))
    made = plan_comparison(
        Comparison(str(tmp_path / "half.csv"), methods=("ae1", "ae2", "hgr", "lower-bound"), seeds=1)
    )
    assert {run.method for run in made.runs} == {"ae1", "ae2"}
    assert {what.split(",")[0] for what, _ in made.about["skipped"]} == {"hgr", "lower-bound"}


def test_what_is_skipped_is_printed_before_anything_is_trained(tmp_path):
    arguments = ["--methods", "zero-padding", "--fusions", "outer-product", "addition", "--missing", "left"]
    done = elision(
        "compare", "digits", *arguments, "--rates", "0.5", "--seeds", "1", "--no-save", "--out", str(tmp_path / "out")
    )
    lines = done.stderr.splitlines()
    told = next(i for i, line in enumerate(lines) if line.startswith("skipped: zero-padding, outer-product"))
    assert done.returncode == 0
    assert told < next(i for i, line in enumerate(lines) if "runs done" in line)


def test_compare_removes_by_a_mechanism_that_depends_on_what_goes_missing(tmp_path):
    """Not at random, the training samples that lose a modality differ from the others in it; at random they do not."""
    from elision.study.compare import Comparison, plan_comparison
    from elision.study.on_arrays import partition

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"label": np.arange(600) % 2, "a.x": rng.normal(size=600), "b.x": rng.normal(size=600)})
    table.to_csv(tmp_path / "data.csv", index=False)
    gaps = {}
    for mechanism in ("mcar", "mnar"):
        comparison = Comparison(str(tmp_path / "data.csv"), ("mle",), missing=("a",), rates=(0.5,), mechanism=mechanism)
        run = plan_comparison(comparison).runs[0]
        values = partition(run).train.arrays
        kept = ~np.isnan(values["a"][:, 0])
        assert kept.sum() == len(kept) - round(0.5 * len(kept))
        whole = table[["a.x", "b.x"]].to_numpy()
        lost = whole[np.isin(whole[:, 1], values["b"][~kept, 0]), 0]
        gaps[mechanism] = abs(values["a"][kept, 0].mean() - lost.mean())
    assert gaps["mcar"] < 0.3 < 0.8 < gaps["mnar"]  # standard error of a gap at random: 0.1
