"""A folder that holds a folder for each label, as many corpora come: read as a table of their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.delimited import Report
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.joined import FileLine
from throughtime.data.lines import check_text, read_whole
from throughtime.encodings import UTF8, guess_encoding
from throughtime.errors import DataError

TEXT_SUFFIXES = (".txt",)
# A .csv may be a table of examples as well as an array.
_ARRAYS = (".npy", ".npz")
_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
# Files of each folder that are looked at to see what it holds.
_BEGINNING = 1 << 16  # bytes that show how a text is written
_LOOKED_AT = 100


def are_parts(names: Iterable[str]) -> bool:
    """Whether folders are parts of the data and no labels; a single one called train may be a label."""
    return sum(name.lower() in _SPLITS for name in names) >= 2


def is_class_folder(path: Path) -> bool:
    """Whether a folder holds a folder for each of several labels, with texts, sounds or arrays in them."""
    return kind_in_classes(path) is not None


def kind_in_classes(path: Path) -> tuple[str, ...] | None:
    """The suffixes of the files that a folder for each label holds; None where it is no such folder."""
    try:
        folders = _folders(path) if path.is_dir() else []
        if len(folders) < 2 or are_parts(one.name for one in folders):
            return None
        kinds = {_kind_of(folder) for folder in folders}
    except OSError:
        return None
    return kinds.pop() if len(kinds) == 1 else None


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _kind_of(folder: Path) -> tuple[str, ...] | None:
    """The suffixes of which each file in a folder has one, as far as was looked."""
    names = [one.name.lower() for one in islice(_files(folder), _LOOKED_AT)]
    for kind in (TEXT_SUFFIXES, AUDIO_SUFFIXES, _ARRAYS):
        if names and all(name.endswith(kind) for name in names):
            return kind
    return None


def _files(folder: Path) -> Iterator[Path]:
    return (one for one in folder.iterdir() if not one.name.startswith(".") and one.is_file())


def _other_encoding(file: Path, encoding: str) -> str:
    """What to do about a text that is not UTF-8; "" where that is not what is wrong."""
    if encoding != UTF8:
        return ""
    with file.open("rb") as opened:
        guessed = guess_encoding(opened.read(_BEGINNING))
    return f": --encoding {guessed[0]} reads it, and all other texts, as {guessed[1]}" if guessed else ""


def read_class_folder(
    path: Path, report: Report, encoding: str = UTF8
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The files of such a folder as rows: one of each label in turn, so that the first rows show them all.

    Args:
        path: of which `is_class_folder` is true.
        report: is told of each file that cannot be read, or is of another kind.
        encoding: of texts.
    Yields:
        For each file a line that knows it, and `text` or `file_name` with `label`.
    """
    kind = kind_in_classes(path) or ()
    each = [sorted(_files(folder)) for folder in _folders(path)]
    for file in filter(None, chain.from_iterable(zip_longest(*each))):
        line, label = FileLine(1, file), file.parent.name
        if not file.name.lower().endswith(kind):
            report(line, f"the other files are {' or '.join(kind)}")
            continue
        values = {FILE_COLUMN: f"{label}/{file.name}"}
        if kind == TEXT_SUFFIXES:
            try:
                values = {"text": check_text(read_whole(file, encoding))}
            except DataError as error:
                report(line, f"{error}{_other_encoding(file, encoding)}")
                continue
        yield line, {**values, "label": label}
