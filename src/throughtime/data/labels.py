"""The names of the classes, and their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically


class Labels:
    """Names to class numbers and back. Numbers are given in order: 2 comes before 10, and "cat" before "dog".

    Args:
        names: C different names, in the order of their numbers.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def of(cls, values: Iterable[str]) -> Labels:
        """The different ones among the labels of examples."""
        names = set(values)
        if all(_is_whole(name) for name in names):
            return cls(sorted(names, key=lambda name: (int(name), name)))
        return cls(sorted(names))

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The number of a class.

        Raises:
            DataError: there is no such class; the message lists those that there are.
        """
        if name not in self._numbers:
            known = ", ".join(self.names[:10]) + (f"... ({len(self)} in all)" if len(self) > 10 else "")
            raise DataError(f"label {name!r} is unknown to the model; it knows {known}")
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


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()
