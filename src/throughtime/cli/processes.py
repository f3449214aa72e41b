"""`--processes N`: the same command N times on this machine, as one training; so does torchrun."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from throughtime.cli.terminal import import_torch, say_error
from throughtime.errors import OptionError
from throughtime.places import place_here

_FLAG = "--processes"
_MOST = 1024
_POLL = 0.05
# Those that are left find out by themselves that one has ended, and say which; then they are stopped.
_FAREWELL, _TERMINATION = 10.0, 5.0


def check_processes(count: int, others: Mapping[str, Any]) -> None:
    """Refuse a number of processes that cannot be started.

    Raises:
        OptionError: it is out of its range, or the command is one of several processes already.
    """
    if not 1 <= count <= _MOST:
        raise OptionError(f"{_FLAG} must be from 1 to {_MOST}, not {count}")
    if place_here().count > 1:
        raise OptionError(f"torchrun has started {place_here().count} processes already: leave out {_FLAG}")
    for flag, value in others.items():
        if value and count > 1:
            raise OptionError(f"{flag} trains in processes of its own, or in one: leave out {_FLAG}")


def without_processes(arguments: Sequence[str]) -> list[str]:
    """A command line without `--processes N`."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == _FLAG:
            next(rest, None)
        elif not argument.startswith(f"{_FLAG}="):
            kept.append(argument)
    return kept


def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Run a command in several processes that train together, until all have ended.

    The first Ctrl-C reaches each of them once, so that the training saves and stops; a second one kills them.
    They end by themselves where this process is killed.

    Args:
        count: how many.
        arguments: of the command.
    Returns:
        The exit code: 0, or that of the first process that failed.
    """
    import_torch()
    children: list[subprocess.Popen[bytes]] = []
    caught: list[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        caught.append(number)
        for child in children:
            if child.poll() is None:
                child.send_signal(number if len(caught) == 1 else signal.SIGKILL)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), pass_on) for name in names}
    store = None
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            listening.listen(count)
            for rank in range(count):
                children.append(_start(rank, count, port, arguments))
                if caught:
                    break
            # The children import what they need while this process does.
            store = _meeting_place(listening.detach(), port, count)
            code = wait_for(children, caught)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
        for child in children:
            child.wait()
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
        del store
    return code


def _start(rank: int, count: int, port: int, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    variables = {
        "RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        # The store is in this process, as torchrun's is in its agent.
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "THROUGHTIME_PARENT": os.getpid(),
    }
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    # Our own sentence says who has ended; the library's warnings of lost connections are pages.
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # no network is needed on one machine
    return subprocess.Popen(
        [sys.executable, "-m", "throughtime", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        # A terminal's Ctrl-C comes to this process, which passes it on once.
        start_new_session=True,
    )


def _meeting_place(descriptor: int, port: int, count: int) -> Any:
    from torch._C._distributed_c10d import TCPStore

    return TCPStore(
        "127.0.0.1",
        port,
        count + 1,
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=descriptor,
    )


def wait_for(children: list[subprocess.Popen[bytes]], caught: list[int]) -> int:
    """Wait for all; after a failure of one no longer than it takes the others to notice.

    Args:
        children: by rank.
        caught: the signals that were passed on to them: to save takes as long as it takes.
    Returns:
        As of `run_processes`.
    """
    failed: list[int] = []
    until, is_told = 0.0, False
    while running := [child for child in children if child.poll() is None]:
        if not failed:
            failed = [child.returncode for child in children if child.returncode]
            until = time.monotonic() + _FAREWELL
        elif caught or time.monotonic() < until:
            pass
        elif not is_told:
            # Those that notice say so: these still wait for each other, or for the first one to read data.
            if failed[0] < 0:
                rank = next(rank for rank, child in enumerate(children) if child.returncode == failed[0])
                how = signal.Signals(-failed[0]).name
                memory = ": the machine may be out of memory" if how == "SIGKILL" else ""
                which = f"rank {rank} (process {children[rank].pid})"
                say_error(f"{which} has ended with {how}, so the others are stopped{memory}")
            for child in running:
                child.terminate()
            is_told, until = True, time.monotonic() + _TERMINATION + _FAREWELL
        else:
            for child in running:
                child.kill()
        time.sleep(_POLL)
    codes = failed or [child.returncode for child in children if child.returncode]
    if not codes:
        return 0
    return codes[0] if codes[0] > 0 else 128 - codes[0]
