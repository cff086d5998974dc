"""What the command says of itself, and what that costs."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from elision.cli.app import VERBS, spell_out
from elision.cli.train import _described
from elision.config import Config, TrainConfig
from elision.registries import LAYOUTS, METHODS

HEAVY = {"torch", "sklearn", "scipy", "pandas", "matplotlib", "av", "lightning", "PIL", "pyarrow"}


def said(here, *words):
    code, out, err = here(*words)
    assert code == 0, err
    return " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_imports_nothing_heavy(words):
    script = (
        f"import sys; from elision.cli import main; sys.argv = ['elision', *{words}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('loaded:', *(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "cyclopts" in loaded and not HEAVY & set(loaded)


def test_help_is_the_whole_text_with_defaults(here):
    text = said(here, "train", "--help")
    assert "it can be continued with --resume, and gives the same model" in text
    assert "[default: 128; of a table: 32]" in text and "[default: 20; recordings only]" in text
    text = said(here, "prepare", "--help")
    assert "https://zenodo.org/records/1188976" in text and "http://www.enterface.net/enterface05/" in text
    assert "4 training failed" in said(here, "--help")


@pytest.mark.parametrize(
    ("verb", "families"),
    [
        ("compare", ("METHODS", "FUSIONS", "ENCODERS", "MECHANISMS", "DATASETS")),
        ("train", ("METHODS", "FUSIONS", "ENCODERS", "NETWORKS", "MECHANISMS", "DATASETS")),
        ("prepare", ("LAYOUTS", "ENGINES", "CROPS")),
        ("reproduce", ("NETWORKS", "ENGINES")),
    ],
)
def test_an_entry_of_a_registry_is_seen_in_the_help(verb, families):
    """Each entry is added in a process of its own, since a verb's help is made once."""
    script = (
        "import sys; from elision import registries\n"
        f"for family in {families}: getattr(registries, family)[family.lower()[:4] + '9'] = lambda: None\n"
        f"from elision.cli import main; sys.argv = ['elision', {verb!r}, '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert not [family for family in families if family.lower()[:4] + "9" not in done.stdout], done.stdout + done.stderr


def test_a_layouts_docstring_is_its_help_without_importing_it(monkeypatch):
    """The text comes from the file, so that the help stays light; a layout of one's own is asked directly."""

    def mine(source, options):
        """Mine: one folder a sample.

        Raises:
            InputError: never told.
        """

    monkeypatch.setitem(LAYOUTS, "mine", mine)
    text = spell_out("`LAYOUTS.doc`")
    assert "--layout mine: Mine: one folder a sample." in text and "never told" not in text
    assert "--layout ravdess: RAVDESS speech" in text and "http://www.enterface.net/enterface05/" in text


@pytest.mark.parametrize("verb", ["compare", "train"])
def test_a_verbs_help_lists_every_method(verb, here):
    text = said(here, verb, "--help")
    assert all(name in text for name in METHODS)


def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path):
    (tmp_path / "clips.csv").write_text("id,label,audio\na,x,a.wav\n")
    script = (
        "import sys; sys.modules['av'] = None; from elision.cli import main\n"
        "sys.argv = ['elision', 'prepare', sys.argv[1], sys.argv[2]]; main()"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "clips.csv"), str(tmp_path / "store")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, "pip install 'elision[video]'" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "elision", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


def test_a_reader_that_leaves_early_is_no_error():
    script = (
        "import sys; from elision.cli.app import app, main\n"
        "@app.command\n"
        "def talk():\n"
        "    for _ in range(10_000): print('all shards are whole')\n"
        "sys.argv = ['elision', 'talk']; main()"
    )
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as head does, once it has seen enough
        told = process.stderr.read()
    assert (process.returncode, told) == (141, "")


def test_the_shell_can_learn_the_verbs(tmp_path):
    """In a home of its own: completion is written where the shell looks, and names verbs and their options."""
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    command = [sys.executable, "-m", "elision", "--install-completion", "--shell", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    written = "".join(path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert set(VERBS) <= set(re.findall(r"[a-z]+", written)) and "--rates" in written


def test_no_colour_where_none_is_wanted():
    said = {}
    for wanted in ({}, {"NO_COLOR": "1"}):
        environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", **wanted}
        command = [sys.executable, "-m", "elision", "compare", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        said["NO_COLOR" in wanted] = re.findall("\x1b" + r"\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]", done.stdout)
    assert said[False] and not said[True]


def test_options_are_described_whether_or_not_python_takes_the_indentation_off(monkeypatch):
    """Python 3.13 and later do: `elision train` could not be started there."""
    as_here = _described(TrainConfig)
    for config in (Config, TrainConfig):
        monkeypatch.setattr(config, "__doc__", inspect.cleandoc(config.__doc__))
    assert _described(TrainConfig) == as_here and set(as_here) == {f.name for f in fields(TrainConfig)}
