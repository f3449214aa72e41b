"""Small tables of numbers over time."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def write(path: Path, *rows: Iterable[Any]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def hours(count: int, first: str = "2024-01-01T00:00") -> list[str]:
    start = datetime.datetime.fromisoformat(first)
    return [f"{start + datetime.timedelta(hours=n):%Y-%m-%d %H:%M}" for n in range(count)]


def waves(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """A day of 24 hours with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.3, count)
    return np.round(20 + 5 * np.sin(2 * np.pi * np.arange(count) / 24) + noise, 3)


def load_table(path: Path, count: int = 400, event: bool = False, skip: tuple[int, ...] = ()) -> Path:
    """time and load; with `event`, a column of events that add 10, known 24 hours ahead."""
    times, values = hours(count + 24 * event), waves(count + 24 * event)
    events = (np.arange(len(times)) % 31 < 3).astype(int)
    rows: list[tuple[Any, ...]] = [("time", "load", "event") if event else ("time", "load")]
    for n, time in enumerate(times):
        if n in skip:
            continue
        value = round(values[n] + 10 * events[n], 3) if n < count else ""
        rows.append((time, value, events[n]) if event else (time, value))
    return write(path, *rows)


def sales_table(path: Path, months: int = 60) -> Path:
    generator = np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = [("store", "month", "sales", "size")]
    for store in range(3):
        for month in range(months):
            count = generator.poisson(4 + store + 3 * np.sin(month * np.pi / 6) ** 2)
            rows.append(
                (
                    f"s{store}",
                    f"{2018 + month // 12}-{month % 12 + 1:02d}",
                    count,
                    "big" if store else "small",
                )
            )
    return write(path, *rows)
