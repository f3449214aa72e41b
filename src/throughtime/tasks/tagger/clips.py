"""A folder of clips with a label for every frame: the list of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.lines import shown
from throughtime.data.splits import SPLIT_COLUMN, part_of
from throughtime.data.tables import METADATA, BadRows, Row, column_names, find_metadata, read_rows
from throughtime.errors import DataError
from throughtime.tasks.tagger.frame_labels import SegmentRows

LABELS_COLUMN = "labels"
_IN_SECONDS, _PLAIN = ("start_seconds", "end_seconds", "label"), ("start", "end", "label")
# A row of the table for each labelled range of a clip, in one of these ways, and what it is read as. Tables
# of DCASE's challenges have onsets and offsets.
RANGE_COLUMNS: dict[tuple[str, ...], tuple[str, ...]] = {
    _IN_SECONDS: _IN_SECONDS,
    _PLAIN: _PLAIN,
    ("onset", "offset", "event_label"): _IN_SECONDS,
    ("onset", "offset", "label"): _IN_SECONDS,
}


@dataclass(frozen=True)
class Clip:
    """One row of the metadata.

    Args:
        table: the metadata file.
        line: the row's line in it.
        path: the video, the sound or the array.
        labels: the file with its labels, or the rows of the table that say what its ranges have.
        part: training, validation or test; "" where the metadata says nothing.
        group: clips of one group (a person, a day) belong together; "" where the metadata says nothing.
    """

    table: Path
    line: int
    path: Path
    labels: Path | SegmentRows
    part: str = ""
    group: str = ""


def list_clips(source: str | Path, bad: BadRows, allow_outside: bool = False) -> list[Clip]:
    """The clips of a folder, in the order of its metadata.

    Args:
        source: the folder or its metadata file, with the columns file_name and labels (paths beside it), or
            with file_name, start, end and label (or onset, offset and event_label) and a row for each range;
            and if wanted split and group.
        bad: what happens to rows that cannot be used.
        allow_outside: accept clips and labels outside the folder.
    Raises:
        DataError: there is no metadata, or it cannot be used.
    """
    table = find_metadata(source)
    if table is None:
        raise DataError(
            f"{source} holds no {' or '.join(METADATA)}: a table of clips with the columns file_name,labels"
        )
    columns = range_columns(column_names(table))
    listed = _with_files(table, bad) if columns is None else _with_ranges(table, columns, bad)
    clips = []
    for row, name, labels in listed:
        try:
            part = part_of(row.values.get(SPLIT_COLUMN))
            path = file_of(table, name, allow_outside)
            if isinstance(labels, str):
                labels = file_of(table, labels, allow_outside)
        except DataError as error:
            bad.report(table, row.line, str(error))
            continue
        clips.append(Clip(table, row.line, path, labels, part, _cell(row, "group")))
    if any(clip.part for clip in clips):
        # A row without a split is a training clip, as long as other rows have one.
        clips = [clip if clip.part else Clip(**{**vars(clip), "part": "training"}) for clip in clips]
    return clips


def range_columns(names: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a table that has a row for each labelled range; None where it names files of labels."""
    if LABELS_COLUMN in names:
        return None
    return next((columns for columns in RANGE_COLUMNS if {*columns} <= {*names}), None)


def _with_files(table: Path, bad: BadRows) -> Iterator[tuple[Row, str, str]]:
    for row in read_rows(table, bad, (FILE_COLUMN, LABELS_COLUMN)):
        name, labels = _cell(row, FILE_COLUMN), _cell(row, LABELS_COLUMN)
        if not name or not labels:
            bad.report(table, row.line, f"{LABELS_COLUMN if name else FILE_COLUMN} is empty")
        else:
            yield row, name, labels


def _with_ranges(
    table: Path, columns: tuple[str, ...], bad: BadRows
) -> Iterator[tuple[Row, str, SegmentRows]]:
    """A clip's first row, its name and all of its ranges; a row with nothing but a name adds no range."""
    first: dict[str, Row] = {}
    ranges: dict[str, list[tuple[int, list[str]]]] = {}
    for row in read_rows(table, bad, (FILE_COLUMN,)):
        name = _cell(row, FILE_COLUMN)
        if not name:
            bad.report(table, row.line, f"{FILE_COLUMN} is empty")
            continue
        begun = first.setdefault(name, row)
        for key in (SPLIT_COLUMN, "group"):
            if _cell(row, key) != _cell(begun, key):
                raise DataError(
                    f"{table} line {row.line}: {key} {shown(_cell(row, key))}, and line {begun.line} has "
                    f"{shown(_cell(begun, key))} for the same {FILE_COLUMN}"
                )
        cells = [_cell(row, column) for column in columns]
        found = ranges.setdefault(name, [])
        if any(cells):
            found.append((row.line, cells))
    for name, row in first.items():
        yield row, name, SegmentRows(table, RANGE_COLUMNS[columns], tuple(ranges[name]))


def _cell(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else str(value).strip()


def split_clips(clips: Sequence[Clip], fraction: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Training and validation clips: by the metadata's split where it has one, else drawn by the seed.

    Args:
        clips: of `list_clips`.
        fraction: share of the groups (of the clips, where they have no group) to validate on.
        seed: of the draw.
    """
    if any(clip.part for clip in clips):
        return (
            [clip for clip in clips if clip.part == "training"],
            [clip for clip in clips if clip.part == "validation"],
        )
    groups = [clip.group or f"{clip.table} {clip.line}" for clip in clips]
    names = sorted(set(groups))
    count = round(fraction * len(names))
    if fraction > 0 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    generator = np.random.Generator(np.random.PCG64([seed, len(names)]))
    held_out = {names[index] for index in generator.permutation(len(names))[:count]}
    return (
        [clip for clip, group in zip(clips, groups, strict=True) if group not in held_out],
        [clip for clip, group in zip(clips, groups, strict=True) if group in held_out],
    )
