"""What a process does: one unit after the other, whoever hands them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.data.tables import BadRows, TableFormat
from throughtime.errors import DataError
from throughtime.predicting.parts import FILE, ROW, Finished, Output
from throughtime.predicting.plan import PLAN, Plan, Unit, check_unchanged
from throughtime.predicting.predictor import Predictor
from throughtime.run.row_prediction import Kind

# Rows between two signs of life: a fraction of a second's work.
_ROWS_A_SIGN = 2_000


@dataclass(frozen=True)
class Job:
    """What a process needs to know. It can be pickled, and is small.

    Args:
        predictor: the model.
        out: the folder of the output, with its plan in it.
        format: of the parts.
        form: how tables of text are written.
        skip_bad: leave out rows that cannot be used, with the reason in a file of errors.
        kept: the kinds of the columns that are kept.
    """

    predictor: Predictor
    out: Path
    format: str
    form: TableFormat
    skip_bad: bool
    kept: dict[str, Kind]

    def worker(self) -> Worker:
        """What does the work, in this process."""
        return Worker(self, Plan.read(self.out / PLAN))


class Worker:
    """Does units.

    Args:
        job: what to do.
        plan: of the output's folder.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        self._job = job
        self._plan = plan
        self._units = plan.units()
        self._output = Output(job.out, job.format, len(self._units))

    def do(self, number: int, alive: Callable[[int], None] = lambda rows: None) -> Finished:
        """Do one unit: write its part, and then its marker.

        Args:
            number: of the unit.
            alive: called now and then with the rows that were read since the last call.
        Raises:
            DataError: a row cannot be used, and they are not to be skipped; or a file has changed.
        """
        predictor = self._job.predictor
        bad = _Refused(self._job.skip_bad)
        kinds: dict[str, Kind] = {FILE: str, ROW: int, **self._job.kept, **predictor.kinds}
        rows = since = 0
        with self._output.writing(number, kinds, predictor.keep) as part:
            for line, name, found in self._predictions(self._units[number], bad):
                part.add({FILE: name, ROW: line, **found})
                rows, since = rows + 1, since + 1
                if since == _ROWS_A_SIGN:
                    alive(since)
                    since = 0
        alive(since)
        return self._output.mark(number, rows, bad.in_order())

    def _predictions(self, unit: Unit, bad: _Refused) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for order, piece in enumerate(unit.pieces):
            file = self._plan.files[piece.file]
            name = str(file.source)
            check_unchanged(file.source)
            bad.order = order
            rows = file.read(piece.number, self._plan.part_rows, self._job.form, bad)
            for line, found in self._job.predictor.predict(rows, file.columns, name, bad):
                bad.refuse()
                yield line, name, found
            bad.refuse()


class _Refused(BadRows):
    """Keeps every row that cannot be used, for the file of errors.

    A row that cannot be read is known before those above it are predicted. So nothing is raised at once: the
    first of them is named, whatever is predicted together.
    """

    def __init__(self, skip: bool) -> None:
        super().__init__(skip)
        self.order = 0
        self._rows: list[tuple[int, int, dict[str, Any]]] = []

    def in_order(self) -> list[dict[str, Any]]:
        """The rows as they stand in the files."""
        return [row for _, _, row in sorted(self._rows, key=lambda one: one[:2])]

    def report(self, path: object, line: int | None, message: str) -> None:
        self.count += 1
        reason = " ".join(message.splitlines())
        self._rows.append((self.order, line or 0, {FILE: str(path), ROW: line, "reason": reason}))

    def refuse(self) -> None:
        """Raise DataError for the first row that was reported, where such rows are not to be skipped."""
        if self._rows and not self.skip:
            row = self.in_order()[0]
            where = f"{row[FILE]}" if row[ROW] is None else f"{row[FILE]} row {row[ROW]}"
            raise DataError(f"{where}: {row['reason']} (pass --skip-bad to leave such rows out)")
