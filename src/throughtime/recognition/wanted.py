"""What a user's options say about the data: the task, and the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.tables import resolve_column, several_columns
from throughtime.errors import DataError
from throughtime.recognition.survey import TableSurvey
from throughtime.targets.target import TARGET_KINDS


@dataclass(frozen=True)
class Wanted:
    """The options that recognition reads; None, "" and "auto" leave things to the data.

    Args:
        task: what to learn, or None.
        because: the option that names the task, as in "--label-column"; "" without a task.
        label_column, text_column, source_column, target_column, word_column, tag_column: columns by name,
            or by number from 1.
        columns: the only ones that are to be read besides the label's, between commas.
        target: a file of targets beside a text of sources.
        kind: of target, "label", "labels" or "number", where --target names one.
        label_separator: what stands between the labels in a cell; "" leaves it to the data.
        input: what a classifier's examples are.
        steps_in_columns: the columns of a row are the steps of a sequence.
        any_labels: every label is meant as it is.
        errors, tokenizer: what becomes of bytes that are not text.
        lines: each line is an example of its own.
        condition_columns: the columns that steer what is written, between commas.
        background: the label of frames that have none.
        second_text: the column with the second text of a pair.
        static_columns: of a classifier, the columns that stand beside what it reads; of a forecaster, those
            that say what a series is.
        time_column, series_column, value_column, known_future, past_columns, day_first, every: of a
            forecaster.
        allow_outside_files: files may lie outside the folder of the table that names them.
    """

    task: str | None = None
    because: str = ""
    label_column: str | None = None
    text_column: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    word_column: str | None = None
    tag_column: str | None = None
    columns: str | None = None
    target: str | None = None
    kind: str | None = None
    label_separator: str = ""
    input: str = "auto"
    any_labels: bool = False
    errors: str | None = None
    tokenizer: str | None = None
    lines: bool = False
    condition_columns: str | None = None
    background: str | None = None
    second_text: str | None = None
    time_column: str | None = None
    series_column: str | None = None
    value_column: str | None = None
    known_future: str | None = None
    past_columns: str | None = None
    day_first: bool | None = None
    every: str | None = None
    steps_in_columns: bool = False
    static_columns: str | None = None
    allow_outside_files: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], task: str | None, because: str) -> Wanted:
        """What options of `train` say, by their names."""
        names = [name for name in cls.__dataclass_fields__ if name not in ("task", "because", "kind")]
        given = {name: options[name] for name in names if options.get(name) is not None}
        if names_a_kind(options, task):
            given["kind"] = given.pop("target")
        return cls(task=task, because=because, **given)

    @property
    def as_they_are(self) -> bool:
        """Whether each label is meant as one label, whatever it looks like."""
        return self.any_labels or self.kind == "label"

    def label(self, table: TableSurvey) -> str | None:
        """The column with the labels; None where there is none.

        Raises:
            DataError: the user named one, and there is none such.
        """
        found = self.truth(table)
        return found[0] if found else None

    def truth(self, table: TableSurvey) -> list[str]:
        """The columns with the label, or with several numbers or labels of 0 and 1; none where there is none.

        Raises:
            DataError: the user named one, and there is none such, or several where one is meant.
        """
        if self.label_column is None:
            if "label" in table.columns:
                return ["label"]
            lists = "labels" in table.columns and table.columns["labels"].kind in (
                "texts",
                "numbers",
                "lists",
            )
            return ["labels"] if "labels" in table.columns and (lists or self.kind == "labels") else []
        named = several_columns(list(table.columns), self.label_column)
        found = [_existing(table, one, "--label-column") for one in named]
        if len(found) > 1 and self.kind not in ("labels", "number"):
            raise DataError(
                f"{table.path}: --label-column names {len(found)} columns: add --target number where they "
                f"hold numbers to predict, or --target labels where they say with 0 or 1 which are given"
            )
        return found

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

    def beside(self, table: TableSurvey, asked: str | None, flag: str, taken: Mapping[str, str]) -> list[str]:
        """The columns that stand beside what is read.

        Args:
            table: the table.
            asked: names or numbers between commas, or None.
            flag: the option that named them.
            taken: the columns that are something else, with what they are.
        Raises:
            DataError: one is not there, is named twice, is something else, or has a comma in its name.
        """
        named = [] if asked is None else several_columns(list(table.columns), asked)
        names = [_existing(table, one, flag) for one in named]
        for name in names:
            if name in taken:
                raise DataError(f"{table.path}: `{name}` holds {taken[name]}, and {flag} names it, too")
            if "," in name:
                raise DataError(f"{table.path}: `{name}` has a comma in its name: rename the column")
            if names.count(name) > 1:
                raise DataError(f"{table.path}: {flag} names `{name}` twice")
        return names

    def column(self, table: TableSurvey, named: str, flag: str) -> str:
        """The column that a user means by its name or number.

        Raises:
            DataError: there is none such.
        """
        return _existing(table, named, flag)

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


def names_a_kind(options: Mapping[str, Any], task: str | None) -> bool:
    """Whether `target` says what kind of target is learned, and not a translator's file of targets."""
    return options.get("target") in TARGET_KINDS and task != "translator"


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
