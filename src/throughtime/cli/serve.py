"""throughtime serve"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.backend import Precision, Threads
from throughtime.cli.terminal import error_console, user_errors
from throughtime.errors import MissingExtraError, OptionError

# Ten years, as of the time to live that a session may ask for.
_LONGEST = 10 * 365 * 24 * 3600.0

HELP = """
Serve trained models over HTTP.

A language model answers as OpenAI's completions do, and keeps a session for every
stream that wants one: a state of a few KiB that nothing loses. The server listens
on this machine only unless --host says otherwise. It prints nothing on standard
output; a line of JSON for each request goes to standard error.

\b
Examples:
  throughtime serve runs/shakespeare
  throughtime serve bard=runs/shakespeare code=runs/python --port 8001
  throughtime serve runs/bard --precision int8 --store sqlite:///sessions.db
  throughtime serve runs/shakespeare --host 0.0.0.0 --tokens tokens.txt
"""


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run folders; NAME=FOLDER says what requests call it.", show_default=False),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    store: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Where sessions are kept: sqlite:///FILE or redis://HOST:PORT."),
    ] = "sqlite:///throughtime-sessions.db",
    durable: Annotated[
        bool, typer.Option("--durable", help="Wait for the disk: nothing is lost to a power failure, either.")
    ] = False,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file of bearer tokens, one on each line; a call needs one.",
            show_default=False,
        ),
    ] = None,
    state_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with a secret: clients may keep states, sealed by it.",
            show_default=False,
        ),
    ] = None,
    streams: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="Streams at once, for each model.")
    ] = 256,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Calls that may wait; past it they get 429.")
    ] = 1024,
    memory: Annotated[
        int,
        typer.Option(metavar="MIB", min=1, help="MiB of sessions' states kept in memory, for each model."),
    ] = 256,
    ttl: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=_LONGEST,
            help="Seconds after its last call that a session is kept.",
        ),
    ] = (86_400.0),
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=_LONGEST, help="Seconds that a call may take.")
    ] = 300.0,
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="Seconds for what runs to end, when the server is stopped."
        ),
    ] = 10.0,
    max_body: Annotated[
        int, typer.Option(metavar="BYTES", min=1024, help="Bytes that a request's body may have.")
    ] = (16 * 2**20),
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A certificate chain, for https.", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key.", show_default=False)
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log/--no-access-log", help="A line for each request.")
    ] = True,
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the runs and serve them."""
    with user_errors():
        opened = {}
        from throughtime.run import Run

        for given in runs:
            name, folder = _named(given)
            if name in opened:
                raise OptionError(f"two models are called {name!r}: give them names, as in NAME=FOLDER")
            opened[name] = Run.open(folder, "native", precision, threads)
        try:
            from throughtime.server.scheduler import Limits
            from throughtime.server.serve import ServerOptions
            from throughtime.server.serve import serve as run_server
        except ModuleNotFoundError as error:
            from throughtime.extras import install_command

            raise MissingExtraError(
                f"serving needs {error.name}: {install_command('serve', 'fastapi')}"
            ) from None
        options = ServerOptions(
            host,
            port,
            store,
            durable,
            tokens,
            state_key,
            max_body,
            grace,
            tls_certificate,
            tls_key,
            access_log,
        )
        limits = Limits(streams, queue, memory * 2**20, deadline, time_to_live=ttl)
        console = error_console()
        run_server(opened, options, limits, lambda line: console.print(line, soft_wrap=True, highlight=False))


def _named(given: str) -> tuple[str, Path]:
    """The name of a model, and its folder."""
    name, separator, folder = given.partition("=")
    if not separator or Path(given).exists():
        name, folder = Path(given).resolve().name, given
    if not name:
        raise OptionError(f"{given!r}: give a name before the =")
    return name, Path(folder)


def command() -> Callable[..., None]:
    """The typer command."""
    return serve
