"""Labels of frames on disk: ranges of frames or seconds, or one label for each frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.data.delimited import read_delimited
from throughtime.data.lines import check_text, read_lines, shown
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


def read_frame_labels(
    path: str | Path,
    count: int,
    seconds: Sequence[float] | None = None,
    known: Collection[str] | None = None,
) -> list[str]:
    """The label of each frame of a clip; "" where there is none.

    A .csv or .tsv file has a header. With the columns `start`, `end`, `label` a row labels the frames from
    start up to, not including, end, counted from 0; with `start_seconds`, `end_seconds`, `label` it labels
    the frames shown from start up to, not including, end. Frames outside every range have no label. With
    the column `label` alone (others are passed over) each row is a frame. In a .txt file each line is a
    frame, and there is no header. An empty label is no label.

    Args:
        path: the file.
        count: T, the number of frames.
        seconds: (T,) when each frame is shown, from 0; None where that is not known.
        known: the labels that a model knows; None allows any.
    Raises:
        DataError: the file is missing or not such a table, a range is empty, overlaps another or goes past
            the clip's end, a label is not known, or there are more or fewer labels than frames (the message
            names the line).
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        rows = list(read_delimited(path))
        header = [name.strip() for name in rows[0][1]] if rows else []
        if {"start", "end", "label"} <= set(header):
            ranges = _read_ranges(path, rows, header, "", known)
            return _from_ranges(path, ranges, count, list(range(count)), count)
        if {"start_seconds", "end_seconds", "label"} <= set(header):
            if seconds is None:
                raise DataError(
                    f"{path} line 1: labels in seconds need to know how many frames a second has: pass "
                    f"--frame-rate, or count in frames (start,end,label)"
                )
            frame = (seconds[-1] - seconds[0]) / (count - 1) if count > 1 else 1.0
            ranges = _read_ranges(path, rows, header, "_seconds", known)
            return _from_ranges(path, ranges, count, seconds, seconds[-1] + frame)
        if "label" in header:
            column = header.index("label")
            found = [(line, row[column].strip() if len(row) > column else NO_LABEL) for line, row in rows[1:]]
            return _one_each(path, found, count, known)
        raise DataError(
            f"{path} line 1: the header is {','.join(header)[:80] or 'missing'}: use start,end,label or "
            f"start_seconds,end_seconds,label or label"
        )
    if path.suffix.lower() == ".txt":
        return _one_each(path, _read_lines(path), count, known)
    raise DataError(f"{path}: labels are read from .csv, .tsv or .txt files")


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """The line number and the label of each line of a .txt file."""
    found = []
    for line, text in enumerate(read_lines(path), 1):
        try:
            found.append((line, check_text(text.strip())))
        except DataError as error:
            raise DataError(f"{path} line {line}: {error}") from None
    return found


def _one_each(
    path: Path, found: list[tuple[int, str]], count: int, known: Collection[str] | None
) -> list[str]:
    if len(found) != count:
        where = f"its label {count + 1} is past the clip's end" if len(found) > count else "some are missing"
        raise DataError(f"{path} has {len(found)} labels for a clip of {count} frames: {where}")
    for line, label in found:
        _check_known(path, line, label, known)
    return [label for _, label in found]


def _check_known(path: Path, line: int, label: str, known: Collection[str] | None) -> None:
    if known is not None and label != NO_LABEL and label not in known:
        raise DataError(
            f"{path} line {line}: label {shown(label)} is unknown to the model; its labels are "
            f"{', '.join(known)}"
        )


def _read_ranges(
    path: Path, rows: list[tuple[int, list[str]]], header: list[str], unit: str, known: Collection[str] | None
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
            number = float if unit else _whole
            one = _Range(number(start), number(end), label, line)
        except ValueError:
            kind = "a number" if unit else "a whole number"
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
