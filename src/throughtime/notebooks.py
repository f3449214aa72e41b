"""What notebooks show of results: tables and pictures as HTML, without a library for it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

# A picture is part of the notebook's file, which has to stay small.
_LARGEST_PICTURE = 1 << 20


def in_notebook() -> bool:
    """Whether this program runs in a notebook's kernel; IPython in a terminal is none."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def table(rows: Iterable[Sequence[Any]], heads: Sequence[str] = ()) -> str:
    """Rows of a name and values; `heads` stand above the columns."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(str(name))}</th>"
        + "".join(f"<td style='text-align:left'>{escape(written(value))}</td>" for value in values)
        + "</tr>"
        for name, *values in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if heads else ''}{body}</table>"


def written(value: Any) -> str:
    """A value as a table shows it: four digits of a fraction, and a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def picture(content: bytes) -> str:
    """A PNG as part of the page; "" where it is large."""
    if len(content) > _LARGEST_PICTURE:
        return ""
    encoded = base64.b64encode(content).decode()
    return f"<img style='max-width:640px' src='data:image/png;base64,{encoded}'>"


def picture_of(figure: Any) -> str:
    """A figure of matplotlib as part of the page."""
    return picture(_drawn(figure))


def showing(figure: Any) -> Any:
    """A figure of matplotlib that a notebook draws, although pyplot does not know it."""
    figure._repr_png_ = lambda: _drawn(figure)
    return figure


def _drawn(figure: Any) -> bytes:
    from throughtime.pictures.writing import drawn

    return drawn(figure, "png", dpi=100)


class Measured(dict[str, Any]):
    """Metrics by name, as JSON can hold them; a notebook shows a table, and the picture that they name."""

    def _repr_html_(self) -> str:
        single = {name: value for name, value in self.items() if not isinstance(value, Mapping)}
        parts = [table(single.items())]
        for name, rows in self.items():
            if isinstance(rows, Mapping):
                parts.append(_table_of(name, rows))
        for value in single.values():
            if isinstance(value, str) and value.endswith(".png") and Path(value).is_file():
                parts.append(picture(Path(value).read_bytes()))
        return "".join(parts)


def _table_of(name: str, rows: Mapping[str, Any]) -> str:
    """A dictionary of metrics, or of dictionaries with the same metrics."""
    first = next(iter(rows.values()), None)
    if not isinstance(first, Mapping):
        return table(rows.items(), (name, ""))
    return table(((row, *values.values()) for row, values in rows.items()), (name, *first))
