"""The runner keeps what is finished, whatever happens to its processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import grid_work
from elision.errors import InputError
from elision.experiments.run import Run
from elision.experiments.runner import run_grid

RUN = Run("digits", "digits", "0123456789abcdef", False, "mle", "addition", "auto", "linear", "left", 0.5, 0)
TESTS = Path(__file__).parent
KEY = "e205fe182f4f3d53"


def grid(n: int) -> list[Run]:
    return [replace(RUN, seed=seed) for seed in range(n)]


def quiet(done: int, total: int, running: list[str], seconds_left: float | None) -> None:
    pass


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    monkeypatch.setenv(grid_work.LOG, str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


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
    assert [f["key"] for f in failures] == [grid(2)[1].key]
    assert "died" in failures[0]["error"]
    assert [r["value"] for r in results] == [0]


def test_a_run_whose_process_always_dies_takes_no_run_beside_it_with_it(tmp_path):
    results, failures = run_grid(grid(2), tmp_path, 2, quiet, grid_work.die_beside)
    assert [r["value"] for r in results] == [0]
    assert [f["key"] for f in failures] == [grid(2)[1].key]


def test_a_run_that_fails_is_kept_does_not_stop_the_others_and_is_tried_again_by_the_next_call(tmp_path):
    results, failures = run_grid(grid(4), tmp_path, 1, quiet, grid_work.fail)
    assert [r["value"] for r in results] == [0, 9]
    assert [f["key"] for f in failures] == [run.key for run in grid(4)[1:3]]
    assert failures[0]["error"] == "ValueError: seed 1 is unlucky"
    assert "grid_work.py" in failures[0]["traceback"]
    assert "set is not JSON" in failures[1]["error"]
    results, failures = run_grid(grid(4), tmp_path, 1, quiet, grid_work.square)
    assert ([r["value"] for r in results], failures) == ([0, 1, 4, 9], [])
    assert Counter(grid_work.began()) == Counter(run.key for run in grid(4) + grid(4)[1:3])


def test_a_full_disk_stops_the_grid_and_keeps_what_is_finished(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        run_grid(grid(3), tmp_path, 1, quiet, grid_work.fill_the_disk)
    assert list(visible(tmp_path)) == [RUN.key]


def test_killed_half_way_and_started_again_it_gives_the_same_and_repeats_no_finished_run(tmp_path):
    runs, out = grid(8), tmp_path / "out"
    script = "import test_runner as t; t.run_grid(t.grid(8), t.Path('out'), 2, t.quiet, t.grid_work.slow_square)"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, start_new_session=True)
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
    assert results == [{"run": asdict(run), "value": run.seed**2, "padding": list(range(20_000))} for run in runs]
    assert not list((out / "runs").glob(".*"))


def test_a_run_has_the_same_key_everywhere_and_wherever_its_data_lies():
    # sha256 of the sorted JSON of all fields but `source`: results on people's disks are found by it
    assert RUN.key == KEY
    assert replace(RUN, source="/elsewhere/digits.csv").key == KEY


def test_equal_runs_have_the_same_key():
    whole, real = replace(RUN, rate=1), replace(RUN, rate=1.0)
    assert whole == real and whole.key == real.key


@pytest.mark.parametrize("change", [
    {"fingerprint": "f"}, {"data": "d"}, {"by_group": True}, {"method": "zero-padding"}, {"fusion": "concatenation"},
    {"objective": "joint"}, {"encoders": "mlp"}, {"missing": "right"}, {"rate": 0.8}, {"seed": 1},
], ids=lambda change: next(iter(change)))  # fmt: skip
def test_whatever_decides_a_result_is_in_the_key(change):
    assert replace(RUN, **change).key != RUN.key


def test_a_rate_beyond_one_is_refused():
    with pytest.raises(InputError, match=r"rate is 80.*between 0 and 1"):
        replace(RUN, rate=80)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Without, they would go on with what they do, beside a second start that does it again."""
    code = (
        "from multiprocessing import get_context\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import os, signal, time\n"
        "from elision.experiments.runner import _start_worker\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), _start_worker)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    time.sleep(1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    with (tmp_path / "pid").open("w") as output:  # not a pipe: the worker would hold it open
        subprocess.run([sys.executable, str(script)], stdout=output, stderr=subprocess.DEVNULL, check=False)
    worker = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    ended = not Path(f"/proc/{worker}").exists()
    if not ended:
        os.kill(worker, signal.SIGKILL)
    assert ended
