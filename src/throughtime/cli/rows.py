"""Predictions as rows on a terminal: figures first, the text last, and each row as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len, set_cell_size

# What a row is about comes last, where it may be cut; everything else is shown whole.
_LAST = ("input", "source", "image", "clip")
_BETWEEN = "  "
# A text that is cut shorter than this says nothing.
_SHORTEST_TEXT = 12
_ELLIPSIS = "…"


def as_rows(predictions: Iterable[dict[str, Any]], width: int | None, ahead: int = 1) -> Iterator[str]:
    """Lines of a table, with a header.

    Args:
        predictions: values by name; the first ones have all the names.
        width: of the terminal; None cuts nothing.
        ahead: rows to align before the first is shown. A later row that is wider moves what follows it.
    """
    widths: dict[str, int] = {}
    block: list[dict[str, str]] = []
    first = True
    for prediction in predictions:
        row = {name: shown(prediction[name]) for name in _in_order(prediction)}
        if first:
            widths = {name: cell_len(_title(name)) for name in row}
            first = False
            header = {name: _title(name) for name in row}
            block.append(header)
        block.append(row)
        if len(block) > ahead:
            yield from _lines(block, widths, width)
            block = []
    yield from _lines(block, widths, width)


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return shown_list([shown(one) for one in value])
    if isinstance(value, dict):
        known = [(name, part) for name, part in value.items() if part is not None]
        best = sorted(known, key=lambda item: -item[1] if isinstance(item[1], float) else 0)
        return "  ".join(f"{name} {shown(part)}" for name, part in best)
    return " ".join(str(value).splitlines())


def shown_list(value: Any) -> Any:
    """A list of labels or numbers as one cell holds it; anything else as it is."""
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _in_order(prediction: dict[str, Any]) -> list[str]:
    last = [name for name in prediction if name in _LAST]
    return [name for name in prediction if name not in last] + last


def _title(name: str) -> str:
    return name.replace("_", " ")


def _lines(block: list[dict[str, str]], widths: dict[str, int], width: int | None) -> Iterator[str]:
    for row in block:
        for name, text in row.items():
            widths[name] = max(widths.get(name, 0), cell_len(text))
    for row in block:
        *figures, last = widths
        before = "".join(set_cell_size(row.get(name, ""), widths[name]) + _BETWEEN for name in figures)
        text = row.get(last, "")
        if width is not None:
            left = max(width - cell_len(before), _SHORTEST_TEXT)
            if cell_len(text) > left:
                text = set_cell_size(text, left - 1).rstrip() + _ELLIPSIS
        yield (before + text).rstrip()
