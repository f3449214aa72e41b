"""Lines as examples: read from a text or from a column of a table, each with the conditions beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from throughtime.data.events import events_as_text
from throughtime.data.joined import JoinedTable, located
from throughtime.data.lines import check_text, read_lines
from throughtime.data.tables import (
    BadRows,
    TableFormat,
    column_names,
    is_table,
    read_rows,
    resolve_column,
)
from throughtime.encodings import UTF8
from throughtime.errors import DataError

# What ends a line, and what the network reads before its first token.
LINE_END = "\n"


@dataclass(frozen=True)
class Line:
    """One example.

    Args:
        number: of its line in the file, or of the row of a Parquet file; from 1.
        text: without its end.
        conditions: by column.
    """

    number: int
    text: str
    conditions: dict[str, Any] = field(default_factory=dict)


@dataclass
class LineReader:
    """Reads lines from files, in the same way for training and for scoring.

    Args:
        text_column: of a table, by name or by number from 1; where it holds lists of events, each is a word.
        condition_columns: the columns beside it, in order.
        form: how a table is written; a text has its encoding.
        errors: what becomes of bytes that are not text: "strict" refuses them, "replace" reads U+FFFD, and
            "keep" leaves them to a model of bytes.
        fixed: conditions that hold for every line of a text, which has no columns.
    Attributes:
        blank: lines of the last file that were empty or held nothing but spaces.
        first_blank: the number of the first one.
    """

    text_column: str = "text"
    condition_columns: tuple[str, ...] = ()
    form: TableFormat = field(default_factory=TableFormat)
    errors: str = "strict"
    fixed: dict[str, str] = field(default_factory=dict)
    blank: int = 0
    first_blank: int = 0

    def read(self, path: str | Path, bad: BadRows) -> Iterator[Line]:
        """The lines of a file that are not blank.

        Args:
            path: a text (.txt, .log, whatever is no table), or a table.
            bad: what happens to lines that cannot be used.
        Raises:
            DataError: the file cannot be read, a column is missing, or a line cannot be used.
        """
        self.blank = self.first_blank = 0
        found = False
        place = located(path)
        lines = self._table(place, bad) if is_table(place) else self._text(Path(path))
        for line in lines:
            if not line.text.strip():
                self.first_blank = self.first_blank or line.number
                self.blank += 1
                continue
            try:
                if LINE_END in line.text:
                    raise DataError("it has a line break in it, where a line would end: join it, or cut it")
                if self.errors != "keep":
                    check_text(line.text)
            except DataError as error:
                bad.report(path, line.number, str(error))
                continue
            found = True
            yield line
        if not found:
            raise DataError(f"{path} has no line that can be used: every one is blank or left out")

    def remark(self, path: str | Path) -> str:
        """What was passed over in the file that was read last, in a sentence; "" where nothing was."""
        if not self.blank:
            return ""
        lines = "1 blank line" if self.blank == 1 else f"{self.blank:,} blank lines"
        which = "line" if self.blank == 1 else "the first is line"
        return f"left out {lines} of {Path(path).name} ({which} {self.first_blank})"

    def _text(self, path: Path) -> Iterator[Line]:
        if self.condition_columns and not self.fixed:
            named = " and ".join(f"`{name}`" for name in self.condition_columns)
            raise DataError(
                f"{path} is a text, and the lines have conditions ({named}): name a table that has them "
                f"beside the lines"
            )
        for number, text in enumerate(read_lines(path, "\n", self.form.encoding), 1):
            text = text.removesuffix("\n").removesuffix("\r")
            if self.errors == "replace" and not text.isascii():
                text = _replaced(text)
            yield Line(number, text, dict(self.fixed))

    def _table(self, path: Path | JoinedTable, bad: BadRows) -> Iterator[Line]:
        names = column_names(path, self.form)
        text, *conditions = (
            existing_column(path, names, wanted, flag)
            for wanted, flag in (
                (self.text_column, "--text-column"),
                *((name, "--condition-columns") for name in self.condition_columns),
            )
        )
        for row in read_rows(path, bad, [text], self.form):
            # Under the names that the run knows: another table may number its columns.
            values = {
                wanted: row.values.get(found)
                for wanted, found in zip(self.condition_columns, conditions, strict=True)
            }
            given = row.values[text]
            try:
                line = events_as_text(given) if isinstance(given, (list, tuple)) else str(given).strip("\r\n")
            except DataError as error:
                bad.report(path, row.line, str(error))
                continue
            yield Line(row.line, line, values)


def existing_column(path: Path | JoinedTable, names: list[str], wanted: str, flag: str) -> str:
    """The column that a user means.

    Raises:
        DataError: there is none such.
    """
    found = resolve_column(names, wanted)
    if found is None:
        raise DataError(f"{path} has no column {wanted!r} ({flag}); its columns are {', '.join(names)}")
    return found


def _replaced(text: str) -> str:
    """Bytes that could not be decoded as U+FFFD."""
    return text.encode(UTF8, "surrogateescape").decode(UTF8, "replace")
