"""Predicting from the rows of tables, wherever these come from: files, or frames of another engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from throughtime.data.tables import BadRows, Row

# What a prediction holds under a name: text, a whole number, a number, a list of such, or such by name.
Kind = type | list[Any] | dict[str, Any]


class RowPredictor(Protocol):
    """A trained run that predicts from rows.

    Attributes:
        kinds: what a prediction holds, by name, in their order: str, int or float; [kind] for a list of any
            length; a dictionary of kinds by name.
    """

    kinds: dict[str, Kind]

    def needed(self, columns: Sequence[str], name: str) -> list[str]:
        """The columns that a table has to have.

        Args:
            columns: those that it has.
            name: of the table, for errors.
        Raises:
            DataError: it cannot be used.
        """
        ...

    def predict(
        self, rows: Sequence[Row], columns: Sequence[str], name: str, bad: BadRows
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each row and its prediction, in order. Other rows beside it affect neither.

        Args:
            rows: which have the needed columns.
            columns: those of the table that are read; others may be there as well.
            name: of the table, for errors.
            bad: what happens to rows that cannot be used; those are left out.
        """
        ...
