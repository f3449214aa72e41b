"""A folder that holds a folder for each label, as many corpora come: read as a table of their files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.joined import FileLine
from throughtime.data.lines import read_lines
from throughtime.encodings import UTF8

TEXT_SUFFIXES = (".txt",)
# A .csv may be a table of examples as well as an array.
_ARRAYS = (".npy", ".npz")
# Folders of these names are parts of the data, and no labels.
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
# Files of each folder that are looked at to see what it holds.
_LOOKED_AT = 100


def is_class_folder(path: Path) -> bool:
    """Whether a folder holds a folder for each of several labels, with texts, sounds or arrays in them."""
    return kind_in_classes(path) is not None


def kind_in_classes(path: Path) -> tuple[str, ...] | None:
    """The suffixes of the files that a folder for each label holds; None where it is no such folder."""
    try:
        folders = _folders(path) if path.is_dir() else []
        if len(folders) < 2 or SPLITS.issuperset(one.name.lower() for one in folders):
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


def read_class_folder(path: Path, encoding: str = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """The files of such a folder as rows: one of each label in turn, so that the first rows show them all.

    Args:
        path: of which `is_class_folder` is true.
        encoding: of texts.
    Yields:
        For each file a line that knows it, and `text` or `file_name` with `label`.
    Raises:
        DataError: a text cannot be read.
    """
    kind = kind_in_classes(path) or ()
    each = [
        sorted(one for one in _files(folder) if one.name.lower().endswith(kind)) for folder in _folders(path)
    ]
    for file in filter(None, chain.from_iterable(zip_longest(*each))):
        label = file.parent.name
        if kind == TEXT_SUFFIXES:
            values = {"text": "".join(read_lines(file, encoding=encoding))}
        else:
            values = {FILE_COLUMN: f"{label}/{file.name}"}
        yield FileLine(1, file), {**values, "label": label}
