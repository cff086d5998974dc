"""The command itself, which every verb joins, and what happens to errors."""

import inspect
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter

from elision import __version__, registries
from elision.errors import InputError, InputWarning, TrainingError
from elision.registries import CROPS

if TYPE_CHECKING:
    from elision.extractors import OwnExtractor
    from elision.media.image import Crop

app = App(
    name="elision",
    help="""Classification from several modalities when many training samples lack one of them.

Exit codes: 0 done; 2 something given cannot be used; 3 some samples could not be predicted; 4 training failed; 130
interrupted.""",
    version=__version__,
    suppress_keyboard_interrupt=False,
)

VERBS = (
    "compare", "train", "evaluate", "predict", "prepare", "inspect", "relabel", "reproduce", "report", "serve",
    "export",
)  # fmt: skip
"""Each is the function of that name, in the module of that name in this room, which is imported when it is used."""
app.register_install_completion_command()
for _verb in VERBS:
    app.command(f"elision.cli.{_verb}:{_verb}", name=_verb)

SOME_FAILED, TRAINING_FAILED = 3, 4
"""Exit codes; 2 means that something given cannot be used."""
EXTRAS = {
    "av": "video", "lightning": "video", "torchvision": "video", "fsspec": "video", "PIL": "video", "ray": "ray",
    "fastapi": "serve", "starlette": "serve", "uvicorn": "serve", "python_multipart": "serve",
    "onnx": "onnx", "onnxruntime": "onnx", "onnxscript": "onnx", "openpyxl": "excel",
}  # fmt: skip
"""A package that is not installed with Elision -> the extra that brings it."""


def spell_out(text: str) -> str:
    """Put the names of a registry in the place of its own name, such as `METHODS`.

    `LAYOUTS.doc` becomes a paragraph, or more, for each layout: the docstring without what it raises.
    """
    for name, registry in vars(registries).items():
        if not isinstance(registry, registries.Registry):
            continue
        text = text.replace(f"`{name}`", ", ".join(registry))
        if f"`{name}.doc`" in text:
            docs = [f"--layout {entry}: {registry.doc(entry).partition('Raises:')[0].strip()}" for entry in registry]
            text = text.replace(f"`{name}.doc`", "\n\n".join(docs))
    return text


def naming_choices(verb: Callable) -> Callable:
    """Spell out the registries that a verb's docstring names, which is its help."""
    verb.__doc__ = spell_out(inspect.cleandoc(verb.__doc__ or ""))
    return verb


Many = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]
"""An option that takes several words."""
Numbers = Annotated[list[float] | None, Parameter(consume_multiple=True, negative="")]
"""An option that takes several numbers."""


def read_costs(pairs: list[str] | None) -> dict[str, float] | None:
    """Return MODALITY=COST, as often as given, as a mapping; None where there is none."""
    costs = {}
    for pair in pairs or ():
        modality, equals, cost = pair.rpartition("=")
        try:
            costs[modality] = float(cost)
        except ValueError:
            equals = ""
        if not (modality and equals):
            raise InputError(f"--costs {pair}: expected MODALITY=COST, such as audio=2.5")
    return costs or None


def read_extractors(pairs: list[str] | None) -> "dict[str, OwnExtractor]":
    """Return MODALITY=PACKAGE.MODULE:FUNCTION, as often as given, as a mapping; what they name is imported."""
    found = {}
    for pair in pairs or ():
        from elision.extractors import OwnExtractor

        modality, equals, name = pair.partition("=")
        if not (modality and equals and name):
            raise InputError(
                f"--extractor {pair}: expected MODALITY=PACKAGE.MODULE:FUNCTION, such as visual=mine:faces"
            )
        find_beside_me()
        found[modality] = OwnExtractor.of(name)
    return found


def address_with_features(data: str, pairs: list[str] | None, quiet: bool) -> str:
    """Return the address of a store with features in the place of ``data``; ``data`` where no function is given."""
    if not pairs:
        return data
    from elision.data.extraction import with_features

    def tell(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr)

    return str(with_features(data, read_extractors(pairs), tell=tell).address)


def read_crop(name: str | None) -> "Crop | None":
    """Return the function of a name in `CROPS`, or of PACKAGE.MODULE:FUNCTION, after a trial on a black picture."""
    if name is None:
        return None
    import numpy as np

    from elision.extractors import import_function

    if name not in CROPS:
        if ":" not in name:
            raise InputError(f"--crop {name}: expected {', '.join(CROPS)}, or PACKAGE.MODULE:FUNCTION")
        find_beside_me()
    crop = CROPS[name] if name in CROPS else import_function(name, "crop")
    try:
        crop(np.zeros((64, 64, 3), np.uint8))
    except InputError:
        raise
    except Exception as error:  # of a function of the user's own
        raise InputError(f"crop {name} failed on a black picture: {type(error).__name__}: {error}") from error
    return crop


def find_beside_me() -> None:
    """Let modules be imported from the folder in which the command is given, as by ``python -m``."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def main() -> None:
    """Run the command: one message and an exit code of its own for whatever goes wrong."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("default", category=InputWarning)
            warnings.showwarning = _say_once(set())
            app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error))
    except InputError as error:
        _fail(str(error))
    except TrainingError as error:
        _fail(str(error), TRAINING_FAILED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        _fail(f"this needs the package {package!r}, which is not installed: pip install 'elision[{EXTRAS[package]}]'")
    except BrokenPipeError:  # whoever read our output, such as head, has seen enough
        sys.stdout = None
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}: check the path, its permissions and the space on the disk")
    except KeyboardInterrupt:
        print("\nInterrupted. Finished runs are kept: start the same command again to go on.", file=sys.stderr)
        sys.exit(130)


def _say_once(said: set[str]) -> Callable[..., None]:
    """Return what shows a warning, unless the same was shown before."""

    def say(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in said:
            print(f"elision: {message}", file=sys.stderr)
        said.add(str(message))

    return say


def _fail(message: str, code: int = 2) -> None:
    print(f"elision: {message}", file=sys.stderr)
    sys.exit(code)
