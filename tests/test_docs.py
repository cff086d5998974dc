"""What the documentation shows is run: the Python of its pages and of the README, and its notebooks."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from benchmarks.share_missing import COLUMNS, LINES, SECTIONS, cells

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""Blocks to be run; what needs data or a cluster is marked ``py``."""


@pytest.mark.parametrize("page", [page for page in PAGES if CODE.search(page.read_text("utf-8"))], ids=lambda p: p.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, block in enumerate(CODE.findall(page.read_text("utf-8")), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_a_fresh_install(path, tmp_path, monkeypatch):
    """In a kernel of its own, with nothing but what it imports; it carries no outputs of another day."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), f"{path.name} has outputs: clear them"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_an_address_makes_every_link_of_the_readme_whole(tmp_path):
    """A package index shows no relative picture and follows no relative link."""
    for name in ("README.md", "pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, ROOT / ".ci" / "address.py", "https://example.org/someone/elision", tmp_path]
    for _ in range(2):  # the second time changes nothing
        subprocess.run(command, check=True)
    readme = (tmp_path / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert links and all(link.startswith(("https://", "#")) for link in links), links
    assert "![" not in readme or re.search(r"!\[[^]]*\]\(https://example.org/someone/elision/raw/main/docs/", readme)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Repository"] == "https://example.org/someone/elision"
    assert project["optional-dependencies"] and "Typing :: Typed" in project["classifiers"]
    assert (tmp_path / "CITATION.cff").read_text("utf-8").count("repository-code: https://example.org") == 1
    assert subprocess.run([*command[:2], "nowhere"], capture_output=True).returncode


def test_relative_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_the_picture_of_the_readme_is_drawn_from_the_league():
    for section in SECTIONS.values():
        found = cells((ROOT / "benchmarks" / "LEAGUE.md").read_text("utf-8"), section)
        assert set(LINES) <= set(found)
        for line in LINES:
            for column in COLUMNS:
                (accuracy, _), (nll, error), *_ = found[line][column]
                assert 0 < accuracy < 1 and nll > 0 and error > 0
    rows = ["| method | n | a 5% | b 5% |", "| --- | --- | --- | --- |", "| x | 5 | 0.5 ± 0.1 / 1.0 ± 0.2 | - |"]
    with_two = "## S\n\n" + "\n".join(rows) + "\n"
    assert cells(with_two, "## S") == {"x": {"a 5%": [(0.5, 0.1), (1.0, 0.2)], "b 5%": []}}


def test_the_contract_tests_of_methods_hold_for_the_method_of_the_page(tmp_path):
    """The page says that they run over it: registered as it says, before pytest collects them."""
    (code,) = CODE.findall((ROOT / "docs" / "how-to" / "own-method.md").read_text("utf-8"))
    (tmp_path / "complete_half.py").write_text(code.partition("\nrng = ")[0])
    entry = 'from elision.registries import METHODS\n\nMETHODS["complete-half"] = "complete_half:CompleteHalf"\n'
    (tmp_path / "registered.py").write_text(entry)
    words = ["-p", "registered", "-q", "-k", "complete-half", "-p", "no:cacheprovider", "tests/test_methods.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40
