"""Kills servers with SIGKILL under load, and audits every step that they acknowledged.

    python benchmarks/serve_kills.py --json serve_kills.json
    python benchmarks/serve_kills.py --kills 200 --stores sqlite --clients 16

Clients write, stream and read in sessions, and do the same with sessions of their own that no server has. A
server dies at a random moment and starts again; with Redis there are two, and each call goes to either.
Counted are steps that were acknowledged and are not there (lost), that are there twice (doubled), and texts
that are not those of their session (mixed). Then a server with many sessions is killed, and its next start is
timed.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from throughtime.client import Client, RemoteError, RemoteSession
from throughtime.run import Run

PROMPT = "again"
WRONG = ("lost", "doubled", "mixed", "failed")
TEXT = "It was so, and it was so again.\nWhat goes on goes on.\n" * 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a run folder; without, a small one is made")
    parser.add_argument("--stores", nargs="+", default=["sqlite", "redis"], choices=["sqlite", "redis"])
    parser.add_argument("--kills", type=int, default=50, help="with each store")
    parser.add_argument("--clients", type=int, default=6, help="threads, each with four sessions")
    parser.add_argument("--idle", type=int, default=100_000, help="sessions of the server that starts again")
    parser.add_argument("--lease", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"load_average": os.getloadavg()}
    with tempfile.TemporaryDirectory() as name:
        run = arguments.run or make_run(Path(name))
        for kind in arguments.stores:
            folder = Path(name) / kind
            folder.mkdir()
            with store_of(kind, folder, arguments.lease) as store:
                if arguments.kills:
                    found[kind] = kill_servers(run, store, 1 if kind == "sqlite" else 2, arguments)
                    print(f"{kind}: {found[kind]}", flush=True)
            if arguments.idle:
                (folder / "idle").mkdir()
                with store_of(kind, folder / "idle", arguments.lease) as store:
                    found[f"{kind} start"] = start_again(run, store, arguments.idle)
                    print(f"{kind}, {arguments.idle:,} sessions: {found[f'{kind} start']}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    wrong = [found[kind][what] for kind in arguments.stores if kind in found for what in WRONG]
    sys.exit(any(wrong))


def make_run(folder: Path) -> Path:
    """A model of bytes whose output depends on all that it has read."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    import throughtime as tt

    (folder / "text.txt").write_text(TEXT)
    out = folder / "bytes"
    tt.train(
        folder / "text.txt", out=out, epochs=1, threads=1, tokenizer="byte", hidden=64, chunk=16, batch=4
    )
    with safe_open(out / "model.safetensors", "numpy") as file:
        tensors = {name: 4 * file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, out / "model.safetensors", metadata)
    return out


@contextmanager
def store_of(kind: str, folder: Path, lease: float) -> Iterator[str]:
    """The address of a store; with Redis, of a server of our own that appends to its file."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'sessions.db'}"
        return
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed: give --stores sqlite")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        try:
            yield f"redis://127.0.0.1:{port}?lease={lease}"
        finally:
            process.terminate()


def free_port() -> int:
    """One that nobody listens on, below those that connections get while a server is down."""
    while True:
        port = random.randint(20_000, 32_000)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


class Server:
    """A process that is killed and started again on the same port."""

    def __init__(self, run: Path, store: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "throughtime", "serve", str(run), "--port", str(self.port)]
        self._command += ["--store", store, "--no-access-log", "--threads", "1"]
        self.start()

    def start(self) -> float:
        """Seconds until it takes requests."""
        begin = time.monotonic()
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        atexit.register(self._process.kill)
        while time.monotonic() < begin + 120 and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=5):
                    return time.monotonic() - begin
            except OSError:
                time.sleep(0.02)
        self._process.kill()
        sys.exit(f"the server did not start: {self._process.communicate()[1][-2000:]}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait()


class Auditor(threading.Thread):
    """A client with sessions, each beside one in this process that has done the same."""

    def __init__(self, number: int, run: Path, urls: list[str], seed: int, ends: threading.Event) -> None:
        super().__init__(daemon=True)
        self.found: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._random = random.Random(f"{seed} {number}")
        self._ends = ends
        self._run = Run.open(run, threads=1)
        self._clients = [Client(url, timeout=30, patience=120) for url in urls]
        self._sessions = []
        for place in range(4):
            own = 4 * number + place
            made = self._clients[0].session(PROMPT, seed=own)
            alone = self._run.session(seed=own)
            alone.read(PROMPT)
            self._sessions.append(([RemoteSession(one, made.facts) for one in self._clients], alone))

    def run(self) -> None:
        while not self._ends.is_set():
            ways, alone = self._random.choice(self._sessions)
            try:
                self._step(self._random.choice(ways), alone)
            except RemoteError as error:
                self._blame(error, alone)
                return
            except Exception as error:
                self.found["failed"] += 1
                self.wrong.append(repr(error))
                return
        for ways, alone in self._sessions:
            at = ways[0].refresh()
            self.found["lost"] += at < alone.position
            self.found["doubled"] += at > alone.position

    def _step(self, session: RemoteSession, alone: Any) -> None:
        session.position = alone.position
        what = self._random.random()
        if what < 0.3:
            session.read("and so", top=1)
            alone.read("and so")
        else:
            count = self._random.randint(1, 200)
            text = session.write(count) if what < 0.6 else "".join(session.stream(count))
            wanted = alone.write(count)
            self.found["tokens"] += count
            if text != wanted:
                self.found["mixed"] += 1
                self.wrong.append(f"{session.id} at {alone.position}: {text!r:.60} and not {wanted!r:.60}")
        self.found["steps"] += 1

    def _blame(self, error: RemoteError, alone: Any) -> None:
        self.wrong.append(f"{error.status} {error}")
        if error.status == 412 and error.position is not None:
            self.found["lost" if error.position < alone.position else "doubled"] += 1
        else:
            self.found["failed"] += 1


def kill_servers(run: Path, store: str, count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill one of the servers after the other, and add up what clients found."""
    servers = [Server(run, store) for _ in range(count)]
    ends = threading.Event()
    urls = [one.url for one in servers]
    auditors = [Auditor(k, run, urls, arguments.seed, ends) for k in range(arguments.clients)]
    begin = time.monotonic()
    for one in auditors:
        one.start()
    starts = []
    chance = random.Random(arguments.seed)
    for _ in range(arguments.kills):
        time.sleep(chance.uniform(0.1, 0.8))
        server = chance.choice(servers)
        server.kill()
        starts.append(server.start())
        if len(starts) % 10 == 0:
            print(f"  {len(starts)} kills after {time.monotonic() - begin:.0f} s", flush=True)
    ends.set()
    for one in auditors:
        one.join(180)
    found: Counter[str] = Counter(dict.fromkeys(WRONG, 0))
    for one in auditors:
        found.update(one.found)
        found["failed"] += one.is_alive()
        for wrong in one.wrong:
            print(f"  {wrong}", flush=True)
    for server in servers:
        server.kill(signal.SIGTERM)
    return {
        "kills": arguments.kills,
        **found,
        "seconds": round(time.monotonic() - begin, 1),
        "start_seconds": round(statistics.median(starts), 2),
    }


def _started_again(server: Server) -> float:
    server.kill()
    return server.start()


def start_again(run: Path, store: str, count: int) -> dict[str, Any]:
    """Kill a server that has so many sessions; seconds until the next one is ready, and answers."""
    server = Server(run, store)
    empty = [_started_again(server) for _ in range(3)]
    with Client(server.url, patience=120) as client:
        session = client.session(PROMPT, seed=1)
        ids = [session.id]
        while len(ids) < count:
            body = {"count": min(1000, count - len(ids))}
            made = client.call("POST", f"/v1/sessions/{session.id}/fork", body)
            ids += [one["id"] for one in made.get("forks", [made])]
        full = [_started_again(server) for _ in range(5)]
        times: list[float] = []
        for id in random.Random(1).sample(ids, 200):
            begin = time.monotonic()
            body = {"text": "a", "position": len(PROMPT)}
            client.call("POST", f"/v1/sessions/{id}/step", body, key="step")
            times.append(time.monotonic() - begin)
    server.kill()
    times.sort()
    return {
        "ready_seconds": round(statistics.median(full), 2),
        "ready_seconds_without": round(statistics.median(empty), 2),
        "step_p50_ms": round(1000 * statistics.median(times), 2),
        "step_p99_ms": round(1000 * times[int(0.99 * len(times))], 2),
    }


if __name__ == "__main__":
    main()
