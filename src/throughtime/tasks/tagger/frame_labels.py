"""Labels of frames on disk: ranges of frames or seconds, or one label for each frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.data.delimited import read_delimited
from throughtime.data.lines import check_text, expect_file, read_lines, shown
from throughtime.data.numbers import reads_as_number
from throughtime.errors import DataError

NO_LABEL = ""

# Times in a table are rounded: a frame that is shown this much before a range begins still belongs to it.
_TOLERANCE = 1e-4
_LONGEST_NUMBER = 18


@dataclass(frozen=True)
class _Range:
    start: float
    end: float
    label: str
    line: int


@dataclass(frozen=True)
class SegmentRows:
    """The labelled ranges of a clip that the table of clips holds itself, a row for each.

    Args:
        table: the table.
        header: start, end and label, or start_seconds, end_seconds and label.
        rows: the line of each in the table, and its three cells.
    """

    table: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]


def read_frame_labels(
    source: str | Path | SegmentRows,
    count: int,
    seconds: Sequence[float] | None = None,
    known: Collection[str] | None = None,
    is_sound: bool = False,
) -> list[str]:
    """The label of each frame of a clip; "" where there is none.

    A .csv or .tsv file has a header. With the columns `start`, `end`, `label` a row labels the frames from
    start up to, not including, end, counted from 0; of a sound these are seconds. With `start_seconds`,
    `end_seconds`, `label` it labels the frames shown from start up to, not including, end. Frames outside
    every range have no label. With the column `label` alone (others are passed over) each row is a frame. In
    a .txt file each line is a frame, and there is no header; or each line is a range in seconds, as Audacity
    exports its label tracks: start, end and label between tabs. An empty label is no label.

    Args:
        source: the file, or rows of the table of clips.
        count: T, the number of frames.
        seconds: (T,) when each frame is shown, from 0; of a sound, the middle of each frame. None where that
            is not known.
        known: the labels that a model knows; None allows any.
        is_sound: whether the clip is a sound, whose `start` and `end` are seconds.
    Raises:
        DataError: the file is missing or not such a table, a range is empty, overlaps another or goes past
            the clip's end, a label is not known, or there are more or fewer labels than frames (the message
            names the line).
    """
    if isinstance(source, SegmentRows):
        rows = [(1, list(source.header)), *source.rows]
        return _read_table(source.table, rows, count, seconds, known, is_sound)
    path = Path(source)
    expect_file(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _read_table(path, list(read_delimited(path)), count, seconds, known, is_sound)
    if path.suffix.lower() == ".txt":
        lines = _read_lines(path)
        if (rows := _label_track(lines, is_sound)) is not None:
            return _read_table(path, rows, count, seconds, known, is_sound)
        return _one_each(path, lines, count, known)
    raise DataError(f"{path}: labels are read from .csv, .tsv or .txt files")


def _read_table(
    path: Path,
    rows: list[tuple[int, list[str]]],
    count: int,
    seconds: Sequence[float] | None,
    known: Collection[str] | None,
    is_sound: bool,
) -> list[str]:
    header = [name.strip() for name in rows[0][1]] if rows else []
    if {"start", "end", "label"} <= set(header) and not is_sound:
        ranges = _read_ranges(path, rows, header, "", known)
        return _from_ranges(path, ranges, count, list(range(count)), count)
    # Predictions have both, and their `start` and `end` count frames.
    unit = "_seconds" if {"start_seconds", "end_seconds"} <= set(header) else ""
    if {f"start{unit}", f"end{unit}", "label"} <= set(header):
        if seconds is None:
            raise DataError(
                f"{path} line 1: labels in seconds need to know how many frames a second has: pass "
                f"--frame-rate, or count in frames (start,end,label)"
            )
        hop = (seconds[-1] - seconds[0]) / (count - 1) if count > 1 else 1.0
        ranges = _read_ranges(path, rows, header, unit, known, in_seconds=True)
        # The first frame of a sound has its middle at half a window, and so much follows the last middle.
        return _from_ranges(path, ranges, count, seconds, seconds[-1] + seconds[0] + hop)
    if "label" in header:
        column = header.index("label")
        found = [(line, row[column].strip() if len(row) > column else NO_LABEL) for line, row in rows[1:]]
        return _one_each(path, found, count, known)
    raise DataError(
        f"{path} line 1: the header is {','.join(header)[:80] or 'missing'}: use start,end,label or "
        f"start_seconds,end_seconds,label or label"
    )


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """The line number and the label of each line of a .txt file."""
    found = []
    for line, text in enumerate(read_lines(path), 1):
        try:
            found.append((line, check_text(text.strip("\r\n"))))
        except DataError as error:
            raise DataError(f"{path} line {line}: {error}") from None
    return found


def _one_each(
    path: Path, found: list[tuple[int, str]], count: int, known: Collection[str] | None
) -> list[str]:
    if len(found) != count:
        where = f"its label {count + 1} is past the clip's end" if len(found) > count else "some are missing"
        raise DataError(f"{path} has {len(found)} labels for a clip of {count} frames: {where}")
    labels = [label.strip() for _, label in found]
    for (line, _), label in zip(found, labels, strict=True):
        _check_known(path, line, label, known)
    return labels


def _label_track(lines: list[tuple[int, str]], is_sound: bool) -> list[tuple[int, list[str]]] | None:
    """The ranges of an Audacity label track, with a header; None where the lines are something else.

    A line that begins with a backslash holds the frequencies of the range above it. A track without a label
    is an empty file.
    """
    rows = [(line, text.split("\t")) for line, text in lines if text.strip() and text[0] != "\\"]
    is_track = (bool(rows) or is_sound) and all(
        len(cells) in (2, 3) and all(map(reads_as_number, cells[:2])) for _, cells in rows
    )
    if not is_track:
        return None
    header = (1, ["start_seconds", "end_seconds", "label"])
    return [header, *((line, [*cells, NO_LABEL][:3]) for line, cells in rows)]


def _check_known(path: Path, line: int, label: str, known: Collection[str] | None) -> None:
    if known is not None and label != NO_LABEL and label not in known:
        raise DataError(
            f"{path} line {line}: label {shown(label)} is unknown to the model; its labels are "
            f"{', '.join(known)}"
        )


def _read_ranges(
    path: Path,
    rows: list[tuple[int, list[str]]],
    header: list[str],
    unit: str,
    known: Collection[str] | None,
    in_seconds: bool = False,
) -> list[_Range]:
    columns = [header.index(name) for name in (f"start{unit}", f"end{unit}", "label")]
    ranges = []
    for line, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(columns):
            raise DataError(f"{path} line {line}: {len(row)} columns, expected {len(header)}")
        start, end, label = (row[column].strip() for column in columns)
        try:
            number = float if in_seconds else _whole
            one = _Range(number(start), number(end), label, line)
        except ValueError:
            kind = "a number" if in_seconds else "a whole number"
            raise DataError(
                f"{path} line {line}: {shown(start)} to {shown(end)}: expected {kind} for each"
            ) from None
        if not 0 <= one.start < one.end:
            raise DataError(
                f"{path} line {line}: {one.start:g} to {one.end:g} is no range: it begins at 0 or later and "
                f"ends after its start (the end itself is not in it)"
            )
        _check_known(path, line, label, known)
        ranges.append(one)
    return ranges


def _whole(text: str) -> int:
    # No clip is longer, and Python does not read all numbers of any length.
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("too long")
    return int(text)


def _from_ranges(
    path: Path, ranges: list[_Range], count: int, positions: Sequence[float], length: float
) -> list[str]:
    """Label the frames at `positions` in a clip of `length`, both in the unit of the ranges."""
    ranges = sorted(ranges, key=lambda one: (one.start, one.line))
    in_frames = isinstance(length, int)
    tolerance = 0.0 if in_frames else _TOLERANCE
    for before, after in zip(ranges, ranges[1:], strict=False):
        if after.start < before.end - tolerance:
            raise DataError(
                f"{path} line {after.line}: {after.start:g} to {after.end:g} overlaps line {before.line}, "
                f"{before.start:g} to {before.end:g}"
            )
    labels, frame = [NO_LABEL] * count, 0
    for one in ranges:
        # Half a frame of leeway in seconds: the last frame's duration is an estimate.
        leeway = 0.0 if in_frames else max(tolerance, 0.5 * length / max(count, 1))
        if one.end > length + leeway:
            clip = f"{count} frames" if in_frames else f"{length:.3f} seconds"
            raise DataError(
                f"{path} line {one.line}: the range ends at {one.end:g}, past the clip's end: it has {clip}"
            )
        while frame < count and positions[frame] < one.start - tolerance:
            frame += 1
        while frame < count and positions[frame] < one.end - tolerance:
            labels[frame] = one.label
            frame += 1
    return labels
