"""Lists in the cells of a CSV or TSV file, as pandas, NumPy and JSON write them."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

# NumPy writes no commas: ['EU' 'rejects'] and [3 0 7]. No item can be read in two ways, so that a long cell
# that is no list is known to be none after one look at each character.
_ITEM = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+.\w]+)(?=\s|$)""")
# Rows that are looked at: the first may be the names of the columns.
ROWS = 2


def as_list(cell: str) -> list[Any] | None:
    """The list that a cell is; None where it is a text."""
    text = cell.strip()
    if text[:1] + text[-1:] != "[]":
        return None
    for read in (json.loads, _of_numpy, _of_python):
        try:
            found = read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return None


def _of_numpy(text: str) -> list[Any] | None:
    inside, at = text[1:-1].rstrip(), 0
    items: list[Any] = []
    while at < len(inside):
        found = _ITEM.match(inside, at)
        if found is None:
            return None
        at, item = found.end(), found[1]
        items.append(_of_python(item) if item[0] in "'\"" else _number(item))
    return items


def _number(item: str) -> int | float:
    return int(item) if item.lstrip("-").isdigit() else float(item)


def _of_python(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text with a backslash is no program that somebody is to mend
        found = ast.literal_eval(text)
    json.dumps(found)  # what JSON has no word for, such as bytes, is a TypeError
    return found
