"""Sentiment: remarks about films that a small grammar composes, such that no word alone gives it away.

"Not dull" praises and "not funny" does not; of two halves the one after "but" decides, and never the one with
"although". Each adjective occurs in as many good as bad remarks, so that a bag of words is left guessing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.demos.tables import write_table

if TYPE_CHECKING:
    from throughtime.tasks.classifier.run import ClassifierRun

SUMMARY = "remarks about films, with negations and contrasts, and whether they praise (many to one)"
OPTIONS: dict[str, Any] = {
    "task": "classifier",
    "tokenizer": "word",
    "lowercase": True,
    "cell": "lstm",
    "hidden": 32,
    "layers": 1,
    "embedding": 32,
    "pooling": "last",
    "epochs": 20,
    "batch": 32,
    "learning_rate": 5e-3,
}

TRAINING, TEST = "remarks.csv", "unseen.csv"
LABELS = ("negative", "positive")

_SUBJECTS = (
    "the film", "the plot", "the acting", "the ending", "the music", "the dialogue", "this sequel",
    "the cast", "the camera work", "the first half", "the lead", "the humour",
)  # fmt: skip
_GOOD = ("funny", "gripping", "clever", "moving", "fresh", "brilliant", "charming", "honest", "tense", "warm")
_BAD = ("dull", "silly", "tired", "hollow", "clumsy", "noisy", "stale", "lazy", "flat", "endless")
_DEGREES = ("", "", "quite ", "very ", "really ", "surprisingly ")
_PLAIN = ("{subject} is {degree}{word}", "{subject} felt {degree}{word}", "i found {subject} {degree}{word}")
_NEGATED = (
    "{subject} is not {degree}{word}",
    "{subject} never felt {degree}{word}",
    "nobody will call {subject} {degree}{word}",
    "{subject} is anything but {word}",
)
_CONTRASTS = ("{weak}, but {strong}", "although {weak}, {strong}", "{strong}, even though {weak}")


def write(folder: Path, seed: int) -> Path:
    """Write remarks.csv (3,000) and unseen.csv (500 others), with the columns text and label."""
    generator = np.random.Generator(np.random.PCG64(seed))
    remarks: dict[str, str] = {}
    while len(remarks) < 3500:
        text, label = compose(generator)
        remarks[text] = label
    rows = list(remarks.items())
    for name, part in ((TRAINING, rows[:3000]), (TEST, rows[3000:])):
        write_table(folder / name, [("text", "label"), *part])
    return folder / TRAINING


def show(run: ClassifierRun, folder: Path) -> Iterator[str]:
    """Remarks that the model has not seen, with what it says, and how often it is right."""
    from throughtime.demos.verdicts import verdicts

    return verdicts(run, folder / TEST)


def compose(generator: np.random.Generator) -> tuple[str, str]:
    """One remark and its label."""
    good = bool(generator.integers(2))
    strong = _clause(generator, good)
    # The weak half says the opposite as often as the same, so that it is no hint either way.
    if generator.random() < 0.6:
        weak = _clause(generator, bool(generator.integers(2)))
        contrast = _CONTRASTS[generator.integers(len(_CONTRASTS))]
        return contrast.format(weak=weak, strong=strong), LABELS[good]
    return strong, LABELS[good]


def _clause(generator: np.random.Generator, good: bool) -> str:
    def one_of(values: tuple[str, ...]) -> str:
        return values[generator.integers(len(values))]

    negated = bool(generator.integers(2))
    return one_of(_NEGATED if negated else _PLAIN).format(
        subject=one_of(_SUBJECTS), degree=one_of(_DEGREES), word=one_of(_GOOD if good != negated else _BAD)
    )
