"""Written words by number, and batches of sentences as the network reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import pad
from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file
from throughtime.tasks.word_tagger.spelling import OUTSIDE, Vocabulary, windows

FORMS, LETTERS = "forms.npy", "letters.npy"


@dataclass(frozen=True)
class Batch:
    """Sentences side by side.

    Args:
        words: (T, B) int64, numbers of words.
        lengths: (B,).
        letters: (S, W) int64, the characters of the W different words; OUTSIDE past a word's end.
        letter_counts: (W,).
        places: (T, B), which of the W each word is.
    """

    words: NDArray[np.int64]
    lengths: NDArray[np.int64]
    letters: NDArray[np.int64]
    letter_counts: NDArray[np.int64]
    places: NDArray[np.int64]

    @property
    def windows(self) -> NDArray[np.int64]:
        """(S, W, 5): the letters as a CNN reads them."""
        return windows(self.letters)


@dataclass(frozen=True)
class Lexicon:
    """Different words as they are written, each with a number: a sentence is an array of these numbers.

    Args:
        words: (N,) int64, the number of each one's word in the vocabulary.
        letters: of each one.
    """

    words: NDArray[np.int64]
    letters: Sequences

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], vocabulary: Vocabulary
    ) -> tuple[Lexicon, list[NDArray[Any]]]:
        """Those of some sentences, which have a word at least, and the sentences by these numbers."""
        forms: dict[str, int] = {}
        examples = [
            np.array([forms.setdefault(word, len(forms)) for word in words], dtype=np.int64)
            for words in sentences
        ]
        numbers = np.array([vocabulary.number(word) for word in forms], dtype=np.int64)
        return cls(numbers, Sequences.in_memory([vocabulary.spell(word) for word in forms])), examples

    def batch(self, examples: Sequence[NDArray[Any]], least: int = 0) -> Batch:
        """Sentences of these words as the network reads them, of `least` steps or more."""
        forms = pad(list(examples), least=least).astype(np.int64)
        lengths = np.array([len(example) for example in examples])
        different, places = np.unique(forms, return_inverse=True)
        spelled = [self.letters[int(form)] for form in different]
        return Batch(
            self.words[forms],
            lengths,
            pad(spelled, OUTSIDE).astype(np.int64),
            np.array([len(letters) for letters in spelled]),
            places.reshape(forms.shape).astype(np.int64),
        )

    def save(self, folder: Path) -> None:
        """Write forms.npy and letters.npy."""
        with atomic_file(folder / FORMS) as file:
            np.save(file, self.words, allow_pickle=False)
        write_sequences(folder / LETTERS, (self.letters[form] for form in range(len(self.letters))), np.int32)

    @classmethod
    def open(cls, folder: Path, vocabulary: Vocabulary) -> Lexicon:
        """Map what `save` wrote.

        Raises:
            RunError: a file is missing, damaged, or of another vocabulary.
        """
        letters = Sequences.open(folder / LETTERS)
        letters.expect_numbers(0, vocabulary.letters)
        try:
            words = read_npy(folder / FORMS)
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        fits = words.dtype == np.int64 and words.ndim == 1 and len(words) == len(letters)
        if (
            not fits
            or int(words.min()) < 0
            or int(words.max()) > vocabulary.unknown
            or not letters.lengths.all()
        ):
            raise RunError(f"{folder / FORMS} does not belong to this run, or is damaged")
        return cls(words, letters)
