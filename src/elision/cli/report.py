"""`elision report`."""

import shlex
import sys
from pathlib import Path


def report(folder: Path) -> None:
    """Put the report of a reproduction together anew, from whatever is finished in its folder.

    Parameters
    ----------
    folder
        That `elision reproduce` wrote into.
    """
    from elision.study.paper_report import report as write

    for page in write(folder, shlex.join(["elision", *sys.argv[1:]])):
        print(f"Report: {page}")
