"""throughtime pull"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, user_errors

HELP = """
Bring a run from the Hugging Face Hub, or what of it is new.

It goes into the Hub's cache, from where every command takes it by its name, also
without a network; or with --out into a folder of its own. Only files that runs have
are fetched.

\b
Examples:
  throughtime pull someone/their-model
  throughtime sample hf://someone/their-model
  throughtime pull someone/their-model@v2 --out runs/theirs
"""


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME[@REVISION]",
            help="The repository, and a branch, tag or commit.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder to copy the run to.", show_default=False)
    ] = None,
) -> None:
    """Fetch, check, and say where it is."""
    with user_errors():
        from throughtime.hub.cache import parse_name
        from throughtime.hub.transfer import pull as fetch

        target = parse_name(name)
        folder = fetch(target, out)
        print(folder)
    used = target if out is None else folder
    error_console().print(f"Use it: throughtime info {used}", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return pull
