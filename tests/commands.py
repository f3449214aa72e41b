"""`throughtime` as a command, as a user types it, without the seconds that importing torch takes each time.

A server has everything imported; for each command it forks a process, which takes over the caller's
arguments, folder, environment and standard streams. So a command is a process of its own, with its own end.
Where the platform cannot do that, and where a test changes how Python starts, the command starts as usual.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_START = [sys.executable, "-c", "from throughtime.cli import main; main()"]
# What a process reads of these it reads when it starts.
_AT_START = ("PYTHON", "OMP_", "MKL_", "LD_")

_CLIENT = """
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket"))
message = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(message).to_bytes(8, "big")], [0, 1, 2])
server.sendall(message)
code = server.recv(1)
os._exit(code[0] if code else 70)
"""


def throughtime(
    *arguments: object, folder: Path, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder.

    Args:
        arguments: of the command line.
        given: on standard input.
        variables: of the environment, over those of this process.
    """
    start = _START if any(name.startswith(_AT_START) for name in variables) else [*_command()]
    environment = {**os.environ, "COLUMNS": "100", **variables}
    return subprocess.run(
        [*start, *map(str, arguments)],
        cwd=folder,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def folder_for_path() -> Path:
    """A folder for PATH, in which a program `throughtime` is."""
    command = _command()
    folder = Path(tempfile.mkdtemp(prefix="command-"))
    quoted = " ".join(f"'{part}'" for part in command)
    (folder / "throughtime").write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
    (folder / "throughtime").chmod(0o755)
    return folder


@functools.cache
def _command() -> tuple[str, ...]:
    if not hasattr(os, "pidfd_open"):
        return tuple(_START)
    folder = Path(tempfile.mkdtemp(prefix="commands-"))
    (folder / "client.py").write_text(_CLIENT)
    root = Path(__file__).parents[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.command_server", str(folder / "socket")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "benchmarks")},
        stdin=subprocess.PIPE,  # its end tells the server that these tests have ended
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the server of the commands did not start"
    _servers.append(server)
    return sys.executable, "-SE", str(folder / "client.py")


_servers: list[subprocess.Popen[bytes]] = []
