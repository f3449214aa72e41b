"""One self-contained HTML page: tables and pictures, without a file beside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: right; padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
pre.text { line-height: 1.5; white-space: pre-wrap; }
"""
_KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


def page(title: str, parts: Sequence[str]) -> bytes:
    """The page.

    Args:
        title: as text.
        parts: as HTML, in order.
    """
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>{"".join(parts)}</html>'
    ).encode()


def table(rows: Sequence[dict[str, str]]) -> str:
    """A table with the names of the first row as its head."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(value)}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def picture(title: str, path: Path) -> str:
    """A picture, .png or .svg, under its title."""
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(title)
    return f'<h2>{text}</h2><img alt="{text}" src="data:{_KINDS[path.suffix]};base64,{data}">'
