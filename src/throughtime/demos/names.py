"""Names of people, places and companies in sentences that a small grammar composes: a tag for every word.

All three draw from the same made-up names, so that only the words around one tell what it names. No training
sentence has a name of the unseen sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.files import write_atomically

if TYPE_CHECKING:
    from throughtime.tasks.word_tagger.run import WordTaggerRun

SUMMARY = (
    "names of people, places and companies in sentences, told by the words around them (a tag for every word)"
)
OPTIONS: dict[str, Any] = {
    "task": "word-tagger",
    "hidden": 32,
    "embedding": 32,
    "characters": "cnn",
    "character_features": 16,
    "rare_words": 2.0,
    "input_dropout": 0.2,
    "output_dropout": 0.2,
    "epochs": 12,
    "batch": 32,
    "learning_rate": 1e-2,
}

TRAINING, UNSEEN = "names.conll", "unseen.conll"
_SENTENCES, _UNSEEN_SENTENCES = 1500, 300
_SHOWN = 10

_BEGINNINGS = (
    "Bar",
    "Del",
    "Fen",
    "Gor",
    "Hal",
    "Kel",
    "Lor",
    "Mar",
    "Nor",
    "Pel",
    "Ras",
    "Sel",
    "Tor",
    "Ver",
    "Wes",
)
_MIDDLES = ("", "", "a", "e", "in", "lo", "mi", "o", "ra", "ti", "u")
_ENDINGS = (
    "bury",
    "dale",
    "den",
    "ford",
    "ley",
    "lin",
    "mond",
    "ner",
    "nov",
    "ric",
    "son",
    "ton",
    "vik",
    "well",
    "wick",
)
# {P}, {L} and {C} are the names of a person, a place and a company.
_SENTENCES_OF = (
    "{P} flew to {L} on Monday .",
    "{P} lives in {L} .",
    "Shares of {C} fell by two percent .",
    "{P} joined {C} as its new chief .",
    "{C} will open a plant near {L} .",
    "The mayor of {L} met {P} yesterday .",
    '" We are pleased , " said {P} of {C} .',
    "{C} and {C} agreed to merge .",
    "It rained in {L} and {L} all week .",
    "{P} and {P} were born in {L} .",
    "Analysts expect {C} to hire {P} .",
    "Mrs {P} bought a house outside {L} .",
    "The road from {L} to {L} is closed .",
    "{C} Inc. was founded by {P} in {L} .",
    "According to {P} , profits at {C} rose .",
    "Nobody knew what would happen next .",
    "The train was late again this morning .",
    "Prices rose , and people stayed at home .",
)
_EXAMPLE = "Mrs Kelinford of Torwick lives in Marley."
_TYPES = {"{P}": "person", "{L}": "place", "{C}": "company"}


def write(folder: Path, seed: int) -> Path:
    """Write names.conll (1,500 sentences) and unseen.conll (300 others, with other names)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    every = sorted({f"{a}{b}{c}" for a in _BEGINNINGS for b in _MIDDLES for c in _ENDINGS})
    generator.shuffle(every)
    parts = ((TRAINING, every[400:], _SENTENCES), (UNSEEN, every[:400], _UNSEEN_SENTENCES))
    for name, names, count in parts:
        sentences = (
            "".join(f"{word}\t{tag}\n" for word, tag in compose(generator, names)) for _ in range(count)
        )
        write_atomically(folder / name, "\n".join(sentences).encode())
    return folder / TRAINING


def show(run: WordTaggerRun, folder: Path) -> Iterator[str]:
    """Sentences with names that the model has not seen, with what it finds, and how often it is right."""
    from throughtime.tasks.word_tagger.rows import tagged_text

    for found in islice(run.predict([folder / UNSEEN]), _SHOWN):
        wrong = sum(tag != true for tag, true in zip(found["tags"], found["truth"], strict=True))
        yield f"{tagged_text(found)}{f'    ({wrong} wrong)' if wrong else ''}\n"
    scores = run.evaluate(folder / UNSEEN)
    yield (
        f"\n{scores['f1']:.1%} F1 of the names in {scores['sentences']:,} unseen sentences; no name "
        f'among them occurs in training\nTry your own: echo "{_EXAMPLE}" | throughtime predict {run.folder}\n'
    )


def compose(generator: np.random.Generator, names: list[str]) -> list[tuple[str, str]]:
    """The words of one sentence and their tags.

    Args:
        generator: draws the sentence and the names.
        names: to draw from.
    """
    tagged: list[tuple[str, str]] = []
    for word in _SENTENCES_OF[generator.integers(len(_SENTENCES_OF))].split():
        if word not in _TYPES:
            tagged.append((word, "O"))
            continue
        for place in range(1 + int(generator.random() < 0.4)):
            tagged.append((names[generator.integers(len(names))], f"{'I' if place else 'B'}-{_TYPES[word]}"))
    return tagged
