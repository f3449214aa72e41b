"""What the cells of a table say of an example: its label, its labels, or its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from throughtime.data.labels import label_text
from throughtime.data.numbers import read_number
from throughtime.data.tables import several_columns
from throughtime.errors import DataError

_NO = ("", "0", "false", "no")
_YES = ("1", "true", "yes")
_MISSING = ("", "nan", "na", "n/a", "null", "none")


@dataclass(frozen=True)
class TruthReader:
    """Reads the truth of the rows of a table.

    Args:
        kind: "label", "labels" or "number".
        column: the column that holds it; several between commas for numbers, and for labels that have a
            column of 0 and 1 each.
        separator: between the labels in a cell.
    """

    kind: str = "label"
    column: str = "label"
    separator: str = ""

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns of a table with these columns that hold the truth, whether it has them or not."""
        return [self.column] if self.kind == "label" else several_columns(names, self.column)

    def read(self, values: Mapping[str, Any], columns: Sequence[str]) -> Any:
        """A name, a tuple of names, or a tuple of numbers; None where the row does not say.

        Args:
            values: of a row.
            columns: of `columns`.
        Raises:
            DataError: a cell holds something else.
        """
        if self.kind == "label":
            return label_text(values.get(columns[0])) or None
        if self.kind == "number":
            cells = [values.get(name) for name in columns]
            if all(_is_missing(cell) for cell in cells):
                return None
            return tuple(_number(name, cell) for name, cell in zip(columns, cells, strict=True))
        if len(columns) > 1:
            given = [_is_given(name, values[name]) for name in columns if values.get(name) is not None]
            if len(given) < len(columns):
                return None
            return tuple(name for name, is_given in zip(columns, given, strict=True) if is_given)
        cell = values.get(columns[0])
        return None if cell is None else self._labels(cell)

    def names(self, truth: Any) -> tuple[str, ...]:
        """The labels that a truth names."""
        if truth is None or self.kind == "number":
            return ()
        return (truth,) if self.kind == "label" else truth

    def _labels(self, cell: Any) -> tuple[str, ...]:
        if isinstance(cell, (list, tuple)):
            parts = [label_text(one) for one in cell]
        else:
            text = label_text(cell)
            ends = ("<>",) if self.separator == "><" else ("[]", "{}")
            if len(text) > 1 and text[0] + text[-1] in ends:
                text = text[1:-1]  # a list as Python writes it, or tags in brackets
            found = text.split(self.separator) if self.separator else [text]
            parts = [part.strip().strip("'\"") for part in found]
        return tuple(dict.fromkeys(part for part in parts if part))


def _number(name: str, cell: Any) -> float:
    if _is_missing(cell):
        raise DataError(f"{name} is empty")
    try:
        return read_number(cell)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _is_missing(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in _MISSING


def _is_given(name: str, cell: Any) -> bool:
    text = label_text(cell).lower()
    if text not in (*_YES, *_NO):
        raise DataError(f"{name} is {cell!r:.40}: expected 0 or 1, whether the label is given")
    return text in _YES
