"""Work in parallel: whatever a task does to its process, the others are done, and each is told of once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import parallel_work as work
from elision.errors import InputError
from elision.parallel import DIED, Placing, work_through

TWO = Placing(2)


def results(tasks, function, placing=TWO, engine="local") -> dict:
    done = list(work_through(tasks, function, placing, engine))
    assert len({d.task for d in done}) == len(done) == len(tasks)
    return {d.task: d.result if d.failure is None else d.failure for d in done}


def test_every_task_is_done_once_by_kept_processes_in_bounded_number():
    told = []
    done = list(work_through(range(6), work.process, TWO, tell=lambda running: told.append(list(running))))
    assert sorted(d.task for d in done) == list(range(6))
    assert 1 <= len({d.result for d in done} - {os.getpid()}) <= 2
    assert max(map(len, told)) == 2 and told[0] == [0, 1] and told[-1] == []
    assert all(0.05 <= d.seconds < 5 for d in done)


def test_nothing_to_do_starts_nothing():
    assert results([], work.square) == {}


def test_a_worker_has_one_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert results([0], work.threads) == {0: 1}
    assert "OMP_NUM_THREADS" not in os.environ


def test_workers_share_the_devices_out_among_themselves():
    assert set(results(range(6), work.device, Placing(2, devices=("0", "1"))).values()) == {"0", "1"}
    assert set(results(range(2), work.device, Placing(2, devices=("3",))).values()) == {"3"}


def test_whatever_a_task_raises_or_returns_comes_back_as_a_failure():
    found = results(["raise", "fine", "exit", "unpicklable"], work.misbehave)
    assert found["fine"] == "fine"
    assert "Unpicklable" in found["raise"].error and "parallel_work.py" in found["raise"].traceback
    assert found["exit"].error == "SystemExit: goodbye"
    assert "cannot pickle" in found["unpicklable"].error
    assert not any(found[name].died for name in ("raise", "exit", "unpicklable"))


def test_a_task_that_cannot_be_read_in_the_worker_is_a_failure():
    unreadable, number = work.UnreadableTask(), 2
    found = {type(d.task): d for d in work_through([unreadable, number], work.square, Placing(1))}
    assert "invalid literal" in found[work.UnreadableTask].failure.error
    assert found[int].result == 4


def test_a_full_disk_stops_everything_and_names_the_file():
    with pytest.raises(OSError, match="No space left") as caught:
        results(range(6), work.disk, Placing(1))
    assert caught.value.filename == "/some/where"


@pytest.mark.parametrize("workers", [1, 3])
def test_a_crash_in_native_code_costs_its_own_task_only(tmp_path, workers):
    found = results([(str(tmp_path), x) for x in range(6)], work.die, Placing(workers))
    by_number = {x: value for (_, x), value in found.items()}
    assert by_number.pop(3).error == DIED
    assert by_number == {x: x for x in (0, 1, 2, 4, 5)}
    tries = {int(marks.name): len(marks.read_text().split()) for marks in tmp_path.iterdir()}
    assert tries == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1, 5: 1}


def test_a_killed_worker_is_replaced_and_its_neighbour_works_on(tmp_path):
    killed = []

    def kill_once(running) -> None:
        marks = list(tmp_path.glob("0-*"))
        if marks and not killed:
            killed.append(int(marks[0].name.partition("-")[2]))
            os.kill(killed[0], signal.SIGKILL)

    tasks = [(str(tmp_path), x) for x in range(4)]
    done = list(work_through(tasks, work.hold, TWO, tell=kill_once))
    assert killed and sorted(d.result for d in done) == [0, 1, 2, 3]
    assert len(list(tmp_path.glob("0-*"))) == 2
    assert len(list(tmp_path.iterdir())) == 5


def test_a_task_whose_worker_died_is_tried_again_when_nothing_else_runs(tmp_path):
    """Two tasks may have taken the memory together, of which each alone has enough."""
    told = []
    tasks = [(str(tmp_path), x) for x in (0, 1)]
    list(work_through(tasks, work.die_beside, TWO, tell=lambda running: told.append([x for _, x in running])))
    assert [0, 1] in told and [1] in told and [0] in told
    assert [0, 1] not in told[told.index([1]) :]


def test_leaving_early_ends_the_workers():
    for done in work_through(range(50), work.process, TWO):
        pid = done.result
        break
    assert wait_until_gone(pid)


def test_unknown_engines_and_no_workers_are_refused():
    with pytest.raises(InputError, match=r"unknown engine 'cloud': choose from local, ray"):
        work_through([1], work.square, TWO, "cloud")
    with pytest.raises(InputError, match="workers is 0: expected at least 1"):
        Placing(0)


def run_script(folder: Path, code: str) -> subprocess.CompletedProcess:
    script = folder / "script.py"
    script.write_text(code)
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:  # not pipes: workers would hold them
        return subprocess.run(
            [sys.executable, str(script)], stdout=out, stderr=err, check=False, timeout=60, cwd=folder
        )


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path):
    code = (
        "from elision.parallel import Placing, work_through\nimport parallel_work\n"
        "print(list(work_through([1], parallel_work.square, Placing(1))))\n"
    )
    assert run_script(tmp_path, code).returncode == 1
    assert "if __name__ == '__main__'" in (tmp_path / "err").read_text().splitlines()[-1]


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Without, they would go on with what they do, beside a second start that does it again."""
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom elision.parallel import Placing, work_through\n"
        "import parallel_work\n"
        "def tell(running):\n"
        "    if running and Path('pid').exists() and Path('pid').read_text():\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    list(work_through(['pid'], parallel_work.linger, Placing(1), tell=tell))\n"
    )
    assert run_script(tmp_path, code).returncode == -signal.SIGKILL
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    gone = not Path(f"/proc/{pid}").exists()
    if not gone:
        os.kill(pid, signal.SIGKILL)
    return gone
