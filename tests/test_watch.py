"""What a person sees while something long goes on, where there is no terminal."""

import re

import pytest

from elision.study import watch as module
from elision.study.watch import watching


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_now_and_then_with_rate_and_time_left(clock, capfd):
    with watching(None, "clips", rate=True) as watch:
        for seconds, done in ((0, 0), (10, 0), (20, 5), (21, 6), (40, 45), (41, 50)):
            clock[0] = 100.0 + seconds
            watch(done, 50, ["a"], 50.0 - done)
        watch(50, 50, ["shard-00000.arrow"], None)
    assert capfd.readouterr().err.splitlines() == [
        "0 of 50 clips done, about 50 s left",
        "5 of 50 clips done, 0.5 clips/s, about 45 s left",
        "45 of 50 clips done, 1.5 clips/s, about 5 s left",
        "50 of 50 clips done, 1.6 clips/s",
    ]


def test_news_of_what_is_under_way_is_told_in_lines(clock, capfd):
    with watching(what="steps", news=True) as watch:
        for step, loss in ((10, 1.0), (20, 0.5), (40, 0.25)):
            watch(step, 40, [f"loss {loss}"], 40.0 - step)
            clock[0] += 10
    assert capfd.readouterr().err.splitlines() == [
        "10 of 40 steps done, loss 1.0, about 30 s left",
        "40 of 40 steps done, loss 0.25",
    ]


def test_quiet_shows_nothing(clock, capfd):
    with watching(4, quiet=True) as watch:
        watch(4, 4, [], None)
    assert capfd.readouterr() == ("", "")


def test_runs_have_no_rate_and_a_continuation_does_not_count_what_was_there(clock, capfd):
    with watching(4) as watch:
        watch(3, 4, ["a"], None)
        watch(4, 4, [], 0.0)
    assert capfd.readouterr().err == "3 of 4 runs done\n4 of 4 runs done\n"
    with watching(None, "clips", rate=True) as watch:
        watch(1000, 1100, ["a"], None)
        clock[0] += 20
        watch(1010, 1100, ["a"], None)
    assert re.search(r"1010 of 1100 clips done, 0.5 clips/s", capfd.readouterr().err)
