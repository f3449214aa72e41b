"""The characters that a transcriber writes, and their numbers."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from throughtime.data.lines import shown
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.tasks.transcriber.decoding import BLANK


class Alphabet:
    """Characters to numbers and back. The blank has number 0, the first character 1.

    Args:
        characters: different ones, in the order of their numbers.
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = tuple(characters)
        self._numbers = {one: number for number, one in enumerate(self.characters, BLANK + 1)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """Those of texts, in Unicode's order."""
        return cls(sorted({one for text in texts for one in text}))

    def __len__(self) -> int:
        """With the blank."""
        return len(self.characters) + 1

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's characters.

        Raises:
            DataError: training had no such character.
        """
        for one in text:
            if one not in self._numbers:
                raise DataError(f"no training text has the character {shown(one)} (in {shown(text)})")
        return [self._numbers[one] for one in text]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of some numbers, none of them the blank."""
        return "".join(self.characters[number - 1] for number in numbers)

    def save(self, path: str | Path) -> None:
        """Write alphabet.json."""
        write_atomically(path, json.dumps(list(self.characters), ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: str | Path) -> Alphabet:
        """Read alphabet.json.

        Raises:
            RunError: it is missing or damaged.
        """
        characters = read_json(path, list[str])
        if len({*characters}) < len(characters) or any(len(one) != 1 for one in characters) or not characters:
            raise RunError(f"{path} is damaged: expected a list of different characters")
        return cls(characters)


def normalised(text: str, lowercase: bool) -> str:
    """A text as it is learned and measured: in Unicode's form NFC, with single spaces between words."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text
