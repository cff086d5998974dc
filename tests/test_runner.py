"""The runner keeps what is finished, whatever happens to its processes."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import grid_work
from elision.data import load
from elision.errors import InputError
from elision.study.commands import read_command, write_commands
from elision.study.execution import execute
from elision.study.run import Run, Training
from elision.study.runner import run_grid

RUN = Run("digits", "digits", "0123456789abcdef", False, "mle", "addition", "all", Training("linear"), "left", 0.5, 0)
KEY = "cdfe96740cad2193"


def grid(n: int) -> list[Run]:
    return [replace(RUN, seed=seed) for seed in range(n)]


def quiet(done: int, total: int, running: list[str], seconds_left: float | None) -> None:
    pass


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    monkeypatch.setenv(grid_work.LOG, str(tmp_path / "log"))


def visible(out: Path) -> dict[str, dict]:
    """key -> content of every run's folder; fails on a folder without a whole result."""
    return {folder.name: json.loads((folder / "result.json").read_text()) for folder in (out / "runs").glob("[!.]*")}


def test_results_come_in_order_and_a_later_call_does_only_what_is_left(tmp_path):
    told = []
    results, failures = run_grid(grid(3), tmp_path, 2, lambda *news: told.append(news), grid_work.square)
    assert ([r["value"] for r in results], failures) == ([0, 1, 4], [])
    assert told[0] == (0, 3, [run.title for run in grid(2)], None)
    assert told[-1] == (3, 3, [], 0)
    assert run_grid(grid(3), tmp_path, 2, quiet, grid_work.square) == (results, [])
    results, _ = run_grid(grid(4)[::-1], tmp_path, 1, lambda *news: told.append(news), grid_work.square)
    assert [r["value"] for r in results] == [9, 4, 1, 0]
    assert told[-1][:2] == (4, 4)
    assert Counter(grid_work.began()) == Counter(run.key for run in grid(4))


def test_a_run_whose_process_dies_is_tried_again(tmp_path):
    results, failures = run_grid(grid(3), tmp_path, 1, quiet, grid_work.die_once)
    assert [r["value"] for r in results] == [0, 1, 4]
    assert failures == []


def test_a_run_whose_process_always_dies_is_reported(tmp_path):
    """The last run does: nothing is left for another process."""
    results, failures = run_grid(grid(2), tmp_path, 1, quiet, grid_work.die_always)
    assert [f.key for f in failures] == [grid(2)[1].key]
    assert "died" in failures[0].error
    assert [r["value"] for r in results] == [0]


def test_a_run_whose_process_always_dies_takes_no_run_beside_it_with_it(tmp_path):
    results, failures = run_grid(grid(2), tmp_path, 2, quiet, grid_work.die_beside)
    assert [r["value"] for r in results] == [0]
    assert [f.key for f in failures] == [grid(2)[1].key]


def test_a_run_that_fails_is_kept_does_not_stop_the_others_and_is_tried_again_by_the_next_call(tmp_path):
    results, failures = run_grid(grid(4), tmp_path, 1, quiet, grid_work.fail)
    assert [r["value"] for r in results] == [0, 9]
    assert [f.key for f in failures] == [run.key for run in grid(4)[1:3]]
    assert failures[0].error == "ValueError: seed 1 is unlucky"
    assert "grid_work.py" in failures[0].traceback
    assert "set is not JSON" in failures[1].error
    results, failures = run_grid(grid(4), tmp_path, 1, quiet, grid_work.square)
    assert ([r["value"] for r in results], failures) == ([0, 1, 4, 9], [])
    assert Counter(grid_work.began()) == Counter(run.key for run in grid(4) + grid(4)[1:3])


def test_a_full_disk_stops_the_grid_and_keeps_what_is_finished(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        run_grid(grid(3), tmp_path, 1, quiet, grid_work.fill_the_disk)
    assert list(visible(tmp_path)) == [RUN.key]


def test_killed_half_way_and_started_again_it_gives_the_same_and_repeats_no_finished_run(tmp_path):
    runs, out = grid(8), tmp_path / "out"
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_runner as t;"
        "t.run_grid(t.grid(8), t.Path('out'), 2, t.quiet, t.grid_work.slow_square)"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 60
    while not out.exists() or len(visible(out)) < 3:  # looks all the time, so half-written folders would be seen
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)
    finished, before = visible(out), len(grid_work.began())
    assert 3 <= len(finished) < len(runs)

    results, failures = run_grid(runs, out, 1, quiet, grid_work.slow_square)
    repeated = grid_work.began()[before:]
    assert sorted(repeated) == sorted({run.key for run in runs} - set(finished))
    assert failures == []
    wanted = [{"run": asdict(run), "value": run.seed**2, "padding": list(range(20_000))} for run in runs]
    assert results == json.loads(json.dumps(wanted))
    assert not list((out / "runs").glob(".*"))


def test_a_run_has_the_same_key_everywhere_and_wherever_its_data_lies():
    # sha256 of the sorted JSON of all fields but `source` and `folder`: results on people's disks are found by it
    assert RUN.key == KEY
    assert replace(RUN, source="/elsewhere/digits.csv").key == KEY


def test_equal_runs_have_the_same_key():
    whole, real = replace(RUN, rate=1), replace(RUN, rate=1.0)
    assert whole == real and whole.key == real.key


@pytest.mark.parametrize("change", [
    {"fingerprint": "f"}, {"data": "d"}, {"by_group": True}, {"method": "zero-padding"}, {"fusion": "concatenation"},
    {"objective": "joint"}, {"training": Training("mlp")}, {"missing": "right"}, {"rate": 0.8}, {"seed": 1},
], ids=lambda change: next(iter(change)))  # fmt: skip
def test_whatever_decides_a_result_is_in_the_key(change):
    assert replace(RUN, **change).key != RUN.key


def test_a_rate_beyond_one_is_refused():
    with pytest.raises(InputError, match=r"rate is 80.*between 0 and 1"):
        replace(RUN, rate=80)


def test_without_another_try_what_failed_stays_as_it_is(tmp_path):
    first = run_grid(grid(4), tmp_path, 1, quiet, grid_work.fail)
    assert run_grid(grid(4), tmp_path, 1, quiet, grid_work.square, retry_failed=False) == first
    results, failures = run_grid(grid(5), tmp_path, 1, quiet, grid_work.square, retry_failed=False)
    assert ([r["value"] for r in results], len(failures)) == ([0, 9, 16], 2)


def test_a_run_that_is_listed_twice_is_done_once(tmp_path):
    results, _ = run_grid([RUN, RUN], tmp_path, 2, quiet, grid_work.square)
    assert [r["value"] for r in results] == [0, 0]
    assert grid_work.began() == [KEY]


def test_a_result_changed_by_hand_is_reported_and_not_used(tmp_path):
    run_grid(grid(2), tmp_path, 1, quiet, grid_work.square)
    path = tmp_path / "runs" / KEY / "result.json"
    content = path.read_text()
    path.write_text(content.replace('"value": 0', '"value": 7'))
    results, failures = run_grid(grid(2), tmp_path, 1, quiet, grid_work.square)
    assert [r["value"] for r in results] == [1]
    assert [f.key for f in failures] == [KEY]
    assert f"{path} was changed after it was written: remove its folder" in failures[0].error
    path.write_text(content)
    assert len(run_grid(grid(2), tmp_path, 1, quiet, grid_work.square)[0]) == 2
    (path.parent / "result.sha256").unlink()  # as an earlier version left it
    assert len(run_grid(grid(2), tmp_path, 1, quiet, grid_work.square)[0]) == 2
    assert len(grid_work.began()) == 2


def test_a_result_that_is_cut_off_is_done_again(tmp_path):
    run_grid(grid(3), tmp_path, 1, quiet, grid_work.square)
    for run, content in zip(grid(3), ("", '{"value": 0', "[1]"), strict=True):
        (tmp_path / "runs" / run.key / "result.json").write_text(content)
    results, failures = run_grid(grid(3), tmp_path, 1, quiet, grid_work.square)
    assert ([r["value"] for r in results], failures) == ([0, 1, 4], [])


OTHER = grid_work.OtherRun("a", (1, 2, 3), grid_work.Nested(0.5, None))


def test_runs_of_any_frozen_dataclass(tmp_path):
    results, failures = run_grid([OTHER], tmp_path, 1, quiet, grid_work.total)
    assert (results, failures) == ([{"total": 6.5}], [])


def test_commands_that_a_shell_carries_out_leave_what_the_runner_finds(tmp_path):
    """One that succeeds, one that fails; what is done already is not listed."""
    out = tmp_path / "a folder"
    run_grid(grid(1), out, 1, quiet, grid_work.fail)
    assert run_grid(grid(2), out, 1, quiet, grid_work.fail, engine="list")[1] == []
    (command,) = (out / "commands.txt").read_text().splitlines()
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"{grid(2)[1].title}: ValueError: seed 1 is unlucky")
    run_grid([*grid(2), OTHER], out, 1, quiet, grid_work.total, engine="list")
    command, other = (out / "commands.txt").read_text().splitlines()
    assert subprocess.run(other, shell=True, cwd=tmp_path).returncode == 0
    results, failures = run_grid([*grid(2), OTHER], out, 1, quiet, grid_work.total, retry_failed=False)
    assert [r.get("total") for r in results] == [None, 6.5]
    assert failures[0].error == "ValueError: seed 1 is unlucky"


def test_a_written_run_is_the_run_again(tmp_path):
    for run, work in ((RUN, grid_work.square), (OTHER, grid_work.total)):
        write_commands(tmp_path, [run], work)
        assert read_command(tmp_path, run.key) == (run, work)


def test_commands_that_cannot_be_written_or_read_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected a function or class of a module"):
        run_grid([RUN], tmp_path, 1, quiet, lambda run: {}, engine="list")
    with pytest.raises(InputError, match=r"cannot be written into a command: expected text, a number"):
        write_commands(tmp_path, [replace(OTHER, name={1})], grid_work.total)
    with pytest.raises(InputError, match="does not exist: list the grid's commands again"):
        read_command(tmp_path, "0" * 16)
    write_commands(tmp_path, [RUN], grid_work.square)
    path = tmp_path / "commands" / f"{KEY}.json"
    whole = path.read_text()
    for wrong in (whole.replace('"seed"', '"sed"'), whole[:40], whole.replace("grid_work:", "nowhere_work:"), "[]"):
        path.write_text(wrong)
        with pytest.raises(InputError, match="does not describe a run"):
            read_command(tmp_path, KEY)
    path.write_text(whole.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(InputError, match="it was changed, or another version"):
        read_command(tmp_path, KEY)


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(InputError, match="choose from list, local, ray"):
        run_grid([RUN], tmp_path, 1, quiet, grid_work.square, engine="slurm")


def test_the_estimate_takes_each_kind_of_run_for_itself(tmp_path):
    told = []
    runs = [replace(RUN, method=m, seed=s) for s in range(2) for m in ("mle", "zero-padding")]
    run_grid(runs, tmp_path, 1, lambda *news: told.append(news), grid_work.slow_mle)
    after_three = [left for done, _, _, left in told if done == 3]  # a zero-padding is left
    assert after_three and after_three[0] < 0.2
    assert next(left for done, _, _, left in told if done == 2) > 0.5


def test_the_runner_imports_no_work_of_its_users():
    script = "import sys, elision.study.runner; print(*(m for m in sys.modules if m.startswith('elision.study')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rooms = {"commands", "folders", "runner"}
    assert set(done.stdout.split()) == {"elision.study"} | {f"elision.study.{name}" for name in rooms}


def test_a_run_does_not_warn_of_the_samples_without_a_label_that_the_report_counts(tmp_path):
    rows = "".join(f"{'uv '[i % 3].strip()},{i % 3}.{i},{i % 3}.5\n" for i in range(60))
    (tmp_path / "some.csv").write_text("label,a.x,b.x\n" + rows)
    source = str(tmp_path / "some.csv")
    run = replace(RUN, source=source, fingerprint=load(source).fingerprint(), method="zero-padding", missing="a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert execute(run).test.metrics.n > 0
