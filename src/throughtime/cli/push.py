"""throughtime push"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, print_table, user_errors

HELP = """
Share a run on the Hugging Face Hub.

Only what predicting needs is sent, with the model card and the figures: never the
training text, a checkpoint, or events. The list is shown before anything is sent.
huggingface_hub does the sending, and its login (`hf auth login`) counts.

\b
Examples:
  throughtime push runs/mine me/my-model --dry-run
  throughtime push runs/mine me/my-model --create private
  throughtime sample hf://me/my-model
"""


def push(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository.", show_default=False)],
    create: Annotated[
        str | None,
        typer.Option(
            metavar="public|private", help="Make the repository if it is not there.", show_default=False
        ),
    ] = None,
    message: Annotated[str, typer.Option(help="What the commit says.")] = "A run of Throughtime",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the list, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was sent as JSON.")] = False,
) -> None:
    """Show what would be sent, ask, send."""
    with user_errors():
        from throughtime.errors import OptionError
        from throughtime.hub.cache import parse_name
        from throughtime.hub.card import is_elsewhere
        from throughtime.hub.transfer import push as send
        from throughtime.hub.transfer import to_be_pushed

        if create not in (None, "public", "private"):
            raise OptionError(f"--create must be public or private, not {create!r}")
        target = parse_name(name)
        opened, files = to_be_pushed(run, target)
        console = error_console()
        if not as_json:
            print_table([(file.name, f"{file.size:,} bytes") for file in files])
        if is_elsewhere(opened.config.source):
            console.print(
                f"config.toml names where the data lay: {opened.config.source}",
                style="yellow",
                soft_wrap=True,
            )
        where = ""
        if not dry_run:
            if not yes and (as_json or sys.stdin is None or not sys.stdin.isatty()):
                raise OptionError("pass --yes to send these files, or --dry-run to send none")
            if not yes and not typer.confirm(f"Send {len(files)} files to {target.repository}?", err=True):
                raise typer.Exit(1)
            where = send(opened, files, target, message, create)
    if as_json:
        print_json(
            {"to": str(target), "files": {file.name: file.size for file in files}, "commit": where or None}
        )
    elif where:
        console.print(f"Sent to {where}. Use it as {target}", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return push
