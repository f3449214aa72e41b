"""What a user's options say about the data: the task, and the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from throughtime.data.tables import resolve_column, several_columns
from throughtime.errors import DataError
from throughtime.recognition.survey import TableSurvey
from throughtime.tasks.classifier.examples import FILE_COLUMN


@dataclass(frozen=True)
class Wanted:
    """The options that recognition reads; None, "" and "auto" leave things to the data.

    Args:
        task: what to learn, or None.
        because: the option that names the task, as in "--label-column"; "" without a task.
        label_column, text_column, source_column, target_column: columns by name, or by number from 1.
        columns: the only ones that are to be read besides the label's, between commas.
        target: a file of targets beside a text of sources.
        input: what a classifier's examples are.
        any_labels: every label is meant as it is.
        errors, tokenizer: what becomes of bytes that are not text.
        time_column, series_column, value_column, known_future, past_columns, static_columns: of a forecaster.
    """

    task: str | None = None
    because: str = ""
    label_column: str | None = None
    text_column: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    columns: str | None = None
    target: str | None = None
    input: str = "auto"
    any_labels: bool = False
    errors: str | None = None
    tokenizer: str | None = None
    time_column: str | None = None
    series_column: str | None = None
    value_column: str | None = None
    known_future: str | None = None
    past_columns: str | None = None
    static_columns: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], task: str | None, because: str) -> Wanted:
        """What options of `train` say, by their names."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("task", "because")]
        given = {name: options[name] for name in names if options.get(name) is not None}
        return cls(task=task, because=because, **given)

    def label(self, table: TableSurvey) -> str | None:
        """The column with the labels; None where there is none.

        Raises:
            DataError: the user named one, and there is none such.
        """
        return _find(table, self.label_column, "label", "--label-column")

    def texts(self, table: TableSurvey) -> list[str]:
        """The columns with the texts of a classifier.

        Raises:
            DataError: the user named one, and there is none such.
        """
        if self.text_column is None:
            return ["text"] if "text" in table.columns else []
        named = several_columns(list(table.columns), self.text_column)
        return [_existing(table, one, "--text-column") for one in named]

    def pair(self, table: TableSurvey) -> tuple[str, str] | None:
        """The columns of a translator's source and target; None where one is missing.

        Raises:
            DataError: the user named one, and there is none such.
        """
        source = _find(table, self.source_column, "source", "--source-column")
        target = _find(table, self.target_column, "target", "--target-column")
        return None if source is None or target is None else (source, target)

    def read(self, table: TableSurvey, *settled: str | None) -> list[str]:
        """The columns that count besides the settled ones: those of --columns, or all.

        Raises:
            DataError: the user named one, and there is none such.
        """
        names = list(table.columns)
        # Of a table of files, --columns names columns of the files.
        if self.columns is not None and FILE_COLUMN not in table.columns:
            names = [_existing(table, one, "--columns") for one in several_columns(names, self.columns)]
        return [name for name in names if name not in settled]


def _find(table: TableSurvey, named: str | None, usual: str, flag: str) -> str | None:
    if named is not None:
        return _existing(table, named, flag)
    return usual if usual in table.columns else None


def _existing(table: TableSurvey, named: str, flag: str) -> str:
    found = resolve_column(list(table.columns), named)
    if found is None:
        from throughtime.recognition.advice import describe_columns

        raise DataError(f"{table.path} has no column {named!r} ({flag}); {describe_columns(table)}")
    return found
