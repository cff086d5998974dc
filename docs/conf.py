"""Sphinx's settings: Markdown by MyST, notebooks run by myst-nb, examples by sphinx-gallery, formulas as MathML."""

import re
import warnings
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import elision

project = "Elision"
copyright = "the Elision developers"
version = release = elision.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "cyclopts.ext.sphinx",
]
exclude_patterns = [
    "_build",
    "examples",
    "**sg_execution_times.rst",
    *(f"gallery/*.{end}" for end in ("ipynb", "json", "md5", "py", "zip")),
]
suppress_warnings = ["config.cache"]  # the gallery's settings hold a function
templates_path = ["_templates"]

# Markdown
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

# Notebooks and examples are run whenever they changed
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_execution_in_temp = True
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_", "__repr__"),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
    "min_reported_time": 1e9,
}
warnings.filterwarnings(
    "ignore", category=UserWarning, message="FigureCanvasAgg is non-interactive"
)

# Reference
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
default_role = "py:obj"
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88

# Pages
html_theme = "furo"
html_title = "Elision"
html_static_path = ["_static"]
html_css_files = ["elision.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b6e99",
        "color-brand-content": "#0b6e99",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cc3e8",
        "color-brand-content": "#6cc3e8",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def _mathml(display: str):
    """Return how a formula is written: MathML, which browsers show without a script."""

    def visit(self, node):
        formula = re.sub(
            r"\\log(?![a-z])", r"\\log\\,", node.astext()
        )  # it sets none after a function
        self.body.append(latex2mathml.converter.convert(formula, display=display))
        raise nodes.SkipNode

    return visit, None


def _equations_as_they_stand(app, what, name, obj, options, lines):
    """Keep the lines of an indented paragraph of a docstring, which is an equation or a table."""
    inside = False
    for number, line in enumerate(list(lines)):
        indented = line.startswith("    ")
        lines[number] = re.sub(
            r"^(:\w+ \w+: [A-Z])\. ", r"\1\\\\. ", line
        )  # "K. Every class" begins no list
        if indented and not inside and number and not lines[number - 1].strip():
            before = lines[number - 2].rstrip() if number > 1 else ""
            if before and not before.startswith((":", ".. ", " ")):
                lines[number - 1] = "\n::\n"
        inside = indented or (inside and not line.strip())
    lines[:] = "\n".join(lines).split("\n")


class Methods(SphinxDirective):
    """Lists what every method says of itself."""

    def run(self):
        """Return a table, made from the registry."""
        rows = [
            f"| `{n}` | {m.claims.summary} | {m.claims.source} |"
            for n, m in elision.METHODS.items()
        ]
        head = ["| method | what it does | source |", "| --- | --- | --- |"]
        return self.parse_text_to_nodes("\n".join(head + rows))


COPIED = {
    "benchmarks": "benchmarks/RESULTS.md", "league": "benchmarks/LEAGUE.md",
    "league-before": "benchmarks/LEAGUE_BEFORE.md", "claim": "benchmarks/CLAIM.md",
    "changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md",
}  # fmt: skip
"""Pages that are files of the repository."""
LINKS = {
    "LEAGUE.md": "league.md",
    "LEAGUE_BEFORE.md": "league-before.md",
    "CLAIM.md": "claim.md",
    "RESULTS.md": "benchmarks.md",
    "docs/release.md": "release.md",
    **{
        p.name: f"../benchmarks/{p.name}"
        for p in Path(__file__).parents[1].glob("benchmarks/*.png")
    },
}


def _copied(app, docname, source):
    """Put the file of the repository in the place of the page that stands for it."""
    if docname in COPIED:
        path = Path(app.srcdir).parent / COPIED[docname]
        app.env.note_dependency(str(path))
        text = path.read_text("utf-8")
        for link, here in LINKS.items():
            text = text.replace(f"]({link})", f"]({here})")
        source[0] = text


def setup(app):
    """Register what is ours."""
    app.add_html_math_renderer("mathml", _mathml("inline"), _mathml("block"))
    app.connect("source-read", _copied)
    app.add_directive("methods", Methods)
    app.connect("autodoc-process-docstring", _equations_as_they_stand, priority=900)
