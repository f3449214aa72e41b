"""The site of the documentation: `sphinx-build -W -b html docs build/site` after `pip install '.[docs]'`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from throughtime import __version__

project = "Throughtime"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["images", "pictures"]

html_theme = "furo"
html_title = f"Throughtime {__version__}"

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Docstrings here also name where an equation comes from, and what a cell's state is.
napoleon_custom_sections = ["Source", "Sources", "State", "Cost"]

# Pages that lie beside this folder, under the names that they have on the site.
OUTSIDE = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}


def read_outside(app: Any, name: str, source: list[str]) -> None:
    """Put the repository's own pages in the place of `{{NAME}}`, and turn links to them into links here."""
    root = Path(app.srcdir).parent
    for outside, inside in OUTSIDE.items():
        marker = "{{" + outside + "}}"
        if marker in source[0]:
            text = (root / outside).read_text(encoding="utf-8").replace("](docs/", "](")
            for other, page in OUTSIDE.items():
                text = text.replace(f"]({other}", f"]({page}")
            source[0] = source[0].replace(marker, text)
        source[0] = (
            source[0]
            .replace(f"](../{outside}", f"]({inside}")
            .replace(f"](../../{outside}", f"](../{inside}")
        )


def read_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make code of a docstring's example, which Napoleon takes for prose, and let |x| be a norm."""
    for number in reversed(range(len(lines))):
        lines[number] = re.sub(r"\|([^|]+)\|", r"\\|\1\\|", lines[number])
        if lines[number].strip() == "Example:":
            indent = lines[number][: -len("Example:")]
            lines[number : number + 1] = ["", f"{indent}.. code-block:: python", ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read_outside)
    # Before Napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
