"""The examples of whatever a user may name to a classifier: files, folders, and lines as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from throughtime.data.class_folders import TEXT_SUFFIXES, is_class_folder
from throughtime.data.features import is_sound_file
from throughtime.data.joined import JoinedTable, located
from throughtime.data.lines import read_lines, read_whole
from throughtime.data.tables import BadRows, find_metadata
from throughtime.errors import DataError
from throughtime.tasks.classifier.examples import Example, ExampleReader, InputKind, is_example_file


def read_any(reader: ExampleReader, kind: InputKind, path: str | Path, bad: BadRows) -> Iterator[Example]:
    """The examples of a path.

    Args:
        reader: of examples whose truth need not be known.
        kind: what the examples are.
        path: a table, a pattern or URL of tables, a folder with metadata.csv, a single array or sound, a
            folder of these without metadata, a .txt file with a text in each line, or a folder of .txt files
            with a text each.
        bad: what happens to examples that cannot be used.
    """
    place = located(path)
    if isinstance(place, JoinedTable):
        yield from reader.read(place, bad)
        return
    path = place
    if kind == "text" and path.suffix.lower() == ".txt" and path.is_file():
        yield from read_inputs(reader, path, read_lines(path, encoding=reader.form.encoding), bad)
    elif kind == "text" and _is_bare(path):
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in TEXT_SUFFIXES)
        if not files:
            raise DataError(f"{path} has neither metadata.csv nor .txt files in it")
        for file in files:
            try:
                text = reader.check_text(read_whole(file, reader.form.encoding))
                yield Example(text, None, text, 1)
            except DataError as error:
                bad.report(file, None, str(error))
    elif kind in ("sequences", "audio") and _is_bare(path):
        sounds = kind == "audio"
        files = sorted(
            file
            for file in path.iterdir()
            if is_example_file(file, kind, reader.in_rows) and is_sound_file(file.name) == sounds
        )
        if not files:
            raise DataError(f"{path} has neither metadata.csv nor {'sounds' if sounds else 'arrays'} in it")
        for file in files:
            yield from read_any(reader, kind, file, bad)
    elif is_example_file(path, kind, reader.in_rows):
        try:
            yield Example(reader.read_file(path), None, str(path), 1)
        except DataError as error:
            bad.report(path, None, str(error))
    else:
        yield from reader.read(path, bad)


def _is_bare(path: Path) -> bool:
    """Whether a folder says nothing of its files."""
    return path.is_dir() and find_metadata(path) is None and not is_class_folder(path)


def read_inputs(
    reader: ExampleReader, name: str | Path, lines: Iterable[str], bad: BadRows
) -> Iterator[Example]:
    """A line an example, as it comes. A blank line is an example without an input, so that it gets an answer.

    Args:
        reader, bad: as for `read_any`.
        name: where the lines come from, for errors.
        lines: texts, the numbers of vectors, or the names of files.
    """
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            yield Example(None, None, "", number)
            continue
        try:
            first, second = reader.read_line(text)
            yield Example(first, None, text, number, second)
        except DataError as error:
            bad.report(name, number, str(error))
