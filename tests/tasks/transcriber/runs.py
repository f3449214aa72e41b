"""Small data for transcribers: each letter is a bump of its own feature, of some length."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.tasks.transcriber.run import TranscriberRun
from throughtime.training import train

LETTERS = "abc "
SMALL: dict[str, Any] = {
    "hidden": 16,
    "layers": 1,
    "stack": 2,
    "epochs": 12,
    "batch": 8,
    "learning_rate": 2e-2,
    "evaluate_every": 0,
    "tensorboard": False,
}


def strokes(text: str, generator: np.random.Generator) -> np.ndarray:
    """(T, 4): what a text looks like."""
    parts = [np.zeros((1, len(LETTERS)))]
    for letter in text:
        bump = np.zeros((generator.integers(3, 6), len(LETTERS)))
        bump[:, LETTERS.index(letter)] = 1
        parts += [bump, np.zeros((generator.integers(2, 4), len(LETTERS)))]
    whole = np.concatenate(parts)
    return (whole + 0.1 * generator.standard_normal(whole.shape)).astype(np.float32)


def texts(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join(
            "".join(generator.choice(list("abc"), size=size)) for size in generator.integers(1, 4, size=2)
        )
        for _ in range(count)
    ]


def write_folder(folder: Path, count: int = 80, seed: int = 0, column: str = "text") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed + 1)
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file_name", column))
        for number, text in enumerate(texts(count, seed)):
            np.save(folder / f"{number:03}.npy", strokes(text, generator))
            rows.writerow((f"{number:03}.npy", text))
    return folder


def trained(folder: Path, **options: Any) -> TranscriberRun:
    found = train(write_folder(folder / "data"), out=folder / "run", **{**SMALL, **options})
    assert isinstance(found, TranscriberRun)
    return found
