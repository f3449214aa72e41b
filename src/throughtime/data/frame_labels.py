"""Labels of frames on disk: ranges of frames or seconds, or one label a frame."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.errors import DataError

NO_LABEL = ""

# Times in a table are rounded: a frame that is shown this much before a range begins still belongs to it.
_TOLERANCE = 1e-4


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
    the frames shown from start up to, not including, end. Frames in no range have no label. With the column
    `label` alone (others are passed over) there is one row a frame. A .txt file has one line a frame, and no
    header. An empty label is no label.

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
        rows = _read_table(path)
        header = [name.strip() for name in rows[0]] if rows else []
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
            found = [row[column].strip() if len(row) > column else NO_LABEL for row in rows[1:]]
            return _one_each(path, found, count, known, first_line=2)
        raise DataError(
            f"{path} line 1: the header is {','.join(header) or 'missing'}: use start,end,label or "
            f"start_seconds,end_seconds,label or label"
        )
    if path.suffix.lower() == ".txt":
        found = [line.strip() for line in _read_text(path).splitlines()]
        return _one_each(path, found, count, known, first_line=1)
    raise DataError(f"{path}: labels are read from .csv, .tsv or .txt files")


def _read_text(path: Path) -> str:
    try:
        # Universal newlines: tables of old programs end their lines with CR alone.
        with path.open(encoding="utf-8-sig", newline=None) as file:
            return file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: byte {error.start}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _read_table(path: Path) -> list[list[str]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return list(csv.reader(_read_text(path).splitlines(), delimiter=delimiter))


def _one_each(
    path: Path, found: list[str], count: int, known: Collection[str] | None, first_line: int
) -> list[str]:
    if len(found) != count:
        where = f"its label {count + 1} is past the clip's end" if len(found) > count else "some are missing"
        raise DataError(f"{path} has {len(found)} labels for a clip of {count} frames: {where}")
    for line, label in enumerate(found, start=first_line):
        _check_known(path, line, label, known)
    return found


def _check_known(path: Path, line: int, label: str, known: Collection[str] | None) -> None:
    if known is not None and label != NO_LABEL and label not in known:
        raise DataError(
            f"{path} line {line}: label {label!r} is unknown to the model; its labels are {', '.join(known)}"
        )


def _read_ranges(
    path: Path, rows: list[list[str]], header: list[str], unit: str, known: Collection[str] | None
) -> list[_Range]:
    columns = [header.index(name) for name in (f"start{unit}", f"end{unit}", "label")]
    ranges = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(columns):
            raise DataError(f"{path} line {line}: {len(row)} columns, expected {len(header)}")
        start, end, label = (row[column].strip() for column in columns)
        try:
            number = float if unit else int
            one = _Range(number(start), number(end), label, line)
        except ValueError:
            kind = "a number" if unit else "a whole number"
            raise DataError(f"{path} line {line}: {start!r} to {end!r}: expected {kind} for each") from None
        if not 0 <= one.start < one.end:
            raise DataError(
                f"{path} line {line}: {start} to {end} is no range: it begins at 0 or later and ends after "
                f"its start (the end itself is not in it)"
            )
        _check_known(path, line, label, known)
        ranges.append(one)
    return ranges


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
