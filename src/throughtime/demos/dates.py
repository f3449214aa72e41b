"""Dates as people write them -> ISO dates: translation between two small languages, letter by letter."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.files import write_atomically

if TYPE_CHECKING:
    from throughtime.run import Run

SUMMARY = 'Translate dates in words ("Tuesday, 3 March 1998") into ISO dates ("1998-03-03")'
OPTIONS: dict[str, Any] = {
    "task": "translator",
    "tokenizer": "character",
    "cell": "gru",
    "hidden": 128,
    "embedding": 32,
    "tie_weights": False,
    "dropout": 0.1,
    "input_dropout": 0.0,
    "output_dropout": 0.0,
    "label_smoothing": 0.0,
    "validation_fraction": 0.05,
    "epochs": 6,
    "batch": 64,
    "learning_rate": 5e-3,
}

TRAINING = "dates.tsv"
UNSEEN = "dates-unseen.tsv"
TRAINING_DATES = 8000
UNSEEN_DATES = 500
_SHOWN = 12

# A century in which two digits name a year.
_FIRST, _LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# In slashes the month comes first, with dots and hyphens the day.
FORMS = (
    "{weekday}, {day} {month} {year}",
    "{weekday} {ordinal} {month} {year}",
    "{weekday}, {month} {ordinal}, {year}",
    "{month} {ordinal}, {year}",
    "{month} {day}, {year}",
    "{day} {month} {year}",
    "{day} {short} {year}",
    "{short} {day} {year}",
    "{day} {short} '{year2}",
    "the {ordinal} of {month} {year}",
    "the {ordinal} of {month}, '{year2}",
    "{day}.{number}.{year}",
    "{day}.{number}.{year2}",
    "{day2}.{number2}.{year}",
    "{day2}-{short}-{year2}",
    "{number}/{day}/{year}",
    "{number2}/{day2}/{year2}",
    "{year} {month} {day}",
)


def write(folder: Path, seed: int) -> Path:
    """Write dates.tsv to train on, and dates-unseen.tsv with other days.

    Args:
        folder: where to.
        seed: of the days and how they are written.
    Returns:
        dates.tsv.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    days = generator.choice((_LAST - _FIRST).days + 1, TRAINING_DATES + UNSEEN_DATES, replace=False)
    dates = [_FIRST + datetime.timedelta(days=int(day)) for day in days]
    for name, chosen in ((TRAINING, dates[:TRAINING_DATES]), (UNSEEN, dates[TRAINING_DATES:])):
        lines = ["source\ttarget"]
        lines += [f"{written(date, generator)}\t{date.isoformat()}" for date in chosen]
        write_atomically(folder / name, ("\n".join(lines) + "\n").encode())
    return folder / TRAINING


def written(date: datetime.date, generator: np.random.Generator) -> str:
    """A date in one of many forms; one in six is in capitals, one in six in small letters."""
    text = in_form(FORMS[generator.integers(len(FORMS))], date)
    return [text, text, text, text, text.upper(), text.lower()][generator.integers(6)]


def in_form(form: str, date: datetime.date) -> str:
    """A date in one of `FORMS`."""
    month = _MONTHS[date.month - 1]
    return form.format(
        weekday=_WEEKDAYS[date.weekday()],
        day=date.day,
        day2=f"{date.day:02}",
        ordinal=ordinal(date.day),
        month=month,
        short=month[:3],
        number=date.month,
        number2=f"{date.month:02}",
        year=date.year,
        year2=f"{date.year % 100:02}",
    )


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th, ... 31st."""
    if day // 10 == 1:
        return f"{day}th"
    return f"{day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th') }"


def show(run: Run, folder: Path) -> Iterator[str]:
    """Translate the unseen dates: how many are exactly right, and some of them beside the truth."""
    from throughtime.data.tables import BadRows
    from throughtime.tasks.translator.parallel import read_pairs
    from throughtime.tasks.translator.run import TranslatorRun

    assert isinstance(run, TranslatorRun)
    pairs = list(read_pairs(folder / UNSEEN, None, BadRows()))
    answers = [result.text for result in run.translate([pair.source for pair in pairs])]
    right = sum(answer == pair.target for answer, pair in zip(answers, pairs, strict=True))
    width = max(len(pair.source) for pair in pairs[:_SHOWN])
    for pair, answer in list(zip(pairs, answers, strict=True))[:_SHOWN]:
        mark = "" if answer == pair.target else f"   wrong: {pair.target}"
        yield f"{pair.source:{width}}  ->  {answer}{mark}\n"
    yield f"{right} of {len(pairs)} dates that were not in the training data are exactly right.\n"
    yield f"Try your own: echo 'the 1st of April 2001' | throughtime translate {run.folder}\n"
