"""Write the address of the repository where an index needs it: python .ci/address.py https://HOST/OWNER/NAME [FOLDER].

README gets whole addresses for pictures and links, since an index shows no others; pyproject and CITATION get the
address itself. Run again with another address, it changes nothing in the README but what is relative.
"""

import re
import sys
from pathlib import Path


def whole_links(readme: str, address: str) -> str:
    """Return the README with the address before each relative picture and link."""
    raw = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{address}/raw/main/", readme)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{address}/blob/main/", raw)


def with_urls(pyproject: str, address: str) -> str:
    """Return the pyproject with its table of addresses."""
    table = f'[project.urls]\nRepository = "{address}"\nChangelog = "{address}/blob/main/CHANGELOG.md"\n\n'
    without = re.sub(r"\[project\.urls\]\n(?:\w.*\n)*\n", "", pyproject)
    return without.replace("[project.optional-dependencies]", table + "[project.optional-dependencies]", 1)


def main() -> None:
    """Change the three files of the folder, by default the repository's root."""
    if len(sys.argv) not in (2, 3) or not re.fullmatch(r"https?://\S+[^/\s]", sys.argv[1]):
        sys.exit("expected an address such as https://example.org/owner/elision, without a slash at its end")
    address, root = sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parents[1]
    for name, change in {"README.md": whole_links, "pyproject.toml": with_urls}.items():
        path = root / name
        path.write_text(change(path.read_text("utf-8"), address), "utf-8")
    citation = re.sub(r"^repository-code: .*\n", "", (root / "CITATION.cff").read_text("utf-8"), flags=re.M)
    with_address = citation.replace("\nlicense:", f"\nrepository-code: {address}\nlicense:", 1)
    (root / "CITATION.cff").write_text(with_address, "utf-8")


if __name__ == "__main__":
    main()
