"""What a training logged of itself, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
# The margins of an axis multiply what is on it: beyond this they could leave the range of floats.
_LARGEST_DRAWN = 1e100


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
        numbers = entry.items() if isinstance(entry, dict) else ()
        numbers = {name: value for name, value in numbers if _is_finite_number(value)}
        if "epoch" not in numbers:
            break
        entries.append(numbers)
    return entries


def _is_finite_number(value: Any) -> bool:
    # By comparison, as whole numbers may have thousands of digits; NaN fails it.
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST_DRAWN
