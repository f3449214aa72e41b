"""The files that a table names: in the table's own folder, and nowhere else unless the user says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from throughtime.data.joined import JoinedTable
from throughtime.data.lines import shown
from throughtime.errors import DataError

# The column of a table that names files: Hugging Face's folders of images and sounds have it, too.
FILE_COLUMN = "file_name"


def file_of(table: Path | JoinedTable, name: Any, allow_outside: bool) -> Path:
    """The path of a file that a table names.

    Whoever made a data set would otherwise decide which of the user's files are read, and an error about one
    of them would show what is in it.

    Args:
        table: the table, or a folder that is read as one.
        name: as it is in the table; relative to the table's folder.
        allow_outside: accept absolute names, `..`, and symbolic links that lead out of the folder.
    Raises:
        DataError: the file lies outside the folder, or no file can have this name.
    """
    if isinstance(table, JoinedTable):
        raise DataError(
            f"{shown(name)} is a file that several tables, or one behind a URL, name: name one table on this "
            f"machine"
        )
    folder, text = table if table.is_dir() else table.parent, str(name).strip()
    if not text or "\0" in text:
        raise DataError(f"{shown(name)} is not the name of a file")
    path = folder / text
    try:
        is_inside = allow_outside or path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle, a name that is too long
        raise DataError(f"file {shown(text)} cannot be read: {error}") from None
    if not is_inside:
        raise DataError(
            f"file {shown(text)} lies outside {folder}: copy it there, or pass --allow-outside-files if you "
            f"trust the table"
        )
    return path
