"""Lines with a condition: names of places in three languages that nobody speaks, each with rules of its own.

A name is made of syllables, and each language has its consonants, its vowels, its endings and a habit:
Ostran joins two words by a hyphen, Velian doubles a vowel, Kurt ends hard. The model is told the language,
and nothing else, before it begins to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.demos.tables import write_table

if TYPE_CHECKING:
    from throughtime.tasks.language_model.line_run import LineModelRun

SUMMARY = "names of places in three invented languages, written anew for the language asked for"
OPTIONS: dict[str, Any] = {
    "task": "language-model",
    "lines": True,
    "text_column": "place",
    "condition_columns": "language",
    "cell": "lstm",
    "layers": 1,
    "hidden": 128,
    "embedding": 32,
    "dropout": 0.0,
    "output_dropout": 0.1,
    "epochs": 12,
    "batch": 32,
    "learning_rate": 5e-3,
}

# What `throughtime train` needs to be told of the data.
FLAGS = "--lines --text-column place --condition-columns language"

TRAINING, TEST = "places.csv", "unseen.csv"
_NAMES, _UNSEEN = 3000, 300


@dataclass(frozen=True)
class _Language:
    """How places are called.

    Args:
        onsets, vowels, endings: what syllables are made of.
        joined: share of the names that are two words with a hyphen between.
        doubled: share of the vowels that are written twice.
    """

    onsets: tuple[str, ...]
    vowels: str
    endings: tuple[str, ...]
    joined: float = 0.0
    doubled: float = 0.0


LANGUAGES = {
    "Ostran": _Language(("gr", "br", "st", "dr", "v", "m"), "aou", ("grad", "mor", "sk"), joined=0.35),
    "Velian": _Language(("l", "v", "s", "th", "n", "f"), "eiy", ("lia", "nea", "ssa", "rel"), doubled=0.35),
    "Kurt": _Language(("k", "t", "sh", "z", "q", "b"), "au", ("kat", "tuk", "zar", "bat")),
}  # fmt: skip


def write(folder: Path, seed: int) -> Path:
    """Write places.csv (3,000 names) and unseen.csv (300 others), with the columns place and language."""
    generator = np.random.Generator(np.random.PCG64(seed))
    names: dict[str, str] = {}
    while len(names) < _NAMES + _UNSEEN:
        language = list(LANGUAGES)[int(generator.integers(len(LANGUAGES)))]
        names[place(generator, LANGUAGES[language])] = language
    rows = list(names.items())
    for name, part in ((TRAINING, rows[:_NAMES]), (TEST, rows[_NAMES:])):
        write_table(folder / name, [("place", "language"), *part])
    return folder / TRAINING


def show(run: LineModelRun, folder: Path) -> Iterator[str]:
    """New names in each language, and what names cost that the model has not seen."""
    found = run.evaluate(folder / TEST)
    yield (
        f"{found.lines} names that it has not seen: {found.nats_per_line:.1f} nats a name, "
        f"{found.nats_per_token:.3f} a letter.\n\n"
    )
    for language in LANGUAGES:
        written = run.write(40, conditions={"language": language}, seed=run.config.training.seed)
        new = list(dict.fromkeys(line.text for line in written if line.text not in run.known_lines))
        yield f"{language:8}{len(new)} of {len(written)} new: {', '.join(new[:6])}\n"
    yield f"\nMore: throughtime sample {run.folder} --samples 20 --condition language=Velian\n"


def place(generator: np.random.Generator, language: _Language) -> str:
    """One name."""
    word = _word(generator, language)
    if generator.random() < language.joined:
        return f"{word}-{_word(generator, language)}"
    return word


def _word(generator: np.random.Generator, language: _Language) -> str:
    letters = []
    for _ in range(int(generator.integers(1, 3))):
        vowel = language.vowels[int(generator.integers(len(language.vowels)))]
        doubled = 2 if generator.random() < language.doubled else 1
        letters.append(language.onsets[int(generator.integers(len(language.onsets)))] + vowel * doubled)
    letters.append(language.endings[int(generator.integers(len(language.endings)))])
    return "".join(letters).capitalize()
