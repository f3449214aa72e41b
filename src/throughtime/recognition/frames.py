"""What the files that a table names in a column `labels` say of each frame: a label, labels, or numbers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from throughtime.data.arrays import read_array
from throughtime.data.delimited import read_delimited
from throughtime.data.features import is_sound_file
from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.numbers import reads_as_number
from throughtime.errors import DataError
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.tagger.clips import LABELS_COLUMN, range_columns

_TABLES, _ARRAYS = (".csv", ".tsv"), (".npy", ".npz")
# Of a column `label`: more different fractions than this measure something.
_MOST_FRACTIONS = 20
_ROWS = 2_000
# What the time outside the segments of a sound is called.
BACKGROUND = "background"
# Two seconds: frames of a sound come four times as fast as those of a video.
_SOUND_CHUNK = 200


def clips(survey: Survey, wanted: Wanted) -> Match | None:
    """A table that names clips, and a file with what there is to say of each one's frames."""
    table = survey.table
    if table is None or FILE_COLUMN not in table.columns or wanted.label_column is not None:
        return None
    ranges = range_columns(list(table.columns))
    if ranges is not None:
        why = f"`{FILE_COLUMN}` names clips, and each row a label from `{ranges[0]}` to `{ranges[1]}`"
        return _of_sounds(table, Match(why, "a label for every frame"), wanted)
    if LABELS_COLUMN not in table.columns:
        return None
    names = [name for name in table.columns[LABELS_COLUMN].values][:3]
    files = [name for name in names if Path(name).suffix.lower() in (*_TABLES, ".txt", *_ARRAYS)]
    if not files:
        return None
    path = _inside(table, files[0], wanted.allow_outside_files)
    why = f"`{FILE_COLUMN}` names clips, and `labels` a file for each ({files[0]})"
    found = _look_at(path, wanted) if path is not None else Match("", "a label for every frame")
    aside = f"; {found.why}" if found.why else ""
    match = Match(f"{why}{aside}", found.learning, found.advice, found.options)
    return match if found.advice or found.options else _of_sounds(table, match, wanted)


def _inside(table: TableSurvey, name: str, allow_outside: bool) -> Path | None:
    """A file that a table names; None where it is missing or outside, which is refused where clips are read,
    with its line."""
    try:
        path = file_of(table.path, name, allow_outside)
    except DataError:
        return None
    return path if os.path.isfile(path) else None


def _of_sounds(table: TableSurvey, match: Match, wanted: Wanted) -> Match:
    """What is learned of sounds: time without a label has one of its own."""
    first = next(iter(table.columns[FILE_COLUMN].values), "")
    if not is_sound_file(first) or wanted.kind not in (None, "label"):
        return match
    name = BACKGROUND if wanted.background is None else wanted.background
    outside = f"time without a label is {name!r}" if name else "time without a label is not learned"
    return replace(
        match,
        why=match.why.replace("clips", "sounds", 1),
        learning=f"{match.learning} of sound; {outside} (--background)",
        usual={"background": BACKGROUND, "chunk": _SOUND_CHUNK},
    )


def _look_at(path: Path, wanted: Wanted) -> Match:
    suffix = path.suffix.lower()
    if suffix in _ARRAYS or (suffix in _TABLES and _is_of_numbers(path)):
        return _values(path, wanted)
    if wanted.kind in ("labels", "number"):
        return Match(
            "it holds names of labels",
            advice=f"--target {wanted.kind} needs an array for each clip (.npy, .npz, or a .csv of numbers), "
            f"with a row for each frame",
        )
    return Match("", "a label for every frame")


def _values(path: Path, wanted: Wanted) -> Match:
    values, _ = read_array(path)
    width = values.shape[1]
    if path.suffix.lower() in _TABLES and _header(path) == ["label"] and wanted.kind in (None, "label"):
        different = len(np.unique(values))
        if wanted.kind is None and different > _MOST_FRACTIONS and bool((values != np.round(values)).any()):
            return Match(
                f"its column `label` has {different:,} different numbers",
                advice="--target number predicts numbers; --target label takes each of them as a class",
            )
        return Match("", "a label for every frame")
    if wanted.kind == "label":
        return Match(
            "it holds numbers",
            advice="--target label needs the name of each frame's label, in a .txt or .csv file",
        )
    flags = bool(((values == 0) | (values == 1)).all())
    if wanted.kind == "labels" and not flags:
        return Match("it holds more than 0 and 1", advice="--target number predicts numbers")
    if wanted.kind == "labels" or (wanted.kind is None and flags and width > 1):
        return Match("", f"which of {width} labels every frame has", options={"target": "labels"})
    if wanted.kind is None and width == 1 and bool((values == np.round(values)).all()):
        return Match(
            "it holds one whole number for each frame",
            advice="--target number predicts it; where it is the number of a label, write the labels into a "
            ".txt file, one a line",
        )
    what = "a number" if width == 1 else f"{width} numbers"
    return Match("", f"{what} for every frame", options={"target": "number"})


def _header(path: Path) -> list[str]:
    return [name.strip() for name in next(read_delimited(path), (1, []))[1]]


def _is_of_numbers(path: Path) -> bool:
    """Whether a table has a number in each cell below its first line, and no column `label` among others."""
    header = _header(path)
    if "label" in header and header != ["label"]:
        return False
    rows = [row for _, row in zip(range(_ROWS), read_delimited(path), strict=False)][1:]
    return bool(rows) and all(reads_as_number(cell) for _, row in rows for cell in row)
