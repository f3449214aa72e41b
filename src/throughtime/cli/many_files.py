"""`throughtime predict` with --out: many files, in parts, by several processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.cli.terminal import error_console, print_json
from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.predicting.files import State
    from throughtime.predicting.predictor import Predictor

PANEL = "Many files (with --out)"

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Write parts into this folder; a work that was stopped goes on there. Inputs are then tables: "
        "files, folders, patterns in quotes, URLs.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="local|ray",
        help="Processes of this machine (the default), or actors of a Ray cluster.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1, help="How many (default: one for each core).", show_default=False, rich_help_panel=PANEL
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do every N-th part from part I on, where N such commands share the work; the first has I = 0.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="jsonl|parquet",
        help="How parts are written (default: jsonl).",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
PartRows = Annotated[
    int | None,
    typer.Option(
        min=1, help="Rows of a part at most (default: 20,000).", show_default=False, rich_help_panel=PANEL
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="Columns to pass on beside the predictions, between commas.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]

# Seconds between two lines of progress where nobody sits before a terminal.
_A_LINE = 60.0
_LONGEST_SHARD = 20


def refuse_without_out(given: dict[str, Any]) -> None:
    """Refuse options that only many files have."""
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"--{name} is for many files: name a folder for their predictions with --out")


def refuse_with_out(given: dict[str, Any]) -> None:
    """Refuse options that show predictions, where these go into files."""
    for name, value in given.items():
        if value:
            raise OptionError(f"--{name} cannot be given with --out, which writes parts")


def predict_into(
    predictor: Predictor, inputs: list[str], as_json: bool, out: Path, given: dict[str, Any]
) -> None:
    """Predict for many files, with progress, and say how it ended.

    Args:
        predictor: the model.
        inputs: as the user names them.
        as_json: print the summary as JSON.
        out: the folder.
        given: the other settings, those of them that the user gave.
    """
    from throughtime.predicting.files import Settings, predict_files

    chosen = {name: value for name, value in given.items() if value is not None}
    if "shard" in chosen:
        chosen["shard"] = _shard(chosen["shard"])
    show = _Progress()
    with show, _stopped(out):
        state = predict_files(predictor, inputs, Settings(out, **chosen), show)
    if as_json:
        found = {
            name: value for name, value in asdict(state).items() if name not in ("share", "seconds_left")
        }
        speed = state.read / state.seconds if state.seconds else 0.0
        print_json(
            {"out": str(out), **found, "seconds": round(state.seconds, 3), "rows_per_second": round(speed)}
        )
        return
    console = error_console()
    console.print(_summary(state, out), soft_wrap=True)


def _summary(state: State, out: Path) -> str:
    left_out = f", {state.left_out:,} rows left out (see {out / '_errors'})" if state.left_out else ""
    end = "complete" if state.is_complete else "other shards are not done yet"
    speed = f" in {state.seconds:.1f} s, {state.read / state.seconds:,.0f} rows/s" if state.read else ""
    return (
        f"{state.rows:,} predictions of {state.files:,} file{'s' * (state.files != 1)} in {state.done:,} "
        f"part{'s' * (state.done != 1)}{speed}{left_out}: {out} ({end})"
    )


def _shard(text: str) -> tuple[int, int]:
    index, slash, count = text.partition("/")
    # Python reads no number of thousands of digits.
    if not (slash and index.isdecimal() and count.isdecimal() and len(text) <= _LONGEST_SHARD):
        raise OptionError(f"--shard {text!r:.60} is not I/N, as in --shard 0/8")
    return int(index), int(count)


class _Progress:
    """How far the work is, as one line that stays on a terminal, or as a line a minute elsewhere."""

    def __init__(self) -> None:
        self._console = error_console()
        self._status: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, state: State) -> None:
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(self._line(state)))
        elif time.monotonic() - self._last > _A_LINE:
            self._last = time.monotonic()
            self._console.print(self._line(state), soft_wrap=True)

    def _line(self, state: State) -> str:
        parts = [f"{state.done:,} of {state.parts:,} parts ({state.share:.0%})"]
        if state.read and state.seconds:
            parts.append(f"{state.read / state.seconds:,.0f} rows/s")
        if state.seconds_left is not None:
            minutes, seconds = divmod(round(state.seconds_left), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"{hours}:{minutes:02d}:{seconds:02d} left")
        if state.left_out:
            parts.append(f"{state.left_out:,} rows left out")
        return ", ".join(parts)


class _Stop(BaseException):
    """A signal that asks the process to end."""


@contextmanager
def _stopped(out: Path) -> Iterator[None]:
    """Say how to go on where Ctrl-C, or a scheduler, ends the work."""
    caught: list[int] = []

    def stop(number: int, _: object) -> None:
        caught.append(number)
        raise _Stop

    names = [signal.SIGINT, signal.SIGTERM] if os.name == "posix" else [signal.SIGINT]
    before = {name: signal.signal(name, stop) for name in names}
    try:
        yield
    except _Stop:
        error_console().print(
            f"Stopped. The parts that are done stay in {out}; the same command goes on.", soft_wrap=True
        )
        raise typer.Exit(128 + caught[0]) from None
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
