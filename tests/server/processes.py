"""Servers as processes of their own, which can be killed and held up."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import httpx


class ServerProcess:
    """`throughtime serve` as a user starts it, on a free port.

    Args:
        run: the folder of the model, which is called "bytes".
        store: as --store names it.
        options: more of the command line.
    """

    def __init__(self, run: Path, store: str, *options: str) -> None:
        command = [sys.executable, "-m", "throughtime", "serve", f"bytes={run}", "--port", "0"]
        command += ["--store", store, *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("serving "):
                self.url = line.split(" on ")[1].strip()
                break
        assert self.url, "".join(self.said)
        threading.Thread(target=lambda: self.said.extend(self.process.stderr or ()), daemon=True).start()
        self.http = httpx.Client(base_url=self.url, timeout=30)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def end(self, how: int) -> int:
        """Send it a signal that ends it; its exit status."""
        self.http.close()
        self.process.send_signal(how)
        return self.process.wait(20)
