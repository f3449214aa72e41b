"""Many files by one pattern, or files behind URLs: a corpus for a language model, or one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from throughtime.data.corpus import find_corpus, is_corpus_file, kind_of
from throughtime.data.joined import TABLE_SUFFIXES, JoinedTable, join, table_suffix
from throughtime.data.sources import Source, find_files
from throughtime.data.tables import TableFormat, column_names
from throughtime.errors import DataError
from throughtime.patterns import is_pattern
from throughtime.recognition.match import Match
from throughtime.recognition.plain_text import only_numbers, table_in_disguise, tagged_words, words_with_tags

# Options that say what a row is for besides its text.
_LABELLED = ("label_column", "second_text", "target", "static_columns")


def corpus_or_table(
    pattern: str, options: Mapping[str, Any], task: str | None, because: str, form: TableFormat
) -> Match | JoinedTable:
    """What a pattern or a URL stands for: a corpus, or files that are one table.

    Args:
        pattern: as the user wrote it.
        options: of `train`, by name.
        task: that the options name, or None.
        because: the option that does.
        form: how tables are written.
    Raises:
        DataError: no task learns from such files.
    """
    if task == "language-model" and not options.get("lines"):
        return _corpus(pattern, options)
    found = find_files([pattern], lambda source: _is_table(source) or is_corpus_file(source, pattern))
    tables = [source for source in found if _is_table(source)]
    if not tables:
        if task is not None or options.get("lines"):
            what = "--lines" if options.get("lines") else f"a {task} ({because})"
            raise DataError(
                f"{pattern}: of several files, or behind a URL, {what} reads tables "
                f"({', '.join(TABLE_SUFFIXES)}), and these are texts, for a language model: name one file on "
                f"this machine"
            )
        return _corpus(pattern, options)
    is_corpus = (
        task is None
        and not options.get("lines")
        and options.get("text_column") is not None
        and all(options.get(name) is None for name in _LABELLED)
        and all(kind_of(source) != "text" for source in tables)
    )
    if len(tables) < len(found):
        if is_corpus:
            return _corpus(pattern, options)
        text = next(source for source in found if not _is_table(source))
        raise DataError(
            f"{pattern}: {tables[0]} is a table, and {text} is a text: let the pattern name files of one kind"
        )
    table = join(pattern)
    if is_corpus and not {"label", "labels"}.intersection(column_names(table, form)):
        return _corpus(pattern, options)
    return table


def _corpus(pattern: str, options: Mapping[str, Any]) -> Match:
    """A corpus of a language model."""
    if pattern.partition("::")[0].lower().endswith(_NO_CORPUS):
        raise DataError(
            f"{pattern}: of tables, a corpus has JSON Lines and Parquet files, and no CSV: name one file"
        )
    found = find_corpus(pattern)
    kinds = {kind_of(source) for source in found}
    files = described(found)
    if kinds == {"text"}:
        if options.get("text_column") is not None and not is_pattern(options.get("validation")):
            raise DataError(
                f"{pattern}: --text-column is for JSON Lines and Parquet, and these are {files} of text"
            )
        if not (options.get("task") or options.get("tokenizer")):
            _expect_prose(pattern, found[0])
        return Match(f"{files} of text", "writing like it")
    return Match(f"{files} with rows", f"writing like {options.get('text_column') or 'text'}")


def _expect_prose(pattern: str, source: Source) -> None:
    """Refuse a corpus whose first file is something else than prose."""
    with source.open("rb") as file:
        beginning = file.read(_BEGINNING).decode("utf-8", "replace")
    lines = beginning.rpartition("\n")[0].splitlines()[:_LINES]  # the last one may be cut
    suffix = Path(source.name.lower()).suffix
    why = tagged_words(suffix, lines) or table_in_disguise(suffix, lines)[0]
    why = why or only_numbers(suffix, lines) or words_with_tags(lines)
    if why:
        raise DataError(
            f"{pattern}: several files are read as prose, and {source} is none ({why}): name one file, and "
            f"another with --validation; --task language-model reads them as text"
        )


def _is_table(source: Source) -> bool:
    return table_suffix(source) in TABLE_SUFFIXES


def described(files: Sequence[Source]) -> str:
    """How many files there are, and how large they are together, where that is known: "3 files, 1.2 MB"."""
    sizes = [source.size for source in files if source.size is not None]
    size = f", {_shown(sum(sizes))}" if len(sizes) == len(files) else ""
    return f"{len(files):,} file{'s' * (len(files) != 1)}{size}"


def _shown(size: int) -> str:
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (1, "bytes"))
    return f"{size / unit:,.1f} {name}" if unit > 1 else f"{size:,} bytes"


_BEGINNING, _LINES = 1 << 16, 200
_NO_CORPUS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
