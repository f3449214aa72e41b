"""A trained run as a function of batches, which other engines can send to their processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from throughtime.data.tables import BadRows, Row
from throughtime.errors import DataError, OptionError
from throughtime.hub.cache import is_hub_name
from throughtime.predicting.arrow import arrow_schema
from throughtime.run.row_prediction import Kind, RowPredictor

if TYPE_CHECKING:
    from throughtime.run.run import Run

# Rows that are predicted together: enough that sorted by length they hold little padding.
BATCH = 1024
ERROR = "error"
# What a part says of each row; see `throughtime.predicting.parts`.
_OF_PARTS = ("file", "row")


class Predictor:
    """Predicts for batches of columns. It can be pickled, and opens the run only where it is first called.

    Example:
        predictor = Predictor("runs/reviews", keep=["id"])
        predictor({"id": [7], "text": ["what a film"]})
        # {"id": [7], "input": ["what a film"], "label": ["positive"], "probability": [0.93]}

    The same row gives the same prediction to the last bit, whatever batch it comes in.

    Args:
        run: the run folder of a classifier, a word tagger or a translator; where the processes run, it has
            to have this name as well. Or hf://owner/name@revision, which each process opens in its cache.
        keep: columns that are passed on beside the predictions.
        errors: what becomes of a row that cannot be used: "raise" stops with a DataError that names it;
            "null" leaves its predictions empty and gives a column `error` with the reason.
        backend, precision, threads: as of `throughtime.load`; one thread, because engines have a process on
            each core.
        batch: rows that are predicted together. It affects speed and memory, not the predictions.
        **options: of the task's `predict`: probabilities, threshold.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        keep: Sequence[str] = (),
        errors: Literal["raise", "null"] = "raise",
        backend: str = "native",
        precision: str | None = None,
        threads: int = 1,
        batch: int = BATCH,
        **options: Any,
    ) -> None:
        if isinstance(keep, str):
            raise OptionError(f"keep takes a list of columns: keep=[{keep!r}]")
        if errors not in ("raise", "null"):
            raise OptionError(f"errors is {errors!r}: use 'raise' or 'null'")
        if batch < 1:
            raise OptionError(f"batch is {batch}: it has to be 1 or more")
        self.folder = Path(run) if is_hub_name(run) else Path(run).resolve()
        self.keep = tuple(keep)
        self._errors = errors
        self._how = (backend, precision, threads)
        self._batch = batch
        self._options = options
        # Dask, for one, calls it from several threads, and a network computes for one at a time.
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Without the opened run: each process opens its own."""
        return {name: value for name, value in vars(self).items() if name not in ("run", "rows", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @cached_property
    def run(self) -> Run:
        """The run, opened when it is first needed.

        Raises:
            RunError: the folder is missing or damaged.
        """
        from throughtime.run.run import Run

        return Run.open(self.folder, *self._how)

    @cached_property
    def rows(self) -> RowPredictor:
        """What predicts from rows.

        Raises:
            OptionError: the run's task reads no rows of tables, or an option is not for it.
        """
        found = self.run.row_predictor(**self._options)
        if taken := [name for name in self.keep if name in (*found.kinds, ERROR, *_OF_PARTS)]:
            raise OptionError(f"{taken[0]!r} cannot be kept: the predictions have a column of this name")
        return found

    @property
    def threads(self) -> int:
        """How many each process uses."""
        return self._how[2]

    def facts(self) -> dict[str, Any]:
        """What the predictions depend on, besides the run, as JSON has it."""
        return {"backend": self._how[0], "precision": self.run.precision, **self._options}

    @property
    def kinds(self) -> dict[str, Kind]:
        """What a prediction holds, by name; see `RowPredictor`."""
        return self.rows.kinds if self._errors == "raise" else {**self.rows.kinds, ERROR: str}

    @property
    def schema(self) -> Any:
        """The predictions' columns, without those that are kept, as a pyarrow schema.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return arrow_schema(self.kinds)

    def needed(self, columns: Sequence[str], name: str) -> list[str]:
        """The columns of a table that are read: for the predictions, and then to be kept.

        Args:
            columns: those that it has.
            name: of the table, for errors.
        Raises:
            DataError: one of them is missing.
        """
        from throughtime.data.tables import no_column

        needed = self.rows.needed(columns, name)
        for column in (*needed, *self.keep):
            if column not in columns:
                raise DataError(no_column(name, column, columns))
        return needed

    def predict(
        self, rows: Iterable[Row], columns: Sequence[str], name: str, bad: BadRows
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each row and its prediction, with the values that are kept, in order.

        Args:
            rows: any number, of which a batch is in memory at a time.
            columns: those of the table.
            name: of the table, for errors.
            bad: what happens to rows that cannot be used; those are left out.
        """
        return self._predicted(rows, columns, name, bad, self.keep)

    def _predicted(
        self, rows: Iterable[Row], columns: Sequence[str], name: str, bad: BadRows, keep: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        needed = self.needed(columns, name)
        aside = set(keep).difference(needed)
        given = iter(rows)
        while block := list(islice(given, self._batch)):
            filled = []
            for row in block:
                missing = next((one for one in needed if row.values.get(one) is None), None)
                if missing is None:
                    filled.append(row)
                else:
                    bad.report(name, row.line, f"column {missing!r} is missing")
            kept = {row.line: {one: row.values.get(one) for one in keep} for row in filled}
            if aside:
                filled = [
                    Row(row.line, {one: value for one, value in row.values.items() if one not in aside})
                    for row in filled
                ]
            for line, found in self.rows.predict(filled, columns, name, bad):
                yield line, {**kept[line], **found}

    def __call__(self, batch: Any) -> Any:
        """Predict for a batch.

        Args:
            batch: a dictionary of columns, a table or record batch of pyarrow, or a data frame of pandas,
                with the columns that the model was trained on.
        Returns:
            The same kind of thing, a row for each row: the columns to keep, and the predictions.
        Raises:
            DataError: a column is missing, or a row cannot be used ("raise").
        """
        with self._lock:
            return self._answer(batch)

    def _answer(self, batch: Any) -> Any:
        from throughtime.predicting.frames import Frame

        frame = Frame(batch)
        needed = self.needed(frame.columns, "the batch")
        bad = _Faults(skip=self._errors == "null")
        predictions: list[dict[str, Any]] = [{} for _ in range(len(frame))]
        # What is kept is taken over as it is, types and all.
        for line, found in self._predicted(frame.rows(needed), frame.columns, "the batch", bad, ()):
            predictions[line - 1] = found
        for line, fault in bad.faults.items():
            predictions[line - 1] = {ERROR: fault}
        return frame.answer(self.keep, self.kinds, predictions)


class _Faults(BadRows):
    """Keeps what is wrong with each row."""

    def __init__(self, skip: bool) -> None:
        super().__init__(skip)
        self.faults: dict[int, str] = {}

    def report(self, path: object, line: int | None, message: str) -> None:
        if not self.skip:
            raise DataError(f"{path}, row {line}: {message} (errors='null' leaves such predictions empty)")
        self.count += 1
        self.faults[line or 0] = message
