"""Tagged sentences as a training reads them: in a folder, by numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences
from throughtime.data.splits import HeldOut
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file
from throughtime.tasks.word_tagger.lexicon import Lexicon
from throughtime.tasks.word_tagger.spelling import Vocabulary

EXAMPLES, TAGS, HELD_OUT, COUNTS, VECTORS = (
    "examples.npy",
    "tags.npy",
    "held_out.npy",
    "counts.npy",
    "vectors.npy",
)


@dataclass(frozen=True)
class PreparedSentences(HeldOut):
    """Sentences on disk.

    Args:
        lexicon: their words.
        examples: N sentences, (T_i,) numbers of the lexicon each.
        tags: (T_i,) numbers of tags each.
        held_out: (N,), true where a sentence is for validation.
        counts: (V,), how often each word of the vocabulary occurs in training.
        vectors: (V, E) float32 to begin with, NaN where a word has none; None where no file was given.
    """

    lexicon: Lexicon
    examples: Sequences
    tags: Sequences
    held_out: NDArray[np.bool_]
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32] | None

    @classmethod
    def open(cls, folder: Path, vocabulary: Vocabulary, tags: int, embedding: int) -> PreparedSentences:
        """Map what lies in a folder.

        Args:
            folder: where `write_array` and the others wrote.
            vocabulary, tags, embedding: what the numbers have to fit.
        Raises:
            RunError: a file is missing, damaged, or does not fit the others.
        """
        lexicon = Lexicon.open(folder, vocabulary)
        examples, tagged = Sequences.open(folder / EXAMPLES), Sequences.open(folder / TAGS)
        examples.expect_numbers(0, len(lexicon.words))
        tagged.expect_numbers(0, tags)
        if not np.array_equal(examples.lengths, tagged.lengths) or not examples.lengths.all():
            raise RunError(f"{folder} is damaged: sentences do not have as many tags as words")
        held_out, counts = _read(folder / HELD_OUT), _read(folder / COUNTS)
        if held_out.dtype != bool or held_out.shape != (len(examples),) or held_out.all():
            raise RunError(f"{folder / HELD_OUT} is damaged, or does not belong to this run")
        if counts.dtype != np.int64 or counts.shape != (vocabulary.unknown,) or (counts < 0).any():
            raise RunError(f"{folder / COUNTS} is damaged, or does not belong to this run")
        vectors = _read(folder / VECTORS) if (folder / VECTORS).exists() else None
        if vectors is not None and (
            vectors.dtype != np.float32 or vectors.shape != (vocabulary.unknown, embedding)
        ):
            raise RunError(f"{folder / VECTORS} is damaged, or does not belong to this run")
        return cls(lexicon, examples, tagged, held_out, counts, vectors)


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a .npy file."""
    with atomic_file(path) as file:
        np.save(file, array, allow_pickle=False)


def _read(path: Path) -> NDArray[Any]:
    try:
        return read_npy(path)
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the run folder is incomplete") from None
    except DataError as error:
        raise RunError(str(error)) from None
