"""The rooms of the house: imports only downwards, public names documented, the door opens fast."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

import elision

SOURCE = Path(elision.__file__).parent
LEVELS = {
    "errors": -1, "categories": 0, "alignment": 1, "imputation": 0, "plots": 0, "plain": 0,
    "files": 0, "kinds": 0, "versions": 0, "lazy": 0, "registries": 0, "pages": 0, "likelihood": 0, "bank": 0,
    "correlation": 0, "extractors": 1, "stacking": 0, "measuring": 0, "rates": 0,
    "parallel": 1, "evaluation": 1, "prediction": 1, "fusion": 1, "batch": 1, "encoders": 1, "vision": 1, "media": 2,
    "methods": 2, "inputs": 2, "reading": 3,
    "training": 3, "data": 3,
    "models": 1, "checkpoints": 2, "config": 4, "run_folder": 5, "ensemble": 4, "decisions": 5,
    "choices": 5,
    "persistence": 6,
    "estimator": 7,
    "deep": 8, "runs": 9,
    "demo": 8, "study": 10, "serving": 10, "adapters": 2,
    "cli": 11, "__main__": 12,
}  # fmt: skip
MODULES = {
    ".".join(("elision", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def room(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    """The modules of Elision that a file imports anywhere but under ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exempt = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in branch.body
        for node in ast.walk(child)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name.startswith("elision.")}


def test_every_module_has_a_room():
    assert {room(m) for m in MODULES if m != "elision"} == set(LEVELS)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "elision"])
def test_imports_go_down(module):
    rooms = {room(name) for name in imports(MODULES[module])} - {room(module)}
    upwards = {name for name in rooms if LEVELS[name] >= LEVELS[room(module)]}
    assert not upwards, f"{module} imports {upwards}"


def test_no_module_imports_itself_through_others():
    """Inside a room too; a cycle raises `graphlib.CycleError`."""
    order = list(TopologicalSorter({m: imports(path) for m, path in MODULES.items()}).static_order())
    assert set(order) == set(MODULES)


FOREIGN = {"_exit", "_new_shared", "_load_from_state_dict"}
"""What Python and torch name with an underscore and offer all the same."""


def reached_into(text: str) -> set[str]:
    """Attributes with one underscore that a module uses and nowhere defines: another object's own."""
    tree = list(ast.walk(ast.parse(text)))
    own = {node.name for node in tree if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    attributes = [node for node in tree if isinstance(node, ast.Attribute)]
    own |= {a.attr for a in attributes if isinstance(a.value, ast.Name) and a.value.id in ("self", "cls")}
    used = {a.attr for a in attributes if a.attr.startswith("_") and not a.attr.startswith("__")}
    return used - own - FOREIGN


@pytest.mark.parametrize("module", MODULES)
def test_nobody_touches_what_another_object_keeps_to_itself(module):
    assert not reached_into(MODULES[module].read_text(encoding="utf-8"))


def test_reaching_into_another_object_is_noticed():
    assert reached_into("def save(model): return model._members, model.members_, model.__dict__") == {"_members"}


@pytest.mark.parametrize("name", elision.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(elision, name)
    if callable(value):
        assert value.__doc__
    elif not name.startswith("__"):
        home = MODULES[elision._HOMES[name]]
        assert name in documented_constants(home), f"{home}: a string below {name} says what it is"


def documented_constants(path: Path) -> set[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {
        ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
        for node, following in pairwise(body)
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'elision' has no attribute 'Classifier'"):
        elision.Classifier  # noqa: B018


@pytest.mark.parametrize("package", ["elision", "elision.data", "elision.deep"])
def test_doors_list_what_they_have(package):
    """`dir` and completion show every public name; a module is found before anything has imported it."""
    script = (
        "import sys; from importlib import import_module\n"
        "door = import_module(sys.argv[1])\n"
        "assert door.__all__ and set(door.__all__) <= set(dir(door)), dir(door)\n"
        "import elision; print(elision.deep.train.__name__, elision.data.store.__name__, elision.estimator.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script, package], capture_output=True, text=True)
    assert done.stdout.strip() == "elision.deep.train elision.data.store elision.estimator", done.stderr


def test_importing_elision_imports_nothing_heavy():
    script = "import sys, elision; print(*{'torch', 'sklearn', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
