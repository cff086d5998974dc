"""`elision report`."""

import shlex
import sys
from pathlib import Path


def report(folder: Path) -> None:
    """Write the report of a reproduction again, from the runs that are finished in its folder.

    Parameters
    ----------
    folder
        The folder of results that was given to `elision reproduce --out`.
    """
    from elision.study.paper_report import report as write

    for page in write(folder, shlex.join(["elision", *sys.argv[1:]])):
        print(f"Report: {page}")
