"""Images and their captions: a folder with a metadata table, as users and the Hugging Face hub keep them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.lines import shown
from throughtime.data.splits import SPLIT_COLUMN, SPLITS
from throughtime.data.tables import BadRows, column_names, find_metadata, is_table, read_rows
from throughtime.errors import DataError

CAPTION_COLUMNS = ("caption", "captions", "text")

_APOSTROPHE = re.compile(r"['\u2019]")


@dataclass
class CaptionedImage:
    """One image and what is said of it.

    Args:
        name: as the table has it.
        path: where it should lie.
        line: of the table, where it occurs first.
        split: "training", "validation", "test", or "" where the table does not say.
        captions: one or more.
    """

    name: str
    path: Path
    line: int
    split: str
    captions: list[str] = field(default_factory=list)


@dataclass
class CaptionedImages:
    """What a table holds.

    Args:
        table: the file.
        images: in the table's order.
    """

    table: Path
    images: list[CaptionedImage]

    def of_split(self, split: str) -> list[CaptionedImage]:
        """The images of one split."""
        return [image for image in self.images if image.split == split]

    @property
    def has_splits(self) -> bool:
        """Whether the table says which images are for what."""
        return any(image.split for image in self.images)


def find_table(source: str | Path) -> Path | None:
    """The metadata table of a folder, or the table itself; None where there is none."""
    source = Path(source)
    if source.is_dir():
        return find_metadata(source)
    return source if is_table(source) and source.is_file() else None


def read_captions(
    source: str | Path,
    bad: BadRows,
    normalise: bool,
    images_must_exist: bool = True,
    allow_outside: bool = False,
) -> CaptionedImages:
    """Read which image has which captions.

    The table has the columns `file_name` (relative to the table's folder) and `caption` (also `captions` or
    `text`): several rows for an image, or a list, are several references. A column `split` is optional.

    Args:
        source: the folder, or the table.
        bad: what happens to rows that cannot be used.
        normalise: pass captions through `normalise_caption`.
        images_must_exist: a row whose image is not there cannot be used. Without it, images are names only.
        allow_outside: read images outside the table's folder.
    Raises:
        DataError: there is no table, it lacks a column, or a row cannot be used (file, line and what to do).
    """
    source = Path(source)
    table = find_table(source)
    if table is None:
        if not source.exists():
            raise DataError(f"{source}: no such folder (the working directory is {Path.cwd()})")
        raise DataError(
            f"{source} holds no metadata: expected metadata.csv, metadata.jsonl or the like, with the "
            "columns "
            f"{FILE_COLUMN} and {CAPTION_COLUMNS[0]} beside the images"
        )
    names = column_names(table)
    column = next((name for name in CAPTION_COLUMNS if name in names), None)
    if column is None:
        raise DataError(f"{table} has no column {CAPTION_COLUMNS[0]!r}; its columns are {', '.join(names)}")
    images: dict[str, CaptionedImage] = {}
    for row in read_rows(table, bad, (FILE_COLUMN, column)):
        name, split = str(row.values[FILE_COLUMN]).strip(), _split_of(row.values.get(SPLIT_COLUMN))
        known = images.get(name)
        try:
            path = table.parent / name
            # Of an image that is known this was looked up on its first line.
            if images_must_exist and known is None:
                path = _existing(table, name, allow_outside)
            _check_split(row.values.get(SPLIT_COLUMN), split, known)
        except DataError as error:
            bad.report(table, row.line, str(error))
            continue
        captions = _captions_of(row.values[column], normalise)
        if captions is None:
            bad.report(table, row.line, f"the caption of {shown(name)} is empty or no text")
            continue
        if known is None:
            known = images[name] = CaptionedImage(name, path, row.line, split or "")
        known.captions += captions
    if not images:
        raise DataError(f"{table} has no usable rows ({bad.summary()})")
    return CaptionedImages(table, list(images.values()))


def normalise_caption(text: str) -> str:
    """Lower case; apostrophes fall away, all other punctuation separates words.

    Example:
        normalise_caption("Two tri-colored dogs, one's tail up .")  # "two tri colored dogs ones tail up"
    """
    letters = _APOSTROPHE.sub("", text.lower())
    return " ".join("".join(letter if _is_of_word(letter) else " " for letter in letters).split())


def _is_of_word(letter: str) -> bool:
    # Marks are vowels in many scripts, and accents in all.
    return letter.isalnum() or unicodedata.category(letter).startswith("M")


def _existing(table: Path, name: str, allow_outside: bool) -> Path:
    """The image's file.

    Raises:
        DataError: it is not there, or outside the table's folder.
    """
    if not name:
        raise DataError(f"{FILE_COLUMN} is empty")
    path = file_of(table, name, allow_outside)
    if not os.path.isfile(path):
        raise DataError(f"image {shown(name)} not found in {table.parent}")
    return path


def _check_split(given: Any, split: str | None, known: CaptionedImage | None) -> None:
    if split is None:
        raise DataError(f"split {shown(given)} is unknown: use train, validation or test")
    if known is not None and known.split != split:
        raise DataError(
            f"image {shown(known.name)} is in the split {known.split!r} on line {known.line}, here in "
            f"{split!r}"
        )


def _split_of(value: Any) -> str | None:
    """The split's name here, "" for none, None where it is unknown."""
    if value is None or not str(value).strip():
        return ""
    return SPLITS.get(str(value).strip().lower())


def _captions_of(value: Any, normalise: bool) -> list[str] | None:
    """One caption or a list of them, cleaned; None where one is empty or no text."""
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    captions: list[str] = []
    for text in values:
        if not isinstance(text, str):
            return None
        text = normalise_caption(text) if normalise else " ".join(text.split())
        if not text:
            return None
        captions.append(text)
    return captions or None
