"""Between client and server stands a proxy that cuts connections, and no token is lost or written twice."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.server.conftest import Server
from throughtime.client import Client, RemoteError, RemoteSession
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


class Scripted:
    """A server that answers its connections one after the other as a script says.

    Args:
        answers: for each connection what is sent; a number is seconds of silence, None breaks it off.
    """

    def __init__(self, *answers: Sequence[bytes | float] | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left: list[Any] = list(answers)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.left:
            near, _ = self._listener.accept()
            with near:
                _read_request(near)
                for piece in self.left.pop(0) or ():
                    if isinstance(piece, bytes):
                        near.sendall(piece)
                    else:
                        time.sleep(piece)
        self._listener.close()


def _read_request(near: socket.socket) -> None:
    """All of it: a connection that closes with something unread is reset, and takes its answer along."""
    content, length = b"", 1
    while len(content) < length and (piece := near.recv(65536)):
        content += piece
        head, end, _ = content.partition(b"\r\n\r\n")
        body = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        length = len(head + end) + int(body[1] if body else 0) if end else len(content) + 1


def answered(status: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def event(text: str) -> bytes:
    content = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(content), content)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST, SECOND = event('{"text":"a","position":1}'), event('{"text":"b","position":2}')
LAST = event("[DONE]") + b"0\r\n\r\n"
FACTS = {"id": "ses-x-1", "position": 0}
BUSY = answered("409 Conflict", {"error": {"message": "busy", "code": "session_busy"}, "position": 0})


def test_patience_begins_with_the_first_failure() -> None:
    told = answered("200 OK", {"text": "ab", "position": 2})
    server = Scripted([0.8], None, [told])
    with Client(server.url, patience=0.5) as client:
        session = RemoteSession(client, FACTS)
        assert session.write(2) == "ab"


def test_patience_begins_anew_where_a_stream_went_on() -> None:
    server = Scripted([HEAD, FIRST, 0.8, SECOND], None, [HEAD, FIRST, SECOND, LAST])
    with Client(server.url, patience=0.5) as client:
        assert "".join(RemoteSession(client, FACTS).stream(2)) == "ab"
    # One that comes no further is given up.
    server = Scripted(*9 * [[HEAD, FIRST]])
    with Client(server.url, patience=0.5) as client, pytest.raises(RemoteError, match="broke the stream off"):
        list(RemoteSession(client, FACTS).stream(2))
    assert server.left


def test_a_call_that_broke_off_waits_for_itself_and_not_for_another() -> None:
    server = Scripted(None, [BUSY], [HEAD, FIRST, SECOND, LAST])
    with Client(server.url) as client:
        assert "".join(RemoteSession(client, FACTS).stream(2)) == "ab"
    server = Scripted(None, [BUSY], [answered("200 OK", {"text": "ab", "position": 2})])
    with Client(server.url) as client:
        assert RemoteSession(client, FACTS).write(2) == "ab"
    server = Scripted([BUSY])
    with Client(server.url) as client, pytest.raises(RemoteError, match="busy"):
        RemoteSession(client, FACTS).write(2)


def test_a_stream_that_is_left_early_is_not_written_on(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = server.serving.texts["bytes"]
    with Client(server.url) as client:
        for _ in range(5):
            session = client.session(model="bytes")
            for _ in session.stream(1_000_000):
                break
            end = time.monotonic() + 10
            while scheduler.load[0] and time.monotonic() < end:
                time.sleep(0.01)
            assert scheduler.load[0] == 0
            position = session.refresh()
            assert 0 < position < 1_000_000
            session.write(1)
            assert session.position == position + 1
    assert not [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
