"""throughtime predict"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.outside_files import OutsideFiles, outside_files
from throughtime.cli.rows import as_rows, shown_list
from throughtime.cli.target import ThresholdOption, says_several_labels, threshold_for
from throughtime.cli.terminal import Raw, error_console, json_text, result_console, user_errors, write
from throughtime.errors import OptionError

HELP = """
Predict with a trained model.

Inputs are files or folders in the format of the run's task, without labels; "-"
(or no input at all) reads lines from standard input and answers as they come,
a blank line with a blank answer.

\b
Examples:
  throughtime predict runs/reviews new.csv
  echo "what a film" | throughtime predict runs/reviews
  throughtime predict runs/reviews new.csv --probabilities
  throughtime predict runs/reviews new.csv --json > predictions.jsonl
  throughtime predict runs/topics new.csv --threshold 0.3
  throughtime predict runs/digits recording.wav --csv
  echo "Angela Merkel visited Paris." | throughtime predict runs/names
  throughtime predict runs/gestures clip.mp4 --timeline out.png --labels clip.csv
"""

# Rows of a table are aligned over so many at a time, so that a stream shows soon.
_ROWS_AT_A_TIME = 100


def predict(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Files or folders; - is standard input.", show_default=False)
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out inputs that cannot be used, with a count.")
    ] = False,
    timeline: Annotated[
        Path | None,
        typer.Option(help="Tagger: draw the labels of the clip as a picture, there.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Tagger: the true labels, to draw beside them.", show_default=False),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The probability of every label.")
    ] = False,
    threshold: ThresholdOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: one object a prediction.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    allow_outside_files: OutsideFiles = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and predict."""
    with user_errors():
        from throughtime.run import Run

        if as_json and as_csv:
            raise OptionError("--json and --csv exclude each other")
        opened = Run.open(run, backend, precision, threads)
        given = {"timeline": timeline, "labels": labels}
        pictures: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if pictures and opened.task != "tagger":
            raise OptionError(f"--{next(iter(pictures))} is for a tagger, and {run} is a {opened.task}")
        several = says_several_labels(opened)
        pictures |= threshold_for(opened, threshold)
        if probabilities or (several and as_json):
            if opened.task != "classifier" and not several:
                raise OptionError(
                    f"--probabilities is for a classifier, or for several labels at once, and {run} is a "
                    f"{opened.task}"
                )
            pictures["probabilities"] = True
        outside = outside_files(opened, allow_outside_files, "classifier", "tagger")
        predictions = opened.predict(inputs or ["-"], skip_bad=skip_bad, **pictures, **outside)
        if probabilities and as_csv:
            predictions = map(_with_columns, predictions)
        if opened.task == "word-tagger" and not as_json:
            from throughtime.tasks.word_tagger.rows import by_sentence, by_word

            predictions = by_word(predictions) if as_csv else by_sentence(predictions)
        if as_json:
            _write_json(predictions)
        elif as_csv:
            _write_csv(predictions, raw)
        else:
            # Whoever writes lines wants each answer at once; rows of files are aligned with each other.
            streamed = not inputs or inputs == ["-"]
            _write_table(predictions, raw, 1 if streamed else _ROWS_AT_A_TIME)
        if opened.left_out:
            error_console().print(opened.left_out, style="yellow", soft_wrap=True)


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


def _with_columns(prediction: dict[str, Any]) -> dict[str, Any]:
    """A column for the probability of each label."""
    every = prediction.pop("probabilities")
    return {**prediction, **{f"probability of {name}": value for name, value in every.items()}}


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


def command() -> Callable[..., None]:
    """The typer command."""
    return predict
