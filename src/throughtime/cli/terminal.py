"""What the commands share: how errors, tables and JSON reach the user."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from throughtime.errors import ThroughtimeError
from throughtime.files import describe_os_error, naming

if TYPE_CHECKING:
    from throughtime.cli.console import PlainConsole

USER_ERROR = 2
_OUTPUT = "standard output"
# In characters: twice that of any error that quotes nothing.
_LONGEST_ERROR = 1000

Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="On a terminal: write control characters as they are, in place of \\x1b and its kind."
    ),
]

# All that a terminal obeys instead of showing it, but for the tab and the newline.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Text with its control characters as \x1b and its kind, so that a terminal shows and does not obey it.

    What a model writes, and what files hold, may move the cursor, change the window's title, or rewrite what
    stands on the screen. Every command shows text by way of this function.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def write(text: str, newline: bool = True, raw: bool = False) -> None:
    """Write a result to standard output: a terminal gets it `visible`, a file or a pipe as it is.

    Args:
        text: what to write.
        newline: end the line.
        raw: a terminal gets it as it is, too.
    """
    # With colours allowed, or what is meant to be raw would lose its escape sequences in a pipe.
    typer.echo(text if raw or not sys.stdout.isatty() else visible(text), nl=newline, color=True)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the errors that a user can mend into one line and exit code 2, an interruption into 130."""
    try:
        yield
    except ThroughtimeError as error:
        if not error.said_elsewhere:
            say_error(str(error))
        raise typer.Exit(USER_ERROR) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:
        raise typer.Exit(exit_code_of(error)) from None


def exit_code_of(error: OSError) -> int:
    """Say what the operating system refused, such as a write to a full disk; return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) has enough.
        _silence_output()
        return 0
    if error.filename == _OUTPUT:
        _silence_output()
    say_error(describe_os_error(error))
    return USER_ERROR


def import_torch() -> None:
    """Import PyTorch. Ctrl-C ends the process meanwhile: raised in there it reaches C++, which aborts.

    Raises:
        MissingExtraError: it is not installed.
    """
    from throughtime.run import require_torch

    before = signal.getsignal(signal.SIGINT)
    raises = before is signal.default_int_handler
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        require_torch()
    finally:
        if raises:
            signal.signal(signal.SIGINT, before)


@contextmanager
def named_output() -> Iterator[None]:
    """Have errors of standard output name it: a stream's own errors name no file."""
    output = sys.stdout
    sys.stdout = cast(TextIO, _Stream(output, lambda: naming(_OUTPUT)))
    try:
        yield
    finally:
        sys.stdout = output


def error_console() -> PlainConsole:
    """Where progress and remarks go: standard error, so that standard output holds results only.

    Where it cannot be written, as when its terminal is gone, the work goes on.
    """
    from throughtime.cli.console import PlainConsole

    return PlainConsole(cast(TextIO, _Stream(sys.stderr, lambda: suppress(OSError))))


def result_console(raw: bool = False) -> PlainConsole:
    """Where tables of results go: standard output; see `write`."""
    from throughtime.cli.console import PlainConsole

    return PlainConsole(raw=raw)


class _Stream:
    """A text stream, each write of which runs within a context."""

    def __init__(self, stream: TextIO, context: Callable[[], AbstractContextManager[Any]]) -> None:
        self._stream = stream
        self._context = context

    def write(self, text: str) -> int:
        with self._context():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._context():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _silence_output() -> None:
    # Python would complain again when it closes standard output.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_error(text: str) -> None:
    """Say on standard error, in a line, what was wrong."""
    with suppress(OSError):  # where standard error is on a full disk as well
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(_one_line(text), err=True)


def _one_line(text: str) -> str:
    """An error as it is printed: without line breaks, and without the middle of what it quotes at length."""
    text = visible(" ".join(text.splitlines()))
    if len(text) <= _LONGEST_ERROR:
        return text
    # What to do about it stands at the end.
    return f"{text[: _LONGEST_ERROR // 2]} [...] {text[-_LONGEST_ERROR // 2 :]}"


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON, without NaN, which is none, and without control characters as they are.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    # JSON demands it for those below the space only.
    return re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Any) -> None:
    """One JSON document on standard output; a figure that is NaN or infinite is null."""
    from throughtime.data.json_values import without_nan

    typer.echo(json_text(without_nan(value), indent=1))


def print_table(rows: list[tuple[str, str]], title: str | None = None) -> None:
    """Names and values in two columns on standard output."""
    from rich.table import Table

    console = result_console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, console.cell(value))
    console.print(table)


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
