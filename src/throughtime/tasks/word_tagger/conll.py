"""CoNLL files: a word and its tags on each line, an empty line between sentences; and CoNLL-U among them.

Sources: the formats of the shared tasks of CoNLL 2000 and 2003; universaldependencies.org/format.html.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from throughtime.data.lines import check_text, read_lines
from throughtime.data.tables import BadRows
from throughtime.encodings import UTF8
from throughtime.errors import DataError

# Lines that settle what a file's columns are.
_LOOKED_AT = 2_000
_UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
# A word of CoNLL-U, a word that is written as several (1-2), and one that is not written at all (1.1).
_ID = re.compile(r"\d+([-.]\d+)?")
_DOCUMENT = "-DOCSTART-"
_COLUMNS = "# global.columns ="


@dataclass(frozen=True)
class Sentence:
    """Words, and their tags where they are known.

    Args:
        words: at least one; none for a blank line of plain text.
        tags: one for each word; None where there are none.
        line: where it begins in its file, from 1.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    line: int


@dataclass(frozen=True)
class Layout:
    """Which columns a CoNLL file has.

    Args:
        names: of CoNLL-U; elsewhere numbers from 1.
        tabs: they stand between tabs, and not between spaces.
        word: which one holds the words, from 0.
        tag: which one holds the tags; None where there is none.
        universal: lines have CoNLL-U's ids, and comments begin with "#".
    """

    names: tuple[str, ...]
    tabs: bool
    word: int
    tag: int | None
    universal: bool

    def cells(self, line: str) -> list[str]:
        """The cells of a line, without the stray spaces of real files."""
        return [cell.strip() for cell in line.rstrip().split("\t")] if self.tabs else line.split()

    def is_comment(self, line: str) -> bool:
        """Whether a line says something about the sentence. A "#" may be a word, too."""
        return line.startswith("#") and (self.universal or len(self.cells(line)) != len(self.names))

    @property
    def described(self) -> str:
        """What is read, in part of a line."""
        if self.tag is None:
            return "words"
        if self.universal:
            return f"CoNLL-U, with tags in `{self.names[self.tag]}`"
        return f"CoNLL, with words in column {self.word + 1} of {len(self.names)} and tags in {self.tag + 1}"


def layout_of(
    lines: Sequence[str],
    path: str | Path,
    word_column: str | None = None,
    tag_column: str | None = None,
    needs_tags: bool = True,
) -> Layout:
    """Find the columns of a CoNLL file.

    Args:
        lines: its first ones.
        path: for errors.
        word_column, tag_column: what the user calls them, by name or by number from 1; None leaves it to the
            file.
        needs_tags: a file without a column of tags is refused.
    Raises:
        DataError: there is no such column, or no column of tags.
    """
    rows = [line for line in lines if line.strip() and not line.startswith(_DOCUMENT)]
    named = next((line for line in rows if line.startswith(_COLUMNS)), None)
    data = [line for line in rows if not re.match(r"#\s", line)] or rows
    tabs = 2 * sum("\t" in line for line in data) > len(data)
    cells = [line.rstrip().split("\t") if tabs else line.split() for line in data]
    if not cells:
        raise DataError(f"{path} has no words: expected a word and its tag on each line")
    width = Counter(map(len, cells)).most_common(1)[0][0]
    whole = [row for row in cells if len(row) == width]
    # The first may be a multiword token, 1-2.
    has_ids = width > 2 and whole[0][0][:1] == "1" and all(_ID.fullmatch(row[0].strip()) for row in whole)
    universal = named is not None or (has_ids and width == len(_UNIVERSAL))
    if named is not None:
        names = tuple(name.lower() for name in named.removeprefix(_COLUMNS).split())
        if len(names) != width:
            raise DataError(
                f"{path}: the line `{_COLUMNS}` names {len(names)} columns, and lines have {width}"
            )
    else:
        names = _UNIVERSAL if universal else tuple(str(place) for place in range(1, width + 1))
    usual_word = names.index("form") if "form" in names else int(has_ids)
    usual_tag = names.index("upos") if "upos" in names else width - 1 if width > 1 else None
    word = usual_word if word_column is None else _column(names, word_column, "--word-column", path)
    tag = usual_tag if tag_column is None else _column(names, tag_column, "--tag-column", path)
    if tag == word:
        tag = None
    if tag is None and needs_tags:
        raise DataError(f"{path} has a single column: expected a word and its tag on each line")
    return Layout(names, tabs, word, tag, universal)


def read_conll(
    path: str | Path,
    bad: BadRows,
    word_column: str | None = None,
    tag_column: str | None = None,
    needs_tags: bool = True,
    encoding: str = UTF8,
) -> Iterator[Sentence]:
    """The sentences of a CoNLL file.

    A sentence ends at an empty line, or at one with nothing but spaces. Lines that begin with -DOCSTART-,
    comments, and CoNLL-U's multiword tokens (1-2) and empty nodes (1.1) hold no words of their own.

    Args:
        path: the file.
        bad: what happens to sentences with a line that does not fit.
        word_column, tag_column, needs_tags: as of `layout_of`.
        encoding: of the text.
    Raises:
        DataError: the file cannot be read, or a line does not fit and `bad` does not skip.
    """
    beginning = [line.rstrip("\r\n") for line in islice(read_lines(path, encoding=encoding), _LOOKED_AT)]
    layout = layout_of(beginning, path, word_column, tag_column, needs_tags)
    lines = (line.rstrip("\r\n") for line in read_lines(path, encoding=encoding))
    empty = True
    for sentence in sentences_of(lines, layout, path, bad):
        empty = False
        yield sentence
    if empty:
        raise DataError(f"{path} has no usable sentence{f' ({bad.summary()})' if bad.count else ''}")


def sentences_of(lines: Iterable[str], layout: Layout, path: str | Path, bad: BadRows) -> Iterator[Sentence]:
    """Sentences as lines come; arguments as of `read_conll`."""
    words: list[str] = []
    tags: list[str] = []
    start, fault = 0, None
    for number, line in enumerate((*lines, ""), 1):
        if not line.strip():
            if fault is not None:
                bad.report(path, *fault)
            elif words:
                yield Sentence(tuple(words), tuple(tags) if layout.tag is not None else None, start)
            words, tags, fault = [], [], None
            continue
        if layout.is_comment(line) or line.startswith(_DOCUMENT):
            continue
        if not words:
            start = number
        found = _cells_of(line, layout)
        if isinstance(found, str):
            fault = fault or (number, found)
        elif found is not None:
            words.append(found[0])
            tags.append(found[1])


def _cells_of(line: str, layout: Layout) -> tuple[str, str] | str | None:
    """The word and the tag of a line; why it has none; or None for what is no word of its own."""
    try:
        cells = layout.cells(check_text(line))
    except DataError as error:
        return str(error)
    if layout.universal and cells and ("-" in cells[0] or "." in cells[0]) and _ID.fullmatch(cells[0]):
        return None
    # A word alone is enough where no tags are needed; any other number of cells says that something is lost.
    if len(cells) != len(layout.names):
        return f"{len(cells)} columns, expected {len(layout.names)}"
    word = cells[layout.word]
    tag = "" if layout.tag is None else cells[layout.tag]
    if not word:
        return "there is no word in it"
    if layout.tag is not None and not tag:
        return f"{word!r} has no tag"
    return word, tag


def _column(names: Sequence[str], wanted: str, flag: str, path: str | Path) -> int:
    lowered = wanted.strip().lower()
    if lowered in names:
        return names.index(lowered)
    if lowered.isascii() and lowered.isdigit() and len(lowered) < 6 and 1 <= int(lowered) <= len(names):
        return int(lowered) - 1
    known = ", ".join(names) if names[0] != "1" else f"numbers from 1 to {len(names)}"
    raise DataError(f"{path} has no column {wanted!r} ({flag}); its columns are {known}")
