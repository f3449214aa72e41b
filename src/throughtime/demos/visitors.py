"""Visitors of a swimming pool, hour by hour: a day, a week, and days of swimming galas that are known ahead.

What repeats every day and week, a seasonal naive forecast knows, too. Not when the next gala is: the column
`gala` says so for the hours to come, and a network that reads it is right where everything else is wrong.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.demos.tables import write_table

if TYPE_CHECKING:
    from throughtime.tasks.forecaster.run import ForecasterRun

SUMMARY = "visitors of a pool by the hour, and how many will come (many to many, into the future)"
TRAINING, UNSEEN = "visitors.csv", "unseen.csv"
HOLDS = ("time", "visitors", "gala")
OPTIONS: dict[str, Any] = {
    "task": "forecaster",
    "time_column": "time",
    "columns": "visitors",
    "known_future": "gala",
    "horizon": 24,
    "lookback": 168,
    "hidden": 64,
    "epochs": 25,
    "learning_rate": 2e-3,
}

_FIRST = datetime.datetime(2025, 3, 3)  # a Monday
_DAYS, _UNSEEN_DAYS, _CONTEXT_DAYS = 200, 35, 7
_SHOWN = 12


def write(folder: Path, seed: int) -> Path:
    """Write visitors.csv (200 days) and unseen.csv (the 35 after them, with a week of context before)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = [
        (f"{_FIRST + datetime.timedelta(hours=hour):%Y-%m-%d %H:%M}", f"{visitors}", f"{gala}")
        for hour, (visitors, gala) in enumerate(visit(generator, _DAYS + _UNSEEN_DAYS))
    ]
    write_table(folder / TRAINING, [HOLDS, *rows[: _DAYS * 24]])
    write_table(folder / UNSEEN, [HOLDS, *rows[(_DAYS - _CONTEXT_DAYS) * 24 :]])
    return folder / TRAINING


def show(run: ForecasterRun, folder: Path) -> Iterator[str]:
    """A day that the model has not seen, with a gala in it, and how good all forecasts are on five weeks."""
    day, table = _day_of_a_gala(folder / UNSEEN), folder / "one-day.csv"
    write_table(table, [HOLDS, *day])
    truth = [int(visitors) for _, visitors, _ in day[-24:]]
    cut = [
        (time, "" if number >= len(day) - 24 else value, gala)
        for number, (time, value, gala) in enumerate(day)
    ]
    write_table(table, [HOLDS, *cut])
    yield "A day with a gala that the model has not seen; in brackets the 80 % interval\n"
    for row, came, (_, before, _) in zip(run.forecast(table), truth, day[-48:-24], strict=True):
        if came or row["forecast"] > 5:
            yield (
                f"  {row['time']}  forecast {max(row['forecast'], 0):4.0f} "
                f"[{max(row['low_80'], 0):4.0f} to {row['high_80']:4.0f}]  came {came:4d}  "
                f"the day before {int(before):4d}\n"
            )
    yield "\nMean absolute error over every hour of five weeks, 24 hours ahead\n"
    for method, figures in run.evaluate(folder / UNSEEN)["table"].items():
        yield f"  {method:15} {figures['mae']:6.1f} visitors\n"


def visit(generator: np.random.Generator, days: int) -> Iterator[tuple[int, int]]:
    """How many come in each hour, and whether it is one of a gala."""
    weather = 0.0
    until = int(generator.integers(3, 9))
    for day in range(days):
        weather = 0.7 * weather + generator.normal(0, 0.12)
        until -= 1
        has_gala, first = until < 0, int(generator.integers(10, 16))
        if has_gala:
            until = int(generator.integers(3, 12))
        weekend = 1.5 if day % 7 >= 5 else 1.0
        for hour in range(24):
            gala = int(has_gala and first <= hour < first + 4)
            usual = max(0.0, math.sin(math.pi * (hour - 7) / 15)) if 7 <= hour <= 22 else 0.0
            expected = usual * 80 * weekend * math.exp(weather) + 140 * gala
            yield int(generator.poisson(expected)), gala


def _day_of_a_gala(path: Path) -> list[tuple[str, str, str]]:
    """The week before such a day, and the day."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    rows = [(time, visitors, gala) for time, visitors, gala in lines]
    first = next(
        start
        for start in range(_CONTEXT_DAYS * 24, len(rows), 24)
        if any(row[2] == "1" for row in rows[start : start + 24])
    )
    return rows[first - _CONTEXT_DAYS * 24 : first + 24]
