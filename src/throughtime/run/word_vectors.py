"""--embedding-file: the word vectors that an embedding begins with."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from throughtime.config import RunConfig
from throughtime.data.word_vectors import WordVectors, read_word_vectors
from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.training.progress import Progress

Config = TypeVar("Config", bound=RunConfig)


def take_vectors(
    config: Config, path: str | Path, words: Collection[str], show: Progress
) -> tuple[WordVectors, Config]:
    """Read the vectors of the data's words, and say how many have one.

    Args:
        config: of the run.
        path: the file.
        words: all that the data has, as it writes them.
        show: where the remark goes.
    Returns:
        The vectors; and the options, whose embedding has their size.
    Raises:
        DataError: the file cannot be used.
        OptionError: the user asked for an embedding of another size.
    """
    vectors = read_word_vectors(path, words)
    given: int = config.model.embedding  # type: ignore[attr-defined]
    if "embedding" in config.given("model") and given != vectors.size:
        raise OptionError(
            f"--embedding {given}: the vectors of {path} have {vectors.size} numbers; leave it out"
        )
    found = sum(vectors.of(word) is not None for word in words)
    show.remark(
        f"{Path(path).name} has vectors of {found:,} of the {len(words):,} different words, of "
        f"{vectors.size} numbers each"
    )
    return vectors, config.changed({"embedding": vectors.size})
