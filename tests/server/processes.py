"""Servers as processes of their own, which can be killed and held up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx


class ServerProcess:
    """`throughtime serve` on a free port.

    Args:
        run: the model's folder.
        store: as --store names it.
        options: more of the command line.
    """

    def __init__(self, run: Path, store: str, *options: str) -> None:
        command = [sys.executable, "-m", "throughtime", "serve", str(run), "--port", "0", "--store", store]
        self._process = subprocess.Popen(
            [*command, "--no-access-log", *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self.said: list[str] = []
        self.url = ""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            found = re.search(r"on (http://\S+)", line)
            if found:
                self.url = found[1]
                break
        assert self.url, "".join(self.said)
        threading.Thread(target=self.said.extend, args=(self._process.stderr,), daemon=True).start()
        self.http = httpx.Client(base_url=self.url, timeout=30)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self._process.wait(20)

    def stop(self) -> None:
        """End it as an operator does."""
        self.http.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
