"""The parts of an output: written whole, a marker behind them, so that a work that was killed can go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from throughtime.data.json_values import without_nan
from throughtime.errors import RunError, ThroughtimeError
from throughtime.facts import parse_json
from throughtime.files import atomic_file, write_atomically
from throughtime.predicting.arrow import arrow_schema, require_arrow
from throughtime.run.row_prediction import Kind

FORMATS = ("jsonl", "parquet")
# Names that begin so are passed over by what reads a folder of tables: Spark, Arrow, Dask, and we.
DONE, ERRORS, SUCCESS = "_done", "_errors", "_SUCCESS"
FILE, ROW = "file", "row"
# Rows of a row group of Parquet: whatever is predicted together, the bytes are the same.
_GROUP = 16_384
# What a column that is kept holds may be no JSON, such as a date.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str)


@dataclass(frozen=True)
class Finished:
    """What a marker says of a part.

    Args:
        rows: predictions in it.
        left_out: rows that could not be used; they are in its file of errors.
        size: of the part, in bytes.
    """

    rows: int
    left_out: int
    size: int


@dataclass(frozen=True)
class Output:
    """The folder of an output.

    Args:
        folder: where it is.
        format: "jsonl" or "parquet".
        parts: how many there will be, which settles how their numbers are written.
    """

    folder: Path
    format: str
    parts: int

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{self._digits(number)}.{self.format}"

    def errors(self, number: int) -> Path:
        """The rows that a part leaves out."""
        return self.folder / ERRORS / f"{self._digits(number)}.jsonl"

    def marker(self, number: int) -> Path:
        """What is written once a part is complete."""
        return self.folder / DONE / f"{self._digits(number)}.json"

    def files(self, number: int) -> tuple[Path, ...]:
        """All that a unit writes."""
        return self.part(number), self.errors(number), self.marker(number)

    def _digits(self, number: int) -> str:
        return f"{number:0{max(5, len(str(self.parts - 1)))}d}"

    def finished(self, number: int) -> Finished | None:
        """What a part holds; None where it is not complete.

        Raises:
            RunError: its marker is damaged.
        """
        marker = self.marker(number)
        try:
            found = parse_json(marker.read_text(encoding="utf-8"), dict[str, int], str(marker))
            said = Finished(found["rows"], found["left_out"], found["size"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, ValueError, ThroughtimeError) as error:
            raise RunError(f"{marker} is damaged ({error}): delete it, and the part is made again") from None
        try:
            is_whole = self.part(number).stat().st_size == said.size
        except FileNotFoundError:
            is_whole = False
        return said if is_whole else None

    def mark(self, number: int, rows: int, errors: list[dict[str, Any]]) -> Finished:
        """Say that a part is complete."""
        if errors:
            lines = [json.dumps(one, ensure_ascii=False) for one in errors]
            write_atomically(self.errors(number), ("\n".join(lines) + "\n").encode())
        else:
            self.errors(number).unlink(missing_ok=True)
        found = Finished(rows, len(errors), self.part(number).stat().st_size)
        content = {"rows": found.rows, "left_out": found.left_out, "size": found.size}
        write_atomically(self.marker(number), (json.dumps(content) + "\n").encode())
        return found

    @contextmanager
    def writing(self, number: int, kinds: dict[str, Kind], kept: Sequence[str]) -> Iterator[PartWriter]:
        """What takes the rows of a part, which is there once the context ends well.

        Args:
            number: of the part.
            kinds: of the values, by name.
            kept: those that come from the input.
        """
        with atomic_file(self.part(number)) as file:
            writer = (ParquetPart if self.format == "parquet" else LinesPart)(file, kinds, kept)
            try:
                yield writer
                writer.finish()
            except BaseException:
                writer.abandon()
                raise


class PartWriter(Protocol):
    """Takes the rows of a part."""

    def add(self, row: dict[str, Any]) -> None:
        """Take one."""
        ...

    def finish(self) -> None:
        """Write what is left."""
        ...

    def abandon(self) -> None:
        """Let go of a file that is not to be."""
        ...


class LinesPart:
    """A part as JSON Lines.

    Args:
        file: where it is written.
        kinds: of the values, by name.
        kept: those that come from the input, and may be anything.
    """

    def __init__(self, file: BinaryIO, kinds: dict[str, Kind], kept: Sequence[str]) -> None:
        self._file = file
        self._kept = kept

    def add(self, row: dict[str, Any]) -> None:
        """See `PartWriter`."""
        for name in self._kept:
            row[name] = without_nan(row[name])
        self._file.write(_ENCODER.encode(row).encode() + b"\n")

    def finish(self) -> None:
        """See `PartWriter`."""
        return

    def abandon(self) -> None:
        """See `PartWriter`."""
        return


class ParquetPart:
    """A part as Parquet.

    Args:
        file, kinds, kept: as of `LinesPart`.
    """

    def __init__(self, file: BinaryIO, kinds: dict[str, Kind], kept: Sequence[str]) -> None:
        require_arrow()
        import pyarrow.parquet

        self._kinds = kinds
        self._texts = [name for name in kept if kinds[name] is str]
        self._schema = arrow_schema(kinds)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        """See `PartWriter`."""
        for name in self._texts:
            if row.get(name) is not None and not isinstance(row[name], str):
                row[name] = str(row[name])
        self._rows.append(row)
        if len(self._rows) == _GROUP:
            self._flush()

    def finish(self) -> None:
        """See `PartWriter`."""
        if self._rows:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """See `PartWriter`."""
        # Left open, it would try to write later, and complain on standard error.
        with suppress(Exception):
            self._writer.close()

    def _flush(self) -> None:
        arrow = require_arrow()
        rows, self._rows = self._rows, []
        columns = [
            arrow.array([row.get(name) for row in rows], self._schema.field(name).type)
            for name in self._kinds
        ]
        self._writer.write_table(arrow.Table.from_arrays(columns, schema=self._schema))
