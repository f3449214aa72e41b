"""What the commands share: how errors, tables and JSON reach the user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from throughtime.errors import ThroughtimeError

if TYPE_CHECKING:
    from rich.console import Console

USER_ERROR = 2


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the errors that a user can mend into one line and exit code 2, an interruption into 130."""
    try:
        yield
    except ThroughtimeError as error:
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(error), err=True)
        raise typer.Exit(USER_ERROR) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader (head, less) has enough. Python would complain again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def error_console() -> Console:
    """Where progress and remarks go: standard error, so that standard output holds results only."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def print_table(rows: list[tuple[str, str]], title: str | None = None) -> None:
    """Names and values in two columns on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    Console(highlight=False).print(table)


def unescape(text: str) -> str:
    r"""Read \n, \t and \\ as a shell user means them."""
    out, escaped = [], False
    for character in text:
        if escaped:
            out.append({"n": "\n", "t": "\t", "\\": "\\"}.get(character, "\\" + character))
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            out.append(character)
    return "".join(out) + ("\\" if escaped else "")
