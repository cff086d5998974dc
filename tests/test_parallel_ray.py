"""The same contract on a Ray cluster of two workers on this machine."""

import os

import pytest

import grid_work
import parallel_work as work
from elision.errors import InputError
from elision.parallel import Placing, work_through

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
TWO = Placing(2)


@pytest.fixture(scope="module")
def cluster():
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield ray
        ray.shutdown()


def results(tasks, function, placing=TWO) -> dict:
    done = list(work_through(tasks, function, placing, "ray"))
    assert len({d.task for d in done}) == len(done) == len(tasks)
    return {d.task: d.result if d.failure is None else d.failure for d in done}


def test_every_task_is_done_once_in_other_processes_and_the_cluster_stays(cluster):
    told = []
    done = list(work_through(range(6), work.process, TWO, "ray", lambda running: told.append(list(running))))
    assert sorted(d.task for d in done) == list(range(6))
    assert os.getpid() not in {d.result for d in done}
    assert max(map(len, told)) == 2 and told[0] == [0, 1] and told[-1] == []
    assert cluster.is_initialized()


def test_whatever_a_task_raises_or_returns_comes_back_as_a_failure(cluster):
    found = results(["raise", "fine", "exit", "unpicklable"], work.misbehave)
    assert found["fine"] == "fine"
    assert "Unpicklable" in found["raise"].error and "parallel_work.py" in found["raise"].traceback
    assert found["exit"].error == "SystemExit: goodbye"
    assert found["unpicklable"].error.startswith("TypeError")


def test_a_full_disk_stops_everything_and_names_the_file(cluster):
    with pytest.raises(OSError, match="No space left") as caught:
        results(range(6), work.disk)
    assert caught.value.filename == "/some/where"


def test_a_dead_worker_costs_its_own_task_only(cluster, tmp_path):
    found = results([(str(tmp_path), x) for x in range(6)], work.die)
    by_number = {x: value for (_, x), value in found.items()}
    assert by_number.pop(3).died
    assert by_number == {x: x for x in (0, 1, 2, 4, 5)}


def test_a_grid_on_a_cluster_though_a_worker_dies(cluster, tmp_path):
    """The log's path goes with the run: the cluster's workers have the environment of its start."""
    from elision.study.runner import run_grid

    def quiet(done: int, total: int, running, seconds_left) -> None:
        pass

    runs = [grid_work.LoggedRun(str(tmp_path / "log"), number) for number in range(3)]
    results, failures = run_grid(runs, tmp_path, 2, quiet, grid_work.die_once_logged, engine="ray")
    assert (results, failures) == ([{"number": number} for number in range(3)], [])
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "1", "1", "2"]


def test_gpus_that_the_cluster_lacks_are_refused_rather_than_waited_for(cluster):
    with pytest.raises(InputError, match="gpus is 1: the Ray cluster has none"):
        results([1], work.square, Placing(1, gpus=1))


def test_it_starts_a_cluster_of_its_own_and_ends_it():
    """Last: whatever cluster the others shared is over."""
    import ray

    ray.shutdown()
    assert results([2, 3], work.square) == {2: 4, 3: 9}
    assert not ray.is_initialized()
