"""Check types: no error in the core modules, and elsewhere no more than the number in `.ci/type_errors`."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

CORE = re.compile(
    r"(likelihood|bank|fusion|batch|stacking|correlation|evaluation|encoders|measuring|rates|models|registries|config|"
    r"prediction|data/partition|decisions/\w+|methods/\w+|study/\w+)\.py"
)
SOURCE = Path(__file__).parents[1] / "src" / "elision"
RECORD = Path(__file__).with_name("type_errors")


def errors() -> list[tuple[str, str]]:
    """Return (file below `src/elision`, the error with its line) for each error that basedpyright finds."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SOURCE.parents[1])
    if done.returncode not in (0, 1):  # 1: errors were found
        sys.exit(f"basedpyright did not run:\n{done.stdout}{done.stderr}")
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [
        (Path(e["file"]).relative_to(SOURCE).as_posix(), f"{e['range']['start']['line'] + 1}: {e['message']}")
        for e in found
        if e["severity"] == "error"
    ]


def main() -> None:
    """Exit with 1 and the errors if a core module has any, or if the rest has more than recorded."""
    found = errors()
    core = [f"src/elision/{file}:{text}" for file, text in found if CORE.fullmatch(file)]
    elsewhere, recorded = len(found) - len(core), int(RECORD.read_text())
    if core:
        sys.exit("\n".join([*core, f"types: {len(core)} errors in the core modules, which have none"]))
    if elsewhere > recorded:
        counts = Counter(file for file, _ in found).most_common()
        listed = [f"{n:4} src/elision/{file}" for file, n in counts]
        more = (
            f"types: {elsewhere} errors; .ci/type_errors allows {recorded}; `basedpyright FILE` tells those of a file"
        )
        sys.exit("\n".join([*listed, more]))
    print(f"types: no error in the core modules, {elsewhere} elsewhere")
    if elsewhere < recorded:
        print(f"types: lower .ci/type_errors from {recorded} to {elsewhere}, so that the number only falls")


main()
