"""Predictions on the terminal: as a table, as JSON Lines or as CSV, each as soon as it is known."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from throughtime.cli.rows import as_rows, shown_list
from throughtime.cli.terminal import error_console, json_text, result_console, write
from throughtime.errors import OptionError

# Rows of a table are aligned over so many at a time, so that a stream shows soon.
_ROWS_AT_A_TIME = 100


def print_predictions(
    predictions: Iterator[dict[str, Any]], as_json: bool, as_csv: bool, raw: bool, streamed: bool = False
) -> None:
    """Print predictions.

    Args:
        predictions: values by name; the first ones have all the names.
        as_json, as_csv: the form; a table without both.
        raw: write control characters as they are.
        streamed: show each row at once, and align it with nothing.
    Raises:
        OptionError: both forms are wanted.
    """
    if as_json and as_csv:
        raise OptionError("--json and --csv exclude each other")
    if as_json:
        _write_json(predictions)
    elif as_csv:
        _write_csv(predictions, raw)
    else:
        _write_table(predictions, raw, 1 if streamed else _ROWS_AT_A_TIME)


def _write_json(predictions: Iterator[dict[str, Any]]) -> None:
    for prediction in predictions:
        typer.echo(json_text(prediction))
        sys.stdout.flush()


def _write_csv(predictions: Iterator[dict[str, Any]], raw: bool) -> None:
    names: list[str] | None = None
    for prediction in predictions:
        if names is None:
            names = list(prediction)
            write(_csv_line(names), newline=False, raw=raw)
        # An input without a truth among others that have one gets an empty cell.
        cells = (shown_list(prediction.get(name, "")) for name in names)
        write(_csv_line(cells), newline=False, raw=raw)
        sys.stdout.flush()


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _write_table(predictions: Iterator[dict[str, Any]], raw: bool, ahead: int) -> None:
    console = result_console(raw)
    empty = True
    for line in as_rows(predictions, console.width if console.is_terminal else None, ahead):
        write(line, raw=raw)
        sys.stdout.flush()
        empty = False
    if empty:
        error_console().print("Nothing to predict: the input is empty.")
