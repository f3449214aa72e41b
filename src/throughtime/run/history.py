"""What a training logged of itself, line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
# The margins of an axis multiply what is on it: beyond this they could leave the range of floats.
_LARGEST_DRAWN = 1e100
_LONGEST_NAME = 200


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The numbers of each line of metrics.jsonl, up to the first that is damaged or that a crash cut off."""
    entries: list[dict[str, float]] = []
    path = folder / METRICS
    if not path.exists():
        return entries
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            break
        numbers = finite_numbers(entry) if isinstance(entry, dict) else {}
        if "epoch" not in numbers:
            break
        entries.append(numbers)
    return entries


def finite_numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line, without warnings, what is NaN or infinite, and names that nobody can read."""
    return {
        name: _plain(value)
        for name, value in entry.items()
        if _is_finite_number(value) and name.isprintable() and len(name) <= _LONGEST_NAME
    }


def _plain(value: float) -> float:
    """A whole number beyond 64 bits would make NumPy, and what draws, keep objects."""
    return value if abs(value) < 1 << 53 else float(value)


def _is_finite_number(value: Any) -> bool:
    # By comparison, as whole numbers may have thousands of digits; NaN fails it.
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST_DRAWN
