"""`elision report`."""

import shlex
import sys
from pathlib import Path


def report(folder: Path) -> None:
    """Write the report of a comparison or a reproduction again, from the runs that are finished in its folder.

    Parameters
    ----------
    folder
        The folder of results that was given to `elision compare --out` or `elision reproduce --out`.
    """
    from elision.study.plan import write_report

    for page in write_report(folder, shlex.join(["elision", *sys.argv[1:]])):
        print(f"Report: {page}")
