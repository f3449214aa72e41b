"""Small data of every task and options to train on it for a moment, with random numbers of every kind."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from tests.tasks.forecaster.tables import load_table
from tests.tasks.language_model.line_runs import write_text
from tests.tasks.transcriber.runs import write_folder
from tests.tasks.word_tagger.runs import write_names

_COMMON: dict[str, Any] = {
    "hidden": 8,
    "batch": 4,
    "epochs": 1,
    "log_every": 1,
    "evaluate_every": 0,
    "threads": 1,
    "tensorboard": False,
}
TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 9


def write_every(folder: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """What to train on and the options, by a name; examples are never a multiple of the batch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(TEXT)
    sources = {
        "text": (
            folder / "text.txt",
            {"embedding": 6, "chunk": 10, "chunk_mode": "random", "layers": 2, "evaluation_streams": 3},
        ),
        # Zoneout is drawn by the loop over the steps, or by the native kernel.
        "lines": (
            write_text(folder, 50),
            {
                "task": "language-model",
                "lines": True,
                "embedding": 6,
                "zoneout": 0.2,
                "locked_dropout": True,
                "cell": "gru",
            },
        ),
        "labels": (_labels(folder), {"word_dropout": 0.1, "input_dropout": 0.1, "embedding": 6}),
        "pairs": (
            _pairs(folder),
            {"embedding": 6, "scheduled_sampling": 0.5, "attention": "luong", "dropout": 0.2},
        ),
        "captions": (
            _captions(folder),
            {
                "image_input": "attention",
                "image_features": str(folder / "captions" / "features.npz"),
                "embedding": 6,
                "feature_dropout": 0.1,
                "attention_penalty": 0.5,
                "attention_size": 5,
            },
        ),
        "frames": (
            _clips(folder),
            {"task": "tagger", "chunk": 7, "class_weights": "balanced", "input_dropout": 0.1, "layers": 2},
        ),
        "recordings": (write_folder(folder / "strokes", 14, seed=1), {"stack": 2, "layers": 1}),
        "words": (write_names(folder / "names.conll", 2), {"embedding": 6, "rare_words": 1.0}),
        "numbers": (load_table(folder / "load.csv", 130, skip=(40,)), {"horizon": 3, "lookback": 12}),
    }
    return {name: (source, {**_COMMON, **options}) for name, (source, options) in sources.items()}


def _labels(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = [
        [" ".join(generator.choice(["good", "bad", "fine", "poor", "a", "the"], generator.integers(2, 9)))]
        for _ in range(43)
    ]
    return _table(
        folder / "labels.csv", [["text", "label"], *([*row, "+-"["bad" in row[0]]] for row in rows)]
    )


def _pairs(folder: Path) -> Path:
    generator = np.random.default_rng(1)
    words = [generator.choice(list("abcd"), generator.integers(2, 7)) for _ in range(41)]
    path = folder / "pairs.tsv"
    lines = ["source\ttarget\n", *(f"{' '.join(one)}\t{' '.join(one[::-1])}\n" for one in words)]
    path.write_text("".join(lines))
    return path


def _captions(folder: Path) -> Path:
    (folder / "captions").mkdir()
    generator = np.random.default_rng(2)
    features = generator.normal(size=(24, 3, 5)).astype(np.float32)
    names = [f"{image}.png" for image in range(24)]
    np.savez(folder / "captions" / "features.npz", names=names, features=features)
    rows = [["file_name", "caption"]]
    for image in range(24):
        rows += [
            [names[image], " ".join(generator.choice(list("abcdef"), generator.integers(2, 7)))]
            for _ in range(2)
        ]
    _table(folder / "captions" / "metadata.csv", rows)
    return folder / "captions"


def _clips(folder: Path) -> Path:
    """Clips of very different lengths; some frames have no label."""
    (folder / "clips").mkdir()
    generator = np.random.default_rng(3)
    rows = [["file_name", "labels"]]
    for number, length in enumerate((40, 9, 25, 33, 18, 12, 51, 20, 15)):
        np.save(folder / "clips" / f"{number}.npy", generator.normal(size=(length, 3)).astype(np.float32))
        third = length // 3
        parts = [["start", "end", "label"], [0, third, "a"], [2 * third, length, "b"]]
        _table(folder / "clips" / f"{number}.csv", parts)
        rows.append([f"{number}.npy", f"{number}.csv"])
    return _table(folder / "clips" / "metadata.csv", rows).parent


def _table(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path
