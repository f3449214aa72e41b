"""The option that lets a table name files outside of its own folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.run import Run

OutsideFiles = Annotated[
    bool,
    typer.Option("--allow-outside-files", help="Read files that a table names outside its own folder, too."),
]


def outside_files(run: Run, allowed: bool, *tasks: str) -> dict[str, bool]:
    """The option as a method of a run takes it.

    Args:
        run: whose method it is.
        allowed: what the user says.
        tasks: those whose method reads tables that name files.
    Raises:
        OptionError: the run's task is another.
    """
    if not allowed:
        return {}
    if run.task not in tasks:
        raise OptionError(
            f"--allow-outside-files is for tables that name files, and a {run.task} reads none here"
        )
    return {"allow_outside_files": True}
