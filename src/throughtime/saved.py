"""What the JSON of a checkpoint or a snapshot says, each value checked as it is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from throughtime.errors import CheckpointError
from throughtime.facts import shown

# What a 64-bit whole number holds, as counters of steps and tokens have to.
LARGEST = 2**63 - 1


class Saved:
    """An object of such JSON. It is a context: at the end, all that is in it has to be taken.

    Example:
        with Saved(checkpoint.state, path) as saved:
            step = saved.integer("step")
            with saved.part("window") as window:
                loss = window.number("loss")

    Args:
        values: what was read.
        path: the file, or what else it is, for errors.
        name: of the object in it; "" is the whole.
    """

    def __init__(self, values: Any, path: str | Path, name: str = "") -> None:
        self.path = path
        self.name = name
        if not isinstance(values, dict):
            raise CheckpointError(f"{path} is damaged: {name or 'its state'} is no JSON object")
        self._values: dict[str, Any] = values
        self._taken: set[str] = set()

    def __enter__(self) -> Saved:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        unknown = sorted(set(self._values) - self._taken)
        if kind is None and unknown:
            raise CheckpointError(f"{self.path} holds {self._full(unknown[0])}, which this run does not have")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def integer(self, name: str, least: int = 0, most: int = LARGEST) -> int:
        """A whole number in [least, most]."""
        return self._integer(name, self._take(name), least, most)

    def optional_integer(self, name: str, least: int = 0, most: int = LARGEST) -> int | None:
        """The same, or None."""
        value = self._take(name)
        return None if value is None else self._integer(name, value, least, most)

    def integers(self, name: str, least: int = 0, most: int = LARGEST) -> list[int]:
        """A list of whole numbers."""
        return [self._integer(name, value, least, most) for value in self._list(name)]

    def rows_of_integers(self, name: str, columns: int | None = None, most: int = LARGEST) -> list[list[int]]:
        """A list of lists of whole numbers in [0, most]; of as many in each, where `columns` says so."""
        rows = self._list(name)
        for row in rows:
            if not isinstance(row, list) or columns not in (None, len(row)):
                self.refuse(name, row, "a list" if columns is None else f"a list of {columns}")
        return [[self._integer(name, value, 0, most) for value in row] for row in rows]

    def number(self, name: str, least: float = -math.inf) -> float:
        """A finite number from `least` on."""
        return self._number(name, self._take(name), least)

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None."""
        value = self._take(name)
        return None if value is None else self._number(name, value, -math.inf)

    def numbers(self, name: str, least: float = -math.inf) -> list[float]:
        """A list of finite numbers."""
        return [self._number(name, value, least) for value in self._list(name)]

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            self.refuse(name, value, "true or false")
        return value

    def text(self, name: str, known: Sequence[str] | None = None) -> str:
        """A text, one of the known ones where they are given."""
        value = self._take(name)
        if not isinstance(value, str) or (known is not None and value not in known):
            self.refuse(name, value, "a text" if known is None else " or ".join(known))
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                self.refuse(name, value, "a text")
        return values

    def part(self, name: str) -> Saved:
        """An object inside this one."""
        return Saved(self._take(name), self.path, self._full(name))

    def parts(self, name: str) -> list[Saved]:
        """A list of objects."""
        values = self._list(name)
        return [Saved(value, self.path, f"{self._full(name)}[{place}]") for place, value in enumerate(values)]

    def mapping(self, name: str) -> dict[str, Any]:
        """An object as it is, for someone else to look into."""
        value = self._take(name)
        if not isinstance(value, dict):
            self.refuse(name, value, "an object")
        return value

    def absent(self, name: str) -> None:
        """Nothing: the run does not have it."""
        if (value := self._take(name)) is not None:
            self.refuse(name, value, "null")

    def refuse(self, name: str, value: Any, expected: str) -> NoReturn:
        """Raise CheckpointError for a value."""
        raise CheckpointError(f"{self.path}: {self._full(name)} is {shown(value)}, expected {expected}")

    def _full(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name

    def _take(self, name: str) -> Any:
        if name not in self._values:
            raise CheckpointError(f"{self.path} lacks {self._full(name)}")
        self._taken.add(name)
        return self._values[name]

    def _list(self, name: str) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list):
            self.refuse(name, value, "a list")
        return value

    def _integer(self, name: str, value: Any, least: int, most: int) -> int:
        # To isinstance, true is a whole number as well.
        if type(value) is not int or not least <= value <= most:
            expected = f"{least:,}" if least == most else f"a whole number from {least:,} to {most:,}"
            self.refuse(name, value, expected)
        return value

    def _number(self, name: str, value: Any, least: float) -> float:
        try:
            number = float(value) if type(value) in (int, float) else math.nan
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and number >= least):
            self.refuse(
                name, value, "a finite number" if least == -math.inf else f"a number from {least:g} on"
            )
        return number
