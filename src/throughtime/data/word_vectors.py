"""Word vectors that others trained, from text files: GloVe's, and fastText's and word2vec's .vec.

Each line is a word and its numbers, between spaces. A .vec begins with a line of two numbers, how many words
and how long their vectors are. Only the words that are asked for stay in memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.data.lines import read_lines
from throughtime.errors import DataError

# Longer vectors than any that are published; one that is longer is another kind of file.
_LONGEST = 10_000
_FEWEST = 2
# Of a count; Python refuses to read thousands of them.
_DIGITS = 15


@dataclass(frozen=True)
class WordVectors:
    """Vectors of some words.

    Args:
        size: E.
        vectors: (E,) float32 each, by word.
    """

    size: int
    vectors: dict[str, NDArray[np.float32]]

    def of(self, *spellings: str) -> NDArray[np.float32] | None:
        """The vector of the first of a word's spellings that has one, else of one in lower case."""
        for word in (*spellings, *(word.lower() for word in spellings)):
            if word in self.vectors:
                return self.vectors[word]
        return None

    def matrix(self, words: Iterable[Collection[str]]) -> NDArray[np.float32]:
        """Vectors for a vocabulary, (V, E), NaN where a word has none.

        Args:
            words: the spellings of each, best first.
        """
        found = [self.of(*spellings) for spellings in words]
        matrix = np.full((len(found), self.size), np.nan, np.float32)
        for row, vector in zip(matrix, found, strict=True):
            if vector is not None:
                row[:] = vector
        return matrix


def spellings(words: Iterable[str], counts: Counter[str]) -> list[list[str]]:
    """How each word of a vocabulary is written: as it is looked up, then as the data mostly has it.

    Args:
        words: of the vocabulary.
        counts: how often each word occurs, as the data writes it.
    """
    written: defaultdict[str, list[str]] = defaultdict(list)
    for word, _ in counts.most_common():
        written[word.lower()].append(word)
    return [[word, *written.get(word.lower(), [])[:1]] for word in words]


def read_word_vectors(path: str | Path, wanted: Collection[str]) -> WordVectors:
    """Read the vectors of some words, as they are written and in lower case.

    Args:
        path: the file, plain or .gz.
        wanted: the words.
    Raises:
        DataError: the file cannot be read, is none of vectors, or a line does not fit the others (the message
            names it); the vectors would not fit into memory.
    """
    path = Path(path)
    asked = set(wanted) | {word.lower() for word in wanted}
    vectors: dict[str, NDArray[np.float32]] = {}
    size = None
    # A word may hold any character but a line feed: some files have one with a line separator.
    for number, line in enumerate(read_lines(path, newline="\n"), 1):
        line = line.rstrip("\r\n ")
        if number == 1 and (header := _header(line)) is not None:
            size = _checked(header, path)
            continue
        if not line:
            continue
        if size is None:
            size = _checked(len(line.split(" ")) - 1, path)
            EXAMPLE_BYTES.check(
                4 * size * min(len(asked), 1 << 24), f"{path}: the vectors of the data's words take"
            )
        # From the right: GloVe has words with spaces in them.
        word, *cells = line.rsplit(" ", size)
        if len(cells) != size:
            raise DataError(f"{path} line {number}: {len(cells)} numbers, expected {size} behind the word")
        if word not in asked or word in vectors:
            continue
        try:
            with np.errstate(over="ignore"):  # what is not finite is refused below
                vector = np.array(cells, dtype=np.float32)
        except ValueError:
            raise DataError(f"{path} line {number}: not a word and {size} numbers between spaces") from None
        if not np.isfinite(vector).all():
            raise DataError(f"{path} line {number}: a number is not finite")
        vectors[word] = vector
    if size is None:
        raise DataError(f"{path} is empty: there is nothing to read")
    if not vectors:
        raise DataError(f"{path} has a vector of none of the data's words: is it of another language?")
    return WordVectors(size, vectors)


def _header(line: str) -> int | None:
    """The size of the vectors, where the first line says it."""
    cells = line.split(" ")
    are_counts = all(cell.isascii() and cell.isdigit() and len(cell) <= _DIGITS for cell in cells)
    return int(cells[1]) if len(cells) == 2 and are_counts else None


def _checked(size: int, path: Path) -> int:
    if not _FEWEST <= size <= _LONGEST:
        raise DataError(
            f"{path} line 1: not a word and its numbers between spaces, as in GloVe and fastText's .vec"
        )
    return size
