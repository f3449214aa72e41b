"""Sentences from whatever a user names: CoNLL files, tables with lists of words, plain texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from throughtime.data.joined import JoinedTable, located, table_suffix
from throughtime.data.lines import check_text, expect_file, read_lines, shown
from throughtime.data.tables import (
    USUAL,
    BadRows,
    TableFormat,
    column_names,
    is_table,
    read_rows,
    resolve_column,
)
from throughtime.encodings import UTF8
from throughtime.errors import DataError
from throughtime.tasks.word_tagger.conll import Sentence, read_conll
from throughtime.tasks.word_tagger.marks import marked_words, marks_of
from throughtime.tasks.word_tagger.plain_text import words_of

# What tables call the words of a sentence, best first.
WORD_COLUMNS = ("tokens", "words", "forms", "form", "sentence", "text")
# What they call its tags.
TAG_COLUMNS = ("tags", "ner_tags", "upos", "pos_tags", "pos", "labels", "xpos", "chunk_tags")
CONLL_SUFFIXES = (".conll", ".conllu", ".conllup", ".bio", ".bioes", ".iob", ".iob2")
_PLAIN = (".txt", ".text", ".md")
_LINES = 200


@dataclass
class SentenceReader:
    """Reads sentences from files.

    Args:
        word_column, tag_column: by name or by number from 1; None leaves it to the file.
        names: of tags that are numbers; empty takes the numbers themselves.
        form: how tables are written; texts have its encoding.
        needs_tags: a sentence without tags is a bad one.
    Attributes:
        described: what the last table's or file's columns were, in part of a line.
    """

    word_column: str | None = None
    tag_column: str | None = None
    names: Sequence[str] = field(default_factory=tuple)
    form: TableFormat = USUAL
    needs_tags: bool = True

    def read(self, path: str | Path, bad: BadRows) -> Iterator[Sentence]:
        """The sentences of a file, one after the other.

        Args:
            path: a table with lists (.jsonl, .ndjson, .parquet), a CoNLL file, or, where no tags are needed,
                a text with a sentence on each line.
            bad: what happens to sentences that cannot be used.
        Raises:
            DataError: the file cannot be used (the message names the line).
        """
        place = located(path)
        if isinstance(place, JoinedTable):
            yield from self._read_table(place, bad)
            return
        path = place
        expect_file(path)
        if path.is_dir():
            raise DataError(f"{path} is a folder: name one file of tagged sentences in it")
        if is_table(path) and not (table_suffix(path) == ".tsv" and looks_tagged(path, self.form.encoding)):
            yield from self._read_table(path, bad)
        elif not self.needs_tags and not looks_tagged(path, self.form.encoding):
            lines = (line.rstrip("\r\n") for line in read_lines(path, encoding=self.form.encoding))
            yield from sentences_of_text(lines, path, bad)
        else:
            yield from read_conll(
                path, bad, self.word_column, self.tag_column, self.needs_tags, self.form.encoding
            )

    def _read_table(self, path: Path | JoinedTable, bad: BadRows) -> Iterator[Sentence]:
        form = self.form
        names = column_names(path, form)
        words, tags = table_columns(names, path, self.word_column, self.tag_column, self.needs_tags)
        for row in read_rows(path, bad, [words] if tags is None else [words, tags], form):
            try:
                yield self.sentence(row.values, words, tags, row.line)
            except DataError as error:
                bad.report(path, row.line, str(error))

    def sentence(self, values: dict[str, Any], words: str, tags: str | None, line: int) -> Sentence:
        """The sentence of a row.

        Args:
            values: of the row.
            words, tags: the columns; None for a sentence without tags.
            line: where it stands.
        Raises:
            DataError: the row holds no such lists.
        """
        listed = None if tags is None else values[tags]
        marks = marks_of(listed) if isinstance(values[words], str) else None
        if marks is None:
            found = _texts(values[words], words)
        else:
            found, listed = marked_words(values[words], marks)
        if not found:
            raise DataError(f"{words} is empty")
        for place, word in enumerate(found, 1):
            if not word.strip():
                raise DataError(f"{words}: word {place} is empty")
            check_text(word)
        if tags is None:
            return Sentence(tuple(found), None, line)
        if not isinstance(listed, (list, tuple)):
            raise DataError(f"{tags} holds no list, but {shown(listed)}")
        if len(listed) != len(found):
            raise DataError(f"{len(found)} words ({words}) and {len(listed)} tags ({tags})")
        return Sentence(tuple(found), tuple(self._tag(tag, tags) for tag in listed), line)

    def _tag(self, tag: Any, column: str) -> str:
        if isinstance(tag, bool) or not isinstance(tag, (str, int)):
            raise DataError(f"{column} holds {shown(tag)}, and a tag is a text or a whole number")
        if isinstance(tag, str):
            if not tag.strip():
                raise DataError(f"{column} holds an empty tag")
            return check_text(tag.strip())
        if not self.names:
            return str(tag)
        if not 0 <= tag < len(self.names):
            raise DataError(f"{column} holds tag {tag}, and --tag-names names {len(self.names)} (from 0)")
        return self.names[tag]


def table_columns(
    names: Sequence[str],
    path: str | Path | JoinedTable,
    word_column: str | None = None,
    tag_column: str | None = None,
    needs_tags: bool = True,
) -> tuple[str, str | None]:
    """The columns of words and of tags of a table.

    Args:
        names: its columns.
        path: for errors.
        word_column, tag_column: what the user calls them; None takes those with known names.
        needs_tags: a table without tags is refused.
    Raises:
        DataError: there is no such column, or several could be meant.
    """
    words = _named(names, word_column, "--word-column", path)
    if words is None:
        words = next((name for name in WORD_COLUMNS if name in names), None)
    if words is None:
        raise DataError(
            f"{path} has no column {WORD_COLUMNS[0]!r}: name it with --word-column ({_all(names)})"
        )
    tags = _named(names, tag_column, "--tag-column", path)
    if tags is None:
        known = [name for name in TAG_COLUMNS if name in names and name != words]
        if len(known) > 1 and known[0] != "tags" and needs_tags:
            raise DataError(
                f"{path} has several columns of tags: choose one with --tag-column {known[0]} "
                f"({', '.join(known)})"
            )
        tags = known[0] if known else None
    if tags is None and needs_tags:
        raise DataError(f"{path} has no column {TAG_COLUMNS[0]!r}: name it with --tag-column ({_all(names)})")
    return words, tags


def read_names(given: str | None) -> tuple[str, ...]:
    """The names of tags: of a file with one on each line, or those between commas.

    Raises:
        DataError: a name is empty or occurs twice.
    """
    if given is None:
        return ()
    if "," not in given and Path(given).is_file():
        names = [line.strip() for line in read_lines(given) if line.strip()]
    else:
        names = [name.strip() for name in given.split(",")]
    if not all(names) or len(set(names)) < len(names) or not names or any("," in name for name in names):
        raise DataError(
            f"--tag-names {given[:60]!r}: expected different names between commas, or a file of such names"
        )
    return tuple(names)


def looks_tagged(path: Path, encoding: str = UTF8) -> bool:
    """Whether a file has a word on each line, and is no plain text."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in CONLL_SUFFIXES:
        return True
    # As late as this: recognition reads this module.
    from throughtime.recognition.plain_text import tagged_words

    lines = [line.rstrip("\r\n") for line in islice(read_lines(path, encoding=encoding), _LINES)]
    return suffix not in _PLAIN[1:] and bool(tagged_words(suffix, lines))


def sentences_of_text(lines: Iterable[str], path: str | Path, bad: BadRows) -> Iterator[Sentence]:
    """A sentence for each line of plain text; a blank one becomes a sentence without words."""
    for number, line in enumerate(lines, 1):
        try:
            check_text(line)
        except DataError as error:
            bad.report(path, number, str(error))
            continue
        yield Sentence(tuple(words_of(line)), None, number)


def _texts(value: Any, column: str) -> list[str]:
    if isinstance(value, str):
        return words_of(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise DataError(f"{column} holds no list of words, but {shown(value)}")
    return list(value)


def _named(names: Sequence[str], wanted: str | None, flag: str, path: str | Path | JoinedTable) -> str | None:
    if wanted is None:
        return None
    found = resolve_column(names, wanted)
    if found is None:
        raise DataError(f"{path} has no column {wanted!r} ({flag}); its columns are {_all(names)}")
    return found


def _all(names: Sequence[str]) -> str:
    return ", ".join(names[:20])
