"""throughtime forecast"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.predictions import print_predictions
from throughtime.cli.terminal import Raw, error_console, user_errors
from throughtime.errors import OptionError

HELP = """
Forecast what comes after a table of recent rows, with a trained forecaster.

The table has the columns of the training, and as many rows as a forecast reads
(--lookback). What is known ahead stands in rows at its end whose targets are
empty, or in a table of its own (--future).

--anomalies looks back instead: each value is compared with what was to be
expected one step before it, the oddest first.

\b
Examples:
  throughtime forecast runs/load recent.csv
  throughtime forecast runs/load recent.csv --chart forecast.png
  throughtime forecast runs/load recent.csv --future holidays.csv --csv
  throughtime forecast runs/load recent.csv --anomalies --top 20
"""


def forecast(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    file: Annotated[
        str,
        typer.Argument(
            help="The table of recent rows; a pattern or a URL names several.", show_default=False
        ),
    ],
    future: Annotated[
        str | None,
        typer.Option(help="A table of what is known of the steps to come.", show_default=False),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Draw the forecast as a fan chart, there.", show_default=False)
    ] = None,
    anomalies: Annotated[
        bool, typer.Option("--anomalies", help="Score the values of the table instead, the oddest first.")
    ] = False,
    top: Annotated[
        int, typer.Option(min=0, help="With --anomalies: show so many; 0 shows all in their order.")
    ] = 20,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out series that are too short, with a count.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: one object for each step.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and forecast."""
    with user_errors():
        from throughtime.tasks.forecaster.run import ForecasterRun

        opened = ForecasterRun.open(run, backend, precision, threads)
        if anomalies:
            if chart is not None or future is not None:
                raise OptionError(f"--anomalies looks back: leave out --{'chart' if chart else 'future'}")
            if skip_bad:
                raise OptionError("--anomalies scores the rows that can be scored: leave out --skip-bad")
            rows = _oddest(opened, file, top)
        else:
            if top != 20:
                raise OptionError("--top is for --anomalies")
            rows = opened.forecast(file, future, chart, skip_bad)
        print_predictions(rows, as_json, as_csv, raw)
        if opened.left_out:
            error_console().print(opened.left_out, style="yellow", soft_wrap=True)


def _oddest(run: Any, file: str, top: int) -> Any:
    from dataclasses import asdict

    found = run.anomalies(file)
    if top:
        found = sorted(found, key=lambda one: -one.score)[:top]
    return (asdict(one) | {"score": round(one.score, 4)} for one in found)


def command() -> Callable[..., None]:
    """The typer command."""
    return forecast
