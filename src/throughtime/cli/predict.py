"""throughtime predict"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.beam import Beam, beam_for
from throughtime.cli.many_files import (
    Engine,
    Format,
    Keep,
    Out,
    PartRows,
    Processes,
    Shard,
    predict_into,
    refuse_with_out,
    refuse_without_out,
)
from throughtime.cli.outside_files import OutsideFiles, outside_files
from throughtime.cli.predictions import print_predictions
from throughtime.cli.target import ThresholdOption, says_several_labels, threshold_for
from throughtime.cli.terminal import Raw, error_console, user_errors
from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.predicting import Predictor

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
  throughtime predict runs/dictation recording.wav --beam 8
  throughtime predict runs/gestures a.mp4 --timeline a.png --labels a.csv
  throughtime predict runs/reviews 's3://bucket/*.parquet' --out predicted
"""


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
    beam: Beam = 1,
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
    out: Out = None,
    form: Format = None,
    keep: Keep = None,
    part_rows: PartRows = None,
    engine: Engine = None,
    processes: Processes = None,
    shard: Shard = None,
) -> None:
    """Open the run and predict."""
    with user_errors():
        settings = {"engine": engine, "processes": processes, "shard": shard, "part_rows": part_rows}
        if out is not None:
            refuse_with_out(
                {
                    "csv": as_csv,
                    "raw": raw,
                    "timeline": timeline,
                    "labels": labels,
                    "beam": beam != 1,
                    "allow-outside-files": allow_outside_files,
                }
            )
            kept = [name.strip() for name in keep.split(",")] if keep else []
            predictor = _predictor(run, kept, backend, precision, threads, probabilities, threshold)
            given = {**settings, "format": form, "skip_bad": skip_bad}
            predict_into(predictor, inputs or [], as_json, out, given)
            return
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        refuse_without_out({**named, "format": form, "keep": keep})

        from throughtime.run import Run

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
        pictures |= beam_for(opened, beam)
        if opened.task == "transcriber" and as_json:
            pictures["words"] = True
        outside = outside_files(opened, allow_outside_files, "classifier", "tagger", "transcriber")
        predictions = opened.predict(inputs or ["-"], skip_bad=skip_bad, **pictures, **outside)
        if probabilities and as_csv:
            predictions = map(_with_columns, predictions)
        if opened.task == "word-tagger" and not as_json:
            from throughtime.tasks.word_tagger.rows import by_sentence, by_word

            predictions = by_word(predictions) if as_csv else by_sentence(predictions)
        # Whoever writes lines wants each answer at once; rows of files are aligned with each other.
        streamed = not inputs or inputs == ["-"]
        print_predictions(predictions, as_json, as_csv, raw, streamed)
        if opened.left_out:
            error_console().print(opened.left_out, style="yellow", soft_wrap=True)


def _predictor(
    run: Path,
    keep: list[str],
    backend: str,
    precision: str | None,
    threads: int,
    probabilities: bool,
    threshold: float | None,
) -> Predictor:
    """What predicts for many files, with the options of the run's task only."""
    from throughtime.predicting import Predictor

    how: dict[str, Any] = {"backend": backend, "precision": precision, "threads": threads or 1}
    opened = Predictor(run, **how).run
    options = threshold_for(opened, threshold)
    if probabilities or says_several_labels(opened):
        if opened.task != "classifier":
            raise OptionError(f"--probabilities is for a classifier, and {run} is a {opened.task}")
        options["probabilities"] = True
    return Predictor(run, keep=keep, **how, **options)


def _with_columns(prediction: dict[str, Any]) -> dict[str, Any]:
    """A column for the probability of each label."""
    every = prediction.pop("probabilities")
    return {**prediction, **{f"probability of {name}": value for name, value in every.items()}}


def command() -> Callable[..., None]:
    """The typer command."""
    return predict
