"""throughtime info"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import print_json, print_table, user_errors

HELP = """
Show what is in a run folder: the model, the data, how far training came, the files.

\b
Examples:
  throughtime info runs/mine
  throughtime info runs/mine --json
"""


def info(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Open the run and describe it."""
    with user_errors():
        from throughtime.run import Run
        from throughtime.run.summary import summary

        opened = Run.open(run)
        facts = opened.describe()
    if as_json:
        print_json(facts)
    else:
        print_table(summary(facts, opened.objective))


def command() -> Callable[..., None]:
    """The typer command."""
    return info
