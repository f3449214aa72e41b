"""Recordings and their texts on disk: a folder of sounds or arrays with a metadata file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.data.feature_files import read_features
from throughtime.data.features import FeatureSpace, is_sequence_file, is_sound_file
from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.lines import check_text, shown
from throughtime.data.splits import SPLIT_COLUMN, SPLITS, part_of
from throughtime.data.tables import BadRows, column_names, find_metadata, is_table, read_rows, resolve_column
from throughtime.errors import DataError
from throughtime.tasks.transcriber.alphabet import normalised
from throughtime.tasks.transcriber.decoding import least_steps
from throughtime.tasks.transcriber.options import TranscribedData

# How people, and Hugging Face's data sets, call the text of a sound; best first.
TEXT_COLUMNS = ("text", "transcription", "transcript", "sentence")


@dataclass(frozen=True)
class Recording:
    """One sound or array.

    Args:
        steps: (T, stack * F), its stacked frames.
        frames: how many there were before they were stacked.
        text: what is said; None where the table does not say.
        name: what it is called where it is shown.
        table: the file that names it, and the line there; None where it was named itself.
        part: training, validation or test; "" where the table does not say.
    """

    steps: NDArray[np.float32]
    frames: int
    text: str | None
    name: str
    table: Path
    line: int | None
    part: str = ""


@dataclass
class RecordingReader:
    """Reads recordings from folders, tables and single files.

    Args:
        data: how.
        is_sound: sounds, or else arrays.
        space: the features that there have to be; None takes those of the first one.
        needs_text: a recording without a text is a bad one.
        allow_outside: read files outside the folder of the table that names them.
    """

    data: TranscribedData
    is_sound: bool
    space: FeatureSpace | None = None
    needs_text: bool = True
    allow_outside: bool = False

    def read(self, path: str | Path, bad: BadRows, parts: Sequence[str] | None = None) -> Iterator[Recording]:
        """The recordings that a path stands for, one after the other.

        Args:
            path: a folder with metadata, or the metadata file; where no text is needed, also a sound, an
                array, or a folder of them.
            bad: what happens to recordings that cannot be used.
            parts: only those of these parts; None reads all.
        Raises:
            DataError: a file is missing or lacks the columns; a recording is bad, and `bad` does not skip.
        """
        path = Path(path)
        table = _table_of(path)
        if table is not None:
            yield from self._rows(table, bad, parts)
            return
        if self.needs_text:
            raise DataError(f"{path} has no metadata.csv (or .tsv, .jsonl, .parquet) with texts")
        for file in self._files(path):
            try:
                steps, frames = self.features(file)
            except DataError as error:
                bad.report(file, None, str(error).removeprefix(str(file)).lstrip(": "))
                continue
            yield Recording(steps, frames, None, str(file), file, None)

    def features(self, path: str | Path) -> tuple[NDArray[np.float32], int]:
        """The stacked frames of one file, and how many frames there were.

        Raises:
            DataError: it is missing, broken or has other features than it should.
        """
        data = self.data
        array, self.space = read_features(path, self.is_sound, self.space, data, data.columns, data.fill)
        return stacked(array, data.stack), len(array)

    def count(self, path: str | Path, parts: Sequence[str] | None) -> int:
        """How many rows a table has of some parts; None counts all."""
        table = _table_of(Path(path))
        if table is None:
            return 0
        names = SPLITS if parts is not None else {}
        rows = read_rows(table, BadRows(skip=True))
        return sum(
            parts is None or names.get(str(row.values.get(SPLIT_COLUMN) or "").strip().lower(), "") in parts
            for row in rows
        )

    def has_parts(self, path: str | Path) -> bool:
        """Whether a table says which recordings are for what."""
        table = _table_of(Path(path))
        return table is not None and SPLIT_COLUMN in column_names(table)

    def _rows(self, table: Path, bad: BadRows, parts: Sequence[str] | None) -> Iterator[Recording]:
        names = column_names(table)
        column = text_column(names, self.data.text_column)
        if column is None and self.needs_text:
            wanted = self.data.text_column or TEXT_COLUMNS[0]
            raise DataError(f"{table} has no column {wanted!r}; its columns are {', '.join(names[:20])}")
        for row in read_rows(table, bad, (FILE_COLUMN, *([column] if column and self.needs_text else []))):
            try:
                part = part_of(row.values.get(SPLIT_COLUMN))
                if parts is not None and part not in parts:
                    continue
                text = None
                if column is not None and row.values.get(column) is not None:
                    text = normalised(check_text(str(row.values[column])), self.data.lowercase)
                if not text and self.needs_text:
                    raise DataError(f"{column} is empty")
                file = file_of(table, row.values[FILE_COLUMN], self.allow_outside)
                steps, frames = self.features(file)
            except DataError as error:
                bad.report(table, row.line, str(error))
                continue
            name = str(row.values[FILE_COLUMN])
            yield Recording(steps, frames, text or None, name, table, row.line, part)

    def _files(self, path: Path) -> list[Path]:
        if not os.path.isdir(path):
            return [path]
        files = sorted(one for one in path.iterdir() if one.is_file() and is_sequence_file(one.name))
        files = [one for one in files if is_sound_file(one.name) == self.is_sound]
        if not files:
            what = "sounds" if self.is_sound else "arrays"
            raise DataError(f"{path} has neither metadata.csv nor {what} in it")
        return files


def _table_of(path: Path) -> Path | None:
    """The table that names recordings: a folder's metadata, or a file; None where there is none."""
    table = find_metadata(path)
    if table is None and os.path.isfile(path) and is_table(path) and FILE_COLUMN in column_names(path):
        return path
    return table


def check_fits(one: Recording, data: TranscribedData, known: Collection[str] | None) -> None:
    """Hold the text of a recording to what can be learned.

    Args:
        one: the recording.
        data: how it became steps.
        known: the characters that there are; None allows any.
    Raises:
        DataError: the text needs more steps than there are, or has a character that is not known.
    """
    text = one.text or ""
    new = [] if known is None else [character for character in text if character not in known]
    if new:
        raise DataError(f"no training text has the character {shown(new[0])} (in {shown(text)})")
    needed = least_steps([ord(character) for character in text])
    if needed > len(one.steps):
        equal = needed - len(text)
        blanks = f" ({equal} of them like the one before)" if equal else ""
        shorter = " or a shorter --frame-hop" if data.input == "audio" else ""
        raise DataError(
            f"{one.name} has {len(one.steps)} steps ({one.frames} frames, --stack {data.stack}), and its "
            f"text of {len(text)} characters{blanks} needs {needed}: use a smaller --stack{shorter}"
        )


def text_column(names: Sequence[str], wanted: str | None) -> str | None:
    """The column of a table that holds the texts; None where there is none."""
    if wanted is not None:
        return resolve_column(names, wanted)
    return next((one for one in TEXT_COLUMNS if one in names), None)


def stacked(frames: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Neighbouring frames joined: (T, F) to (ceil(T / count), count * F).

    The last step is filled up with the last frame.
    """
    if count == 1:
        return frames
    missing = -len(frames) % count
    whole = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames
    return np.ascontiguousarray(whole).reshape(-1, count * frames.shape[1])
