"""What tests of several modules use."""

import sys

import pytest

from elision.cli import main


@pytest.fixture
def here(monkeypatch, capfd):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["elision", *arguments])
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return run
