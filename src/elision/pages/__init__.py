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
    return environment.get_template(page).render(content)
