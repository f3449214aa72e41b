"""What stands beside an example, a line or a text or a series: fields with known values, and numbers."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from throughtime.data.features import varies
from throughtime.data.labels import label_text, natural_order
from throughtime.data.lines import shown
from throughtime.data.numbers import reads_as_number
from throughtime.errors import DataError, OptionError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

# A value that hardly ever comes again teaches nothing: more of them were meant for something else.
MOST_VALUES = 10_000
# So many different whole numbers may be names of classes or months; more of them are a quantity.
_MOST_CODES = 20
_LISTED = 12


@dataclass(frozen=True)
class Condition:
    """One field.

    Args:
        name: of its column.
        values: the known ones, in order; none for a number.
        mean, deviation: of the numbers among the training lines.
    """

    name: str
    values: list[str] = field(default_factory=list)
    mean: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    deviation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @property
    def is_number(self) -> bool:
        """Whether it is a quantity."""
        return not self.values

    def describe(self) -> str:
        """For a sentence: `country` (18 values)."""
        what = f"a number, {self.mean:.3g} on average" if self.is_number else f"{len(self.values):,} values"
        return f"`{self.name}` ({what})"


class Conditions:
    """The fields of a run, in the order in which they were named.

    Example:
        conditions.encode({"country": "Korean"})    # ([3], [])

    Args:
        fields: none at all where examples have no conditions.
        what: errors call one of them.
    """

    def __init__(self, fields: Sequence[Condition] = (), what: str = "condition") -> None:
        self.fields = tuple(fields)
        self._what = what
        self.names = [one.name for one in fields]
        self.categories = [one for one in fields if not one.is_number]
        self.numbers = [one for one in fields if one.is_number]
        self._rows = {one.name: {value: row for row, value in enumerate(one.values)} for one in fields}

    def __bool__(self) -> bool:
        return bool(self.fields)

    def encode(self, values: Mapping[str, Any]) -> tuple[list[int], list[float]]:
        """The number of each category's value, and the numbers as they are.

        Args:
            values: by the names of the fields; as text, or as JSON has them.
        Raises:
            DataError: a field is missing, unknown, or has a value that training did not see.
        """
        for name in values:
            if name not in self.names:
                known = ", ".join(self.names) or f"none: it was trained without {self._what}s"
                raise DataError(f"there is no {self._what} {name!r}; the run's are {known}")
        for name in self.names:
            if name not in values or label_text(values[name]) == "":
                raise DataError(f"{self._what} `{name}` has no value{self._example(name)}")
        categories = [self._row(one, label_text(values[one.name])) for one in self.categories]
        return categories, [_number(one.name, values[one.name], self._what) for one in self.numbers]

    def _row(self, one: Condition, value: str) -> int:
        row = self._rows[one.name].get(value)
        if row is None:
            close = get_close_matches(value, one.values, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(
                f"{shown(value)} is no known value of `{one.name}`: {meant}Known: {_some(one.values)}"
            )
        return row

    def _example(self, name: str) -> str:
        one = self.fields[self.names.index(name)]
        return ": give it a number" if one.is_number else f": give it one of {_some(one.values)}"

    def save(self, path: Path) -> None:
        """Write conditions.json."""
        content = {"fields": [asdict(one) for one in self.fields]}
        write_atomically(path, json.dumps(content, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path, what: str = "condition") -> Conditions:
        """Read what `save` wrote.

        Raises:
            RunError: it is missing or damaged.
        """
        fields = read_json(path, _Saved).fields
        names = [one.name for one in fields]
        if len(set(names)) < len(names) or any(len(set(one.values)) < len(one.values) for one in fields):
            raise RunError(f"{path} is damaged: a name or a value occurs twice")
        return cls(fields, what)


@dataclass(frozen=True)
class _Saved:
    fields: list[Condition]


class ConditionSurvey:
    """Finds out over all examples what each column holds.

    Args:
        names: of the columns.
        what: errors call one of them.
    """

    def __init__(self, names: Sequence[str], what: str = "condition") -> None:
        self._what = what
        self._columns = {name: _Column(name, what) for name in names}

    def add(self, values: Mapping[str, Any]) -> None:
        """Take an example's values into account.

        Raises:
            DataError: one is missing.
            OptionError: a column has too many different ones.
        """
        for name, column in self._columns.items():
            text = label_text(values.get(name))
            if not text:
                raise DataError(f"{self._what} `{name}` is empty: fill it in, or leave the line out")
            column.add(text)

    def settle(self) -> Conditions:
        """What was found."""
        return Conditions([column.settle() for column in self._columns.values()], self._what)


@dataclass
class _Column:
    name: str
    what: str
    values: Counter[str] = field(default_factory=Counter)
    numbers: bool = True
    whole: bool = True
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, text: str) -> None:
        if self.numbers and reads_as_number(text):
            number = _number(self.name, text, self.what)
            self.count += 1
            # Welford 1962: the sums of large numbers would lose the deviation.
            step = number - self.mean
            self.mean += step / self.count
            self.squares += step * (number - self.mean)
            self.whole = self.whole and number.is_integer()
        else:
            self.numbers = False
        if text in self.values or len(self.values) <= MOST_VALUES:
            self.values[text] += 1
        if not self.numbers and len(self.values) > MOST_VALUES:
            raise OptionError(
                f"{self.what} `{self.name}` has more than {MOST_VALUES:,} different values: values that "
                f"hardly come again teach nothing"
            )

    def settle(self) -> Condition:
        if self.numbers and (not self.whole or len(self.values) > _MOST_CODES):
            deviation = math.sqrt(self.squares / max(self.count, 1))
            return Condition(self.name, [], self.mean, deviation if varies(deviation, self.mean) else 1.0)
        return Condition(self.name, sorted(self.values, key=natural_order))


def parse_conditions(given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE of the command line.

    Raises:
        OptionError: one is something else, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise OptionError(f"--condition {text!r} is not NAME=VALUE, as in --condition country=Korean")
        if name.strip() in found:
            raise OptionError(f"--condition {name.strip()} is given twice")
        found[name.strip()] = value.strip()
    return found


def as_arrays(rows: Sequence[tuple[list[int], list[float]]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What `Conditions.encode` gave for N examples: categories (N, K) and numbers (N, R)."""
    categories = np.array([one for one, _ in rows], np.int64).reshape(len(rows), -1)
    return categories, np.array([numbers for _, numbers in rows], np.float32).reshape(len(rows), -1)


def check_arrays(conditions: Conditions, count: int, categories: NDArray[Any], numbers: NDArray[Any]) -> str:
    """What is wrong with arrays of `as_arrays` that were kept; "" where they belong to these conditions."""
    fits = (
        (categories.shape, categories.dtype) == ((count, len(conditions.categories)), np.dtype(np.int64))
        and (numbers.shape, numbers.dtype) == ((count, len(conditions.numbers)), np.dtype(np.float32))
        and bool(np.isfinite(numbers).all())
    )
    if not fits:
        return "its files do not belong to each other, or to this run"
    for column, one in enumerate(conditions.categories):
        found = categories[:, column]
        if count and (found.min() < 0 or found.max() >= len(one.values)):
            return f"`{one.name}` has no such value"
    return ""


def _number(name: str, value: Any, what: str) -> float:
    text = label_text(value)
    number = float(text) if reads_as_number(text) else math.nan
    if not abs(number) < 3e38:  # what float32 holds; NaN is not below it either
        raise DataError(f"{what} `{name}` is {shown(text)}, and has to be a number")
    return number


def _some(values: Sequence[str]) -> str:
    listed = ", ".join(values[:_LISTED])
    return f"{listed}... ({len(values):,} in all)" if len(values) > _LISTED else listed
