"""Check what is published: the wheel is the package and nothing else, the sdist is the repository."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = {".gitignore"}
MADE = {"PKG-INFO", "setup.cfg"}
NEEDED = {"elision/py.typed", "elision/pages/study.html", "elision/pages/page.css"}


def tracked(*paths: str) -> set[str]:
    """Return the files under version control below `paths`, relative to the root of the repository."""
    command = ["git", "ls-files", "-z", "--", *paths]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return set(listed.split("\0")) - {""}


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of `folder` that matches; exit if there are none or several."""
    found = list(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder}: expected one {pattern}, found {len(found)}")
    return found[0]


def compare(archive: Path, has: set[str], expected: set[str], allowed: set[str]) -> None:
    """Exit with the names if a file of `expected` is missing, or one is neither in `expected` nor in `allowed`."""
    missing, stray = sorted(expected - has), sorted(has - expected - allowed)
    if missing or stray:
        sys.exit(
            "\n".join([*(f"{archive.name} lacks {f}" for f in missing), *(f"{archive.name} has {f}" for f in stray)])
        )
    print(f"{archive.name}: {len(has)} files, as they should be")


def main() -> None:
    """Compare the wheel and the sdist in the folder given with what is under version control."""
    dist = Path(sys.argv[1])
    package = {name.removeprefix("src/") for name in tracked("src/elision")}
    wheel = only(dist, "*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    compare(wheel, names, package | NEEDED, set())
    sdist = only(dist, "*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
    names = {name for name in names if not name.startswith("src/elision.egg-info/")}
    compare(sdist, names, tracked() - LEFT_OUT, MADE)


main()
