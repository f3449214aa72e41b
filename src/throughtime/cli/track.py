"""throughtime track"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, user_errors

HELP = """
Hand a run's metrics.jsonl on to a tracker, also after the training.

Only lines that the tracker lacks are sent, so the command can be repeated. wandb
and mlflow send to where their own settings say (WANDB_MODE=offline,
MLFLOW_TRACKING_URI=sqlite:///runs.db); trackio keeps runs on this machine.

\b
Examples:
  throughtime track runs/mine --to wandb
  throughtime track runs/mine --to mlflow --to tensorboard
"""


def track(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="tensorboard|wandb|trackio|mlflow", help="The tracker.", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was sent as JSON.")] = False,
) -> None:
    """Read metrics.jsonl, and tell each tracker."""
    with user_errors():
        from throughtime.trackers.filling import fill

        console = error_console()
        found = []
        for name in dict.fromkeys(to):
            one = fill(run, name, lambda text: console.print(text, soft_wrap=True))
            found.append(one)
            if not as_json:
                where = f", as {one.run}" if one.run else ""
                print(f"{name}: {one.new:,} new lines of {one.lines:,}{where}")
    if as_json:
        print_json([asdict(one) for one in found])


def command() -> Callable[..., None]:
    """The typer command."""
    return track
