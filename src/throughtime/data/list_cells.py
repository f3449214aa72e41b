"""Lists in the cells of a CSV or TSV file, as pandas, NumPy and JSON write them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

# NumPy writes no commas: ['EU' 'rejects'] and [3 0 7].
_ITEM = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![^\s])""", re.IGNORECASE
)
# Rows that are looked at: the first may be the names of the columns.
ROWS = 2


def as_list(cell: str) -> list[Any] | None:
    """The list that a cell is; None where it is a text."""
    text = cell.strip()
    if text[:1] + text[-1:] != "[]":
        return None
    for read in (json.loads, _of_numpy, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return None


def _of_numpy(text: str) -> list[Any] | None:
    inside = text[1:-1]
    if _ITEM.sub("", inside).strip():
        return None
    return [ast.literal_eval(item) for item in _ITEM.findall(inside)]
