"""Pages for people: HTML in one look, each whole in its file, whatever comes from data escaped."""

from collections.abc import Mapping
from typing import Any


def render(page: str, content: Mapping[str, Any]) -> str:
    """A page of this folder as HTML.

    Args:
        page: its file, such as "report.html".
        content: what its template names; a name that is missing is an error.
    """
    import jinja2

    loader = jinja2.PackageLoader("elision", "pages")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["in_words"] = in_words
    return environment.get_template(page).render(content)


def in_words(settings: Mapping[str, Any], within: str = "") -> dict[str, str]:
    """Return nested settings as what stands before each value, and the value as text.

    Example:
        >>> in_words({"mel": {"sample_rate": 16000}, "crop": None})
        {'mel sample rate': '16000', 'crop': 'none'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        title = f"{within} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping) and value:
            found |= in_words(value, title)
        else:
            several = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            found[title] = "none" if several in (None, "", {}) else str(several)
    return found
