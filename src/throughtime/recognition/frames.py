"""What the files that a table names in a column `labels` say of each frame: a label, labels, or numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from throughtime.data.arrays import read_array
from throughtime.data.delimited import read_delimited
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.numbers import reads_as_number
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey
from throughtime.recognition.wanted import Wanted

_TABLES, _ARRAYS = (".csv", ".tsv"), (".npy", ".npz")
# Of a column `label`: more different fractions than this measure something.
_MOST_FRACTIONS = 20
_ROWS = 2_000


def clips(survey: Survey, wanted: Wanted) -> Match | None:
    """A table that names clips, and a file with what there is to say of each one's frames."""
    table = survey.table
    if table is None or not {FILE_COLUMN, "labels"} <= set(table.columns) or wanted.label_column is not None:
        return None
    names = [name for name in table.columns["labels"].values][:3]
    files = [name for name in names if Path(name).suffix.lower() in (*_TABLES, ".txt", *_ARRAYS)]
    if not files:
        return None
    path = table.path.parent / files[0]
    why = f"`{FILE_COLUMN}` names clips, and `labels` a file for each ({files[0]})"
    # A file that is missing is refused where clips are read, with its line.
    found = _look_at(path, wanted) if path.is_file() else Match("", "a label for every frame")
    aside = f"; {found.why}" if found.why else ""
    return Match(f"{why}{aside}", found.learning, found.advice, found.options)


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
