"""Rows that belong together as one row of lists: the words of a sentence, the clicks of a user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple

from throughtime.data.lines import shown
from throughtime.errors import DataError

# Of the first rows it is seen whether only the first row of each group says which one it is.
_LOOKED_AT = 1_000


@dataclass(frozen=True)
class Groups:
    """Which rows of a table belong together.

    Args:
        column: rows with the same value in it do, wherever they stand, in the order of the table. Where most
            rows have none, as in tables that were spreadsheets, a row belongs to the group above it.
        once: the columns that have one value for each group; None takes those that do.
    """

    column: str
    once: tuple[str, ...] | None = None

    def join(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Group]:
        """The groups, in the order of their first rows.

        Args:
            rows: the line of each, and its values by column.
        """
        rows = iter(rows)
        first = list(islice(rows, _LOOKED_AT))
        named = sum(not _is_empty(values.get(self.column)) for _, values in first)
        goes_on = named * 2 < len(first)
        groups: dict[str, _Rows] = {}
        last = ""
        for line, values in chain(first, rows):
            given = values.get(self.column)
            key = last if _is_empty(given) and goes_on else str("" if given is None else given).strip()
            if not key:
                yield Group("", line, {}, f"{self.column} is empty, which says what rows belong together")
                continue
            last = key
            groups.setdefault(key, _Rows(line)).add(values, self.column)
        once = self.once
        if once is None:
            names = list(dict.fromkeys(name for group in groups.values() for name in group.values))
            several = any(group.length > 1 for group in groups.values())
            once = tuple(one for one in names if several and all(map(_is_alike(one), groups.values())))
        for name, group in groups.items():
            try:
                yield Group(name, group.line, group.row(once))
            except DataError as error:
                yield Group(name, group.line, {}, str(error))


class Group(NamedTuple):
    """Rows that were joined.

    Args:
        name: what their column holds.
        line: of the first one.
        values: by column, with a list in place of each that may differ from row to row.
        fault: what is wrong with it; "" where nothing is.
    """

    name: str
    line: int
    values: dict[str, Any]
    fault: str = ""


@dataclass
class _Rows:
    """The rows of a group.

    Attributes:
        line: of the first one.
        length: how many there are.
        values: by column.
    """

    line: int
    length: int = 0
    values: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, values: dict[str, Any], but: str) -> None:
        self.length += 1
        for name, value in values.items():
            if name != but:
                self.values.setdefault(name, []).append(value)

    def row(self, once: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in self.values.items():
            if name not in once:
                found[name] = values
                continue
            other = next((one for one in values if one != values[0]), None)
            if other is not None:
                raise DataError(
                    f"{name} is {shown(values[0])} and {shown(other)} in one group, and has one value in "
                    f"each group of the training data"
                )
            found[name] = values[0]
        return found


def _is_alike(name: str) -> Any:
    return lambda group: len(set(map(str, group.values.get(name, ())))) <= 1


def _is_empty(value: Any) -> bool:
    return value is None or value != value or not str(value).strip()
