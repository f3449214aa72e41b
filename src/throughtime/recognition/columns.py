"""What the columns of a table hold, summed up over its first rows."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from throughtime.data.numbers import as_float, reads_as_number
from throughtime.data.tables import UNNAMED
from throughtime.tasks.forecaster.written_times import is_eight_digits, is_written_time
from throughtime.tasks.word_tagger.marks import marks_of

# Different values that are kept of a column: more than any classifier has labels for.
_DIFFERENT = 10_000
# Of a value that only has to be told from others. A text's beginning is as good as all of it.
_KEPT_CHARACTERS = 200

# A clock without a day, and times as Twitter writes them: they say when, and no grid is made of them.
_OTHER_TIMES = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
    r"|[a-z]{3} [a-z]{3} +\d{1,2} \d\d:\d\d:\d\d( [a-z]{3,4}| [+-]\d{4})? \d{4}",
    re.IGNORECASE,
)
_LONGEST_TIME = 40
_SHOWN = 3
# The name of a column that is an identifier.
_CODE_NAME = re.compile(r"(^|[_ .#-])(id|Id|ID|uuid|guid|hash)$|[a-z]I[dD]$|^qid\d$")
# Fewer codes may as well be words.
_FEWEST_NAMED = 10
# Fewer columns with numbers for names are answers to questions rather than steps.
_FEWEST_STEPS = 16
_INDEX_NAMES = ("", "id", "index", "idx", "unnamed: 0", "row", "row_id")
_TIME_NAMES = (
    "time", "timestamp", "date", "datetime", "ds", "ts", "seconds", "time_s", "time_ms", "t", "epoch", "year",
)  # fmt: skip


@dataclass
class Column:
    """What one column holds.

    Attributes:
        name: as the header has it; a number from 1 where there is no header.
        filled: values that are there.
        missing: values that are not.
        kinds: how many values are of each kind: number, time, text, numbers, texts, times, marks, lists,
            record.
        values: how often each value occurs; of the different ones only the first 10,000 are kept.
        words: of all texts together.
        lengths: of the lists, as far as they are kept.
        rises: no number, and no time, is smaller than the one before it.
        whole: every number is a whole one.
    """

    name: str
    filled: int = 0
    missing: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    words: int = 0
    lengths: list[int] = field(default_factory=list)
    rises: bool = True
    whole: bool = True
    _are_days: bool = True
    _last: Any = None

    @property
    def kind(self) -> str:
        """What most of its values are; "empty" where there are none."""
        if not self.filled:
            return "empty"
        if self.kinds["marks"]:
            return "marks"  # a text without any has an empty list
        if self._are_days and self.different > 1 and self.kinds["number"] == self.filled:
            return "time"
        # A word among numbers is a broken number, which is refused by its line; a column of them is words.
        return max(self.kinds, key=self.kinds.__getitem__)

    @property
    def different(self) -> int:
        """How many different values it has."""
        return len(self.values)

    @property
    def is_time(self) -> bool:
        """Whether it says when: dates and times of day, or numbers that rise under a name such as `time`."""
        if self.kind == "time":
            return True
        named = self.name.strip().lower() in _TIME_NAMES
        return named and self.kind == "number" and self.rises and self.different == self.filled > 1

    @property
    def counts_rows(self) -> bool:
        """Whether it numbers the rows, which says nothing about them."""
        named = self.name.strip().lower() in _INDEX_NAMES or bool(UNNAMED.fullmatch(self.name))
        return named and self.whole and self.rises and self.different == self.filled > 2

    @property
    def names_rows(self) -> bool:
        """Whether each row has a code of its own here, as users have, which says nothing about it."""
        if self.filled < _FEWEST_NAMED or self.different < min(self.filled, _DIFFERENT):
            return False
        if self.kind == "text":
            return self.mean_words <= 1 and bool(_CODE_NAME.search(self.name) or self._are_codes)
        return self.kind == "number" and self.whole and bool(_CODE_NAME.search(self.name))

    @property
    def counts_up(self) -> bool:
        """Whether it counts something in steps of one, whatever it is called."""
        all_numbers = self.kinds["number"] == self.filled
        if not (all_numbers and self.whole and self.rises and self.different == self.filled > 2):
            return False
        numbers = [float(value) for value in self.values]
        return max(numbers) - min(numbers) == len(numbers) - 1

    @property
    def _are_codes(self) -> bool:
        return all(any(sign.isdigit() for sign in value) for value in self.values)

    @property
    def is_category(self) -> bool:
        """Whether few values occur again and again, as classes do."""
        return self.kind in ("number", "text") and 1 < self.different <= max(2, self.filled / 2)

    @property
    def measures(self) -> bool:
        """Whether its lists hold numbers with a fraction, which name nothing."""
        return self.kind == "numbers" and any("." in value for value in self.values)

    @property
    def mean_words(self) -> float:
        """Words a text."""
        return self.words / max(self.kinds["text"], 1)

    @property
    def other_values(self) -> list[str]:
        """Words that stand among the times of a column, as totals and second headers do."""
        words = (value for value in self.values if not (is_time(value) or reads_as_number(value)))
        return list(islice(words, _SHOWN)) if self.kinds["text"] else []

    @property
    def mean_characters(self) -> float:
        """Characters a value, of which no more than 200 count."""
        counted = sum(self.values.values())
        return sum(len(value) * count for value, count in self.values.items()) / max(counted, 1)

    def add(self, value: Any) -> None:
        """Take another row's value into account."""
        kind = _kind_of(value)
        if kind == "missing":
            self.missing += 1
            return
        self.filled += 1
        self.kinds[kind] += 1
        if kind in ("numbers", "texts", "times", "marks", "lists"):
            self.lengths.append(len(value))
            self._count("\0".join(map(str, value[:20])))
            return
        text = str(value).strip()
        self._count(text[:_KEPT_CHARACTERS])
        if kind == "text":
            self.words += len(text.split())
        elif kind in ("number", "time"):
            self._are_days = self._are_days and (kind == "time" or is_eight_digits(text))
            self._follow(as_float(value) if kind == "number" else text, kind)

    def _count(self, text: str) -> None:
        if text in self.values or len(self.values) < _DIFFERENT:
            self.values[text] += 1

    def _follow(self, value: Any, kind: str) -> None:
        if kind == "number" and math.isfinite(value):
            self.whole &= value.is_integer()
        if self._last is not None and type(self._last) is type(value) and value < self._last:
            self.rises = False
        self._last = value


def sum_up(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """The columns of rows, by name."""
    columns = {name: Column(name) for name in names}
    count = 0
    for row in rows:
        count += 1
        for name, value in row.items():
            if name not in columns:
                columns[name] = Column(name)
            columns[name].add(value)
    # Rows of JSON may leave out what they have no value for.
    for column in columns.values():
        column.missing = count - column.filled
    return columns


def is_time(text: str) -> bool:
    """Whether a text says when, as people write it."""
    if not any(map(str.isdigit, text)) or len(text) >= _LONGEST_TIME:
        return False
    return is_written_time(text) or _OTHER_TIMES.fullmatch(text.strip()) is not None


def are_numbered(names: Sequence[str]) -> bool:
    """Whether columns are called by their places, as t0, t1, t2... are."""
    # More digits count no columns, and thousands of them are no number to Python.
    ends = [re.search(r"(?<!\d)\d{1,9}$", name) for name in names]
    numbers = [int(end[0]) for end in ends if end is not None]
    stems = {name[: end.start()] for name, end in zip(names, ends, strict=True) if end is not None}
    counted = list(range(numbers[0], numbers[0] + len(names))) if numbers else []
    return len(names) >= _FEWEST_STEPS and len(stems) == 1 and numbers == counted


def _kind_of(value: Any) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "missing"
    if isinstance(value, float) and value != value:
        return "missing"
    if isinstance(value, dict):
        return "record"
    if isinstance(value, (list, tuple)):
        return _kind_of_list(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return "time"
    if reads_as_number(value):
        return "number"
    return "time" if isinstance(value, str) and is_time(value) else "text"


def _kind_of_list(values: Any) -> str:
    first = values[:20]
    if first and all(isinstance(one, str) for one in first):
        return "times" if all(map(is_time, first)) else "texts"
    if all(isinstance(one, (int, float)) or one is None for one in first):
        return "numbers"
    if marks_of(first):
        return "marks"
    return "lists"
