"""Small runs of lines for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from throughtime.tasks.language_model.line_run import LineModelRun
from throughtime.training import train

SMALL: dict[str, Any] = {
    "task": "language-model",
    "lines": True,
    "hidden": 12,
    "embedding": 6,
    "batch": 4,
    "epochs": 2,
    "log_every": 7,
    "threads": 1,
    "tensorboard": False,
}
CONDITIONS: dict[str, Any] = {"text_column": "name", "condition_columns": "land,size"}


def names(count: int = 60, seed: int = 0) -> list[str]:
    """Words of two to four syllables; some come twice."""
    generator = np.random.default_rng(seed)
    syllables = ["ka", "to", "mi", "ren", "sol", "u"]
    return ["".join(generator.choice(syllables, generator.integers(2, 5))) for _ in range(count)]


def write_text(folder: Path, count: int = 60) -> Path:
    path = folder / "names.txt"
    path.write_text("".join(f"{name}\n" for name in names(count)))
    return path


def write_table(folder: Path, count: int = 60) -> Path:
    """Names with a land, which says how they end, and a size that is a number."""
    path = folder / "names.csv"
    rows = [
        f"{name}{'na' if n % 2 else 'ro'},{'north' if n % 2 else 'south'},{n / 7:.3f}\n"
        for n, name in enumerate(names(count))
    ]
    path.write_text("name,land,size\n" + "".join(rows))
    return path


def trained(folder: Path, conditions: bool = False, backend: str = "native", **options: Any) -> LineModelRun:
    source = write_table(folder) if conditions else write_text(folder)
    given = {**SMALL, **(CONDITIONS if conditions else {}), **options}
    train(source, out=folder / "run", **given)
    return LineModelRun.open(folder / "run", backend)
