"""Words as the network reads them: the numbers of words, and of the characters that each is spelled with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

# Before and behind a word, its beginning, its end, and characters that training did not see.
OUTSIDE, BEGIN, END, UNKNOWN, KNOWN = range(5)
# A CNN sees so many characters at once: the last one of a word with the four before it and its end.
WINDOW = 5
# Of longer words (addresses, hashes) the first and the last characters are read, half of these each.
LONGEST_WORD = 64


@dataclass(frozen=True)
class _Known:
    """What words.json holds."""

    words: list[str]
    characters: list[str]
    lowercase: bool


class Vocabulary:
    """Words and characters to their numbers.

    Args:
        words: V different ones; number V stands for all others.
        characters: A different ones; their numbers begin with `KNOWN`.
        lowercase: words are looked up in lower case.
    """

    def __init__(self, words: Sequence[str], characters: Sequence[str], lowercase: bool) -> None:
        self.words, self.characters, self.lowercase = list(words), list(characters), lowercase
        self._words = {word: number for number, word in enumerate(self.words)}
        self._characters = {one: number for number, one in enumerate(self.characters, KNOWN)}

    @classmethod
    def of(
        cls, counts: Counter[str], lowercase: bool, others: Iterable[str] = ()
    ) -> tuple[Vocabulary, NDArray[np.int64]]:
        """The vocabulary of training words, frequent ones first, and how often each occurs.

        Args:
            counts: of the words as they are written.
            lowercase: see `Vocabulary`.
            others: more words, which do not occur; those that there are vectors of.
        """
        looked_up: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, count in counts.items():
            looked_up[word.lower() if lowercase else word] += count
            characters.update(dict.fromkeys(word, count))
        words = sorted(looked_up, key=lambda word: (-looked_up[word], word))
        words += sorted({word.lower() if lowercase else word for word in others} - looked_up.keys())
        found = cls(words, sorted(characters), lowercase)
        return found, np.array([looked_up[word] for word in words], dtype=np.int64)

    @property
    def unknown(self) -> int:
        """V, the number of words that are none of the vocabulary."""
        return len(self.words)

    @property
    def letters(self) -> int:
        """How many numbers characters have, with those that stand for none."""
        return KNOWN + len(self.characters)

    def number(self, word: str) -> int:
        """The number of a word."""
        return self._words.get(word.lower() if self.lowercase else word, self.unknown)

    def spell(self, word: str) -> NDArray[np.int64]:
        """The numbers of a word's characters between those of its beginning and its end, (S,)."""
        if len(word) > LONGEST_WORD:
            word = word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]
        return np.array([BEGIN, *(self._characters.get(one, UNKNOWN) for one in word), END], dtype=np.int64)

    def save(self, path: Path) -> None:
        """Write words.json."""
        known = {"words": self.words, "characters": self.characters, "lowercase": self.lowercase}
        write_atomically(path, json.dumps(known, ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read words.json.

        Raises:
            RunError: it is missing or damaged.
        """
        known = read_json(path, _Known)
        for name in ("words", "characters"):
            listed: list[str] = getattr(known, name)
            if len(set(listed)) < len(listed):
                raise RunError(f"{path} is damaged: {name} repeats one")
        if any(len(one) != 1 for one in known.characters):
            raise RunError(f"{path} is damaged: characters holds something longer")
        return cls(known.words, known.characters, known.lowercase)


def windows(letters: NDArray[np.int64]) -> NDArray[np.int64]:
    """What a CNN sees at each character: (S, W) to (S, W, 5), the character in the middle.

    Args:
        letters: (S, W), OUTSIDE past a word's end.
    """
    side = WINDOW // 2
    padded = np.pad(letters, ((side, side), (0, 0)), constant_values=OUTSIDE)
    return np.stack([padded[place : place + len(letters)] for place in range(WINDOW)], -1)
