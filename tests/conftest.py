"""What tests of several modules use."""

import os
import sys
from pathlib import Path

import pytest

# Before anything imports torch, and for every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
SEEN = [str(Path(__file__).parent / "support"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, SEEN))


@pytest.fixture
def here(monkeypatch, capfd):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["elision", *arguments])
        from elision.cli import main

        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return run
