"""Between client and server stands a proxy that cuts connections, and no token is lost or written twice."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.server.conftest import Server
from throughtime.client import Client
from throughtime.run import Run

# Bytes after which a connection ends: on its way out, or back.
_ENDS = [(100, None), (2000, None), (None, 40), (None, 700), (None, 9000)]


class Cutter:
    """A proxy on a free port. Every connection that it takes ends somewhere, on its way out or back.

    Args:
        port: the server's.
        seed: of where they end.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            out, back = self._chance.choice(
                [(None, None), (100, None), (None, 40), (None, 700), (None, 3000)]
            )
            for source, target, limit in ((near, far, out), (far, near, back)):
                threading.Thread(target=self._pass, args=(source, target, limit), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while content := source.recv(65536):
                passed += len(content)
                if limit is not None and passed > limit:
                    target.sendall(content[: len(content) - (passed - limit)])
                    self.cuts += 1
                    break
                target.sendall(content)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                one.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def cutter(server: Server) -> Iterator[Cutter]:
    one = Cutter(int(server.url.rpartition(":")[2]), seed=3)
    yield one
    one.close()


def test_a_session_writes_its_text_once(server: Server, cutter: Cutter, text_run: Path) -> None:
    alone = Run.open(text_run).session(seed=5)
    with Client(cutter.url, timeout=10) as client:
        session = client.session(model="bytes", seed=5)
        for turn in range(16):
            session.read("again")
            alone.read("again")
            wanted = alone.write(60)
            assert (session.write(60) if turn % 2 else "".join(session.stream(60))) == wanted
    assert cutter.cuts > 5
    with Client(server.url) as client:
        assert client.open(session.id).position == alone.position


def test_openais_client_gets_the_same_text_after_its_own_retries(server: Server, cutter: Cutter) -> None:
    client = openai.OpenAI(base_url=f"{cutter.url}/v1", api_key="none", max_retries=20)
    for seed in range(8):
        options = {"model": "bytes", "prompt": "again", "max_tokens": 30, "seed": seed}
        direct = server.post("/v1/completions", options)["choices"][0]["text"]
        assert client.completions.create(**options).choices[0].text == direct
