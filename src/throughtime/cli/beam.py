"""The width of a transcriber's search, for commands that read any run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.run import Run

Beam = Annotated[
    int,
    typer.Option(
        min=1, help="Transcriber: search with so many prefixes; 1 takes the best character at each step."
    ),
]


def beam_for(run: Run, beam: int) -> dict[str, int]:
    """The option as a method of a run takes it.

    Raises:
        OptionError: the run's task knows no beam.
    """
    if beam == 1:
        return {}
    if run.task != "transcriber":
        raise OptionError(f"--beam is for a transcriber here, and {run.folder} is a {run.task}")
    return {"beam": beam}
