"""A server's life: start, take requests, and on a signal end what runs and save what lives."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from throughtime.errors import OptionError
from throughtime.run import Run
from throughtime.server.app import drain, make_app, make_serving
from throughtime.server.guard import read_tokens
from throughtime.server.scheduler import Limits
from throughtime.server.serving import Serving
from throughtime.server.state_tokens import StateTokens
from throughtime.server.store import open_store

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServerOptions:
    """How a server is started.

    Args:
        host, port: where it listens; port 0 takes any that is free.
        store: where sessions are kept.
        durable: nothing acknowledged may be lost to a crash of the system, either.
        tokens: a file of bearer tokens.
        state_key: a file with the secret that seals the states which clients keep.
        most_bytes: of a request's body.
        grace: seconds for what runs to come to its end, after SIGTERM.
        certificate, key: for TLS.
        access_log: a line of JSON for each request.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    store: str = "sqlite:///throughtime-sessions.db"
    durable: bool = False
    tokens: Path | None = None
    state_key: Path | None = None
    most_bytes: int = 16 * 2**20
    grace: float = 10.0
    certificate: Path | None = None
    key: Path | None = None
    access_log: bool = True


class _Server(uvicorn.Server):
    """uvicorn, which waits for our streams before it closes connections."""

    def __init__(self, config: uvicorn.Config, here: Serving, grace: float) -> None:
        super().__init__(config)
        self._here, self._grace = here, grace
        self._leaving = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's: that raises the signal once more when all is over, and a server that was asked to end
        # and did has not failed. A second signal does not wait.
        if self._leaving or not self.started:
            self.should_exit = self.force_exit = True
            return
        self._leaving = True
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop)

    async def _leave(self) -> None:
        await drain(self._here, self._grace)
        self.should_exit = True


def serve(runs: dict[str, Run], options: ServerOptions, limits: Limits, say: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Args:
        runs: by the names that requests call them.
        options, limits: of this server.
        say: tells the user what is going on.
    Raises:
        OptionError, RunError: it cannot start.
    """
    tokens = [] if options.tokens is None else read_tokens(options.tokens)
    states = None
    if options.state_key is not None:
        states = StateTokens.read(options.state_key, limits.time_to_live)
    _check_tls(options.certificate, options.key)
    listening = _listen(options.host, options.port)
    store = open_store(options.store, options.durable)
    try:
        here = make_serving(runs, store, limits)
        here.states = states
        config = uvicorn.Config(
            make_app(here, tokens, options.most_bytes),
            lifespan="on",
            log_config=None,
            access_log=False,
            # It takes 14 % of the time of small messages, and 250 KiB a connection.
            ws_per_message_deflate=False,
            ws_ping_interval=20.0,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=75,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.key,
            server_header=False,
        )
        _log(options.access_log)
        server = _Server(config, here, options.grace)
        scheme = "http" if options.certificate is None else "https"
        host, port = listening.getsockname()[:2]
        count = store.count()
        say(f"sessions: {store.durability}" + ("" if count is None else f"; {count:,} there"))
        if options.host not in LOOPBACK and not tokens:
            say(f"anybody who reaches {options.host} may call this server: give --tokens FILE")
        say(f"serving {', '.join(runs)} on {scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        # What is there by now stays: looking through it for garbage takes longer than a tick.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        server.run(sockets=[listening])
        gc.unfreeze()  # or nothing of it would be given back at the process's end
    finally:
        store.close()


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    """Raise OptionError where https would not begin with these files."""
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise OptionError("--tls-certificate and --tls-key belong together")
    for option, file in (("--tls-certificate", certificate), ("--tls-key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise OptionError(f"{option} {file}: {error.strerror}") from None
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise OptionError(
            f"--tls-certificate {certificate} and --tls-key {key} are no certificate with its key, as PEM "
            f"without a password ({error.reason or error})"
        ) from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise OptionError(f"--host {host} --port {port}: {error.strerror or error}") from None
    os.set_inheritable(listening.fileno(), False)
    return listening


def _log(access: bool) -> None:
    """Lines on standard error; those of requests are JSON."""
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("throughtime.server")
    ours.addHandler(plain)
    ours.propagate = False
    bare = logging.StreamHandler(sys.stderr)
    bare.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("throughtime.server.access")
    requests.addHandler(bare)
    requests.propagate = False
    requests.setLevel(logging.INFO if access else logging.WARNING)
    logging.getLogger("uvicorn").addHandler(plain)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
