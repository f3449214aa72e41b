"""A classifier on the rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.tables import BadRows, Row
from throughtime.errors import DataError, OptionError
from throughtime.run.row_prediction import Kind
from throughtime.tasks.classifier.examples import Example, ExampleColumns, ExampleReader

if TYPE_CHECKING:
    from throughtime.tasks.classifier.run import ClassifierRun


class LabelledRows:
    """See `RowPredictor`.

    Args:
        run: a classifier of texts, or of numbers that stand in the table itself.
        probabilities: give those of all labels.
    Raises:
        OptionError: it reads sounds.
    """

    def __init__(self, run: ClassifierRun, probabilities: bool) -> None:
        if run.kind == "audio":
            raise OptionError(
                f"{run.folder} reads sounds, which tables only name: use `throughtime predict` without --out"
            )
        self._run = run
        self._probabilities = probabilities
        each: dict[str, Kind] = {"probabilities": dict.fromkeys(run.target.names, float)}
        self.kinds: dict[str, Kind] = {"input": str, **run.target.kinds, **(each if probabilities else {})}

    def needed(self, columns: Sequence[str], name: str) -> list[str]:
        """As of `RowPredictor`."""
        if self._run.kind != "text" and FILE_COLUMN in columns:
            raise DataError(
                f"{name} names files ({FILE_COLUMN}): with --out, what is read has to be in the table itself"
            )
        return self._run.reader().columns_of(columns).needed

    def predict(
        self, rows: Sequence[Row], columns: Sequence[str], name: str, bad: BadRows
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As of `RowPredictor`."""
        reader = self._run.reader()
        used = reader.columns_of(columns)
        used = replace(used, kept=[one for row in rows[:1] for one in row.values if one not in columns])
        examples = self._examples(reader, rows, used, name, bad)
        for example, said in self._run.label_examples(examples, name, bad, self._probabilities):
            yield example.line, said

    def _examples(
        self, reader: ExampleReader, rows: Sequence[Row], columns: ExampleColumns, name: str, bad: BadRows
    ) -> Iterator[Example]:
        table = Path(name)
        for row in rows:
            try:
                yield reader.example(row, columns, table)
            except DataError as error:
                bad.report(name, row.line, str(error))
