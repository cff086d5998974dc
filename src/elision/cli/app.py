"""The command itself, which every verb joins, and what happens to errors."""

import sys
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from elision import __version__
from elision.errors import InputError

app = App(
    name="elision",
    help="Classification from several modalities when many training samples lack one of them.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)

VERBS = {
    "compare": "Which method should I use on my data, and how well will it do?",
    "prepare": "Make a folder of recordings a data set ready for training.",
    "inspect": "What a prepared data set holds, and whether it is whole.",
    "train": "Train from frames and sound, through the likelihood.",
    "evaluate": "How good is a trained model, on complete and incomplete samples?",
    "predict": "Class probabilities for videos, sounds, images, or a manifest of them.",
    "reproduce": "The paper's tables and figures, from your own copy of the data.",
    "report": "Put the report of a reproduction together anew.",
}
"""verb -> what it is for; its module in this room is imported when it is used."""
for _verb, _help in VERBS.items():
    app.command(f"elision.cli.{_verb}:{_verb}", name=_verb, help=_help)

Many = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]
"""An option that takes several words."""
Numbers = Annotated[list[float] | None, Parameter(consume_multiple=True, negative="")]
"""An option that takes several numbers."""


def main() -> None:
    """Run the command: exit code 2 and one message for whatever cannot be used, 130 after Ctrl-C."""
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error))
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}: check the path, its permissions and the space on the disk")
    except KeyboardInterrupt:
        print("\nInterrupted. Finished runs are kept: start the same command again to go on.", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> None:
    print(f"elision: {message}", file=sys.stderr)
    sys.exit(2)
