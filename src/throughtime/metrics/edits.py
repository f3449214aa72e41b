"""How far texts are from those that were wanted: character and word error rates. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def edit_distance(truth: NDArray[Any], found: NDArray[Any]) -> int:
    """The fewest insertions, deletions and substitutions that turn one sequence into the other.

    Args:
        truth: (M,) of any type that can be compared.
        found: (N,).
    Source: Levenshtein 1966; the table is that of Wagner and Fischer 1974, a row at a time.
    """
    places = np.arange(len(truth) + 1)
    # Distances of what was found so far to the first 0, 1, ..., M of the truth.
    distances = places.copy()
    for row, one in enumerate(found, start=1):
        from_above = np.minimum(distances[:-1] + (truth != one), distances[1:] + 1)
        # A cell is its left neighbour plus 1, or what comes from above: a running minimum, once the steps
        # to the right are taken off.
        distances = np.minimum.accumulate(np.concatenate([[row], from_above]) - places) + places
    return int(distances[-1])


@dataclass
class EditScores:
    """Edits over many texts.

    Attributes:
        texts: how many.
        right: how many are right to the character.
        characters, words: of the true texts.
        character_edits, word_edits: to get there.
    """

    texts: int = 0
    right: int = 0
    characters: int = 0
    words: int = 0
    character_edits: int = 0
    word_edits: int = 0

    def add(self, truth: str, found: str) -> None:
        """Count one text."""
        self.texts += 1
        self.right += truth == found
        self.characters += len(truth)
        self.words += len(truth.split())
        self.character_edits += _distance(truth, found)
        self.word_edits += _distance(truth.split(), found.split())

    def figures(self) -> dict[str, float]:
        """cer and wer: edits for each true character and word, over all texts; right: of whole texts."""
        return {
            "cer": self.character_edits / max(self.characters, 1),
            "wer": self.word_edits / max(self.words, 1),
            "right": self.right / max(self.texts, 1),
        }


def _distance(truth: Sequence[str], found: Sequence[str]) -> int:
    numbers = {one: number for number, one in enumerate({*truth, *found})}
    return edit_distance(*(np.array([numbers[one] for one in text], np.int64) for text in (truth, found)))
