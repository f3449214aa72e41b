"""Many files by one pattern, or files behind URLs: a corpus, for a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from throughtime.data.corpus import find_corpus, kind_of
from throughtime.errors import DataError
from throughtime.patterns import is_corpus
from throughtime.recognition.match import Match

_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def corpus(pattern: str, options: Mapping[str, Any], task: str | None, because: str) -> Match:
    """What a pattern or a URL stands for.

    Args:
        pattern: as the user wrote it.
        options: of `train`, by name.
        task: that the options name, or None.
        because: the option that does.
    Raises:
        DataError: no task learns from such files, or it is not said which column is the text.
    """
    if task not in (None, "language-model") or options.get("lines"):
        what = "--lines" if options.get("lines") else f"a {task} ({because})"
        raise DataError(
            f"{pattern}: {what} reads one file or folder on this machine, and patterns and URLs are for the "
            f"text of language models: name a file"
        )
    if pattern.partition("::")[0].lower().endswith(_TABLES):
        raise DataError(
            f"{pattern}: of tables, a corpus has JSON Lines and Parquet files, and no CSV: name one file"
        )
    found = find_corpus(pattern)
    kinds = {kind_of(source) for source in found}
    size = sum(source.size or 0 for source in found)
    files = f"{len(found):,} file{'s' * (len(found) != 1)}, {_shown(size)}"
    if kinds == {"text"}:
        if options.get("text_column") is not None and not is_corpus(options.get("validation")):
            raise DataError(
                f"{pattern}: --text-column is for JSON Lines and Parquet, and these are {files} of text"
            )
        return Match(f"{files} of text", "writing like it")
    column = options.get("text_column")
    if column is None and task is None:
        raise DataError(
            f"{pattern}: {files} with rows: --text-column NAME says which field is the text that a language "
            f"model learns to write"
        )
    return Match(f"{files} with rows", f"writing like {column or 'text'}")


def _shown(size: int) -> str:
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (1, "bytes"))
    return f"{size / unit:,.1f} {name}" if unit > 1 else f"{size:,} bytes"


_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
