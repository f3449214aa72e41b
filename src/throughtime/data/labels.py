"""The names of the classes, and their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from throughtime.data.lines import shown
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

_LONGEST_NUMBER = 18
# Their confusions are a table of as many rows and columns, 200 MB.
MOST_LABELS = 5_000


class Labels:
    """Names to class numbers and back. Numbers are given in `natural_order`.

    Args:
        names: C different names, in the order of their numbers.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def of(cls, values: Iterable[str], source: object = "the data") -> Labels:
        """The different ones among the labels of examples.

        Args:
            values: a label each.
            source: where they are from, for the error.
        Raises:
            DataError: there are more than can be told apart.
        """
        names = set(values)
        if len(names) > MOST_LABELS:
            raise DataError(
                f"{source}: there are {len(names):,} different labels, such as {shown(min(names))}, and no "
                f"more than {MOST_LABELS:,} can be told apart: are they in another column?"
            )
        return cls(sorted(names, key=natural_order))

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The number of a class.

        Raises:
            DataError: there is no such class; the message lists those that there are.
        """
        if name not in self._numbers:
            known = ", ".join(self.names[:10]) + (f"... ({len(self)} in all)" if len(self) > 10 else "")
            raise DataError(f"label {shown(name)} is unknown to the model; it knows {known}")
        return self._numbers[name]

    def save(self, path: str | Path) -> None:
        """Write labels.json."""
        write_atomically(path, json.dumps(list(self.names), ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """Read labels.json.

        Raises:
            RunError: it is missing or damaged.
        """
        names = read_json(path, list[str])
        if len(set(names)) < len(names) or not names:
            raise RunError(f"{path} is damaged: expected a list of different names")
        return cls(names)


def label_text(value: Any) -> str:
    """A label as tables hold it (text, number, true or false) as text; "" where there is none."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def natural_order(name: str) -> tuple[bool, int, str]:
    """A key to sort labels by: 2 before 10, numbers before words, "cat" before "dog"."""
    # Longer ones are names that happen to consist of digits; Python does not even read one of 5,000.
    is_whole = len(name) <= _LONGEST_NUMBER and name.removeprefix("-").isdecimal()
    return not is_whole, int(name) if is_whole else 0, name
