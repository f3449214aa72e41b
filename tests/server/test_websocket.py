"""A WebSocket for a stream: calls in, answers out in their order, and a free session when it closes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server.conftest import Server
from tests.server.test_frames import Runs, alone, create, frames
from tests.server.test_sessions import create as create_text
from tests.server.test_sessions import generate, written_alone


def opened(server: Server, id: str, **options: Any) -> ClientConnection:
    return connect(f"{server.url.replace('http', 'ws')}/v1/sessions/{id}/stream", **options)


def ask(socket: ClientConnection, message: Any) -> dict[str, Any]:
    socket.send(message if isinstance(message, bytes) else json.dumps(message))
    return json.loads(socket.recv(10))


def test_frames_are_answered_in_their_order(others: Server, other_runs: Runs) -> None:
    id, whole = create(others), frames(60)
    with opened(others, id) as socket:
        assert json.loads(socket.recv(10))["position"] == 0
        said = ask(socket, {"frames": whole[:10].tolist(), "position": 0})["outputs"]
        for place in range(10, 60):  # all sent ahead
            chunk = whole[place : place + 1]
            socket.send(
                chunk.astype("<f4").tobytes() if place % 2 else json.dumps({"frames": chunk.tolist()})
            )
        replies = [json.loads(socket.recv(10)) for _ in range(50)]
        assert [one["position"] for one in replies] == list(range(11, 61))
        socket.ping().wait(5)
    assert said + [one for reply in replies for one in reply["outputs"]] == alone(other_runs, whole)


def test_texts_are_read_and_written(server: Server, text_run: Path) -> None:
    id = create_text(server, prompt="again")["id"]
    with opened(server, id) as socket:
        assert json.loads(socket.recv(10))["position"] == 5
        socket.send(json.dumps({"generate": {"max_tokens": 40}, "position": 5}))
        pieces = [json.loads(socket.recv(10))]
        while "finish_reason" not in pieces[-1]:
            pieces.append(json.loads(socket.recv(10)))
        assert "".join(piece["text"] for piece in pieces) == written_alone(text_run, 40)
        assert (pieces[-1]["position"], pieces[-1]["finish_reason"]) == (45, "length")
        read = ask(socket, np.array([3, 4], "<i4").tobytes())
        assert read["position"] == 47 and len(read["next"]) == 5
        assert ask(socket, {"text": "a", "top": 1, "key": "k"})["position"] == 48
        assert ask(socket, {"text": "a", "top": 1, "key": "k"})["position"] == 48


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (b"12345", 400, "bad_bytes"),
        ({"frames": [[1]]}, 400, "bad_frames"),
        ({"frames": [], "position": 3}, 412, "wrong_position"),
        ({"tokens": [1]}, 400, "wrong_task"),
        ({"frames": [], "more": 1}, 422, "bad_request"),
        ({"frames": [], "key": 3}, 422, "bad_request"),
        ({"generate": {}}, 400, "wrong_task"),
        ({"generate": 3}, 422, "bad_request"),
        ([1], 422, "bad_request"),
    ],
)
def test_a_bad_message_is_told_and_the_socket_stays(
    others: Server, message: Any, status: int, code: str
) -> None:
    with opened(others, create(others)) as socket:
        socket.recv(10)
        refused = ask(socket, message)
        assert (refused["status"], refused["error"]["code"]) == (status, code)
        assert ask(socket, {"frames": [[0, 0]]})["position"] == 1


def test_sockets_close_with_a_reason(others: Server) -> None:
    id = create(others)
    with opened(others, id) as socket:
        socket.recv(10)
        socket.send("{")
        assert json.loads(socket.recv(10))["error"]["code"] == "bad_json"
        others.http.delete(f"/v1/sessions/{id}")
        assert ask(socket, {"frames": [[0, 0]]})["error"]["code"] == "session_gone"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4410
    for name, code in ((id, 4410), ("ses-no-such", 4404)):
        with opened(others, name) as socket:
            socket.recv(10)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(10)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == code


def test_a_closed_socket_frees_its_session_at_once(server: Server) -> None:
    id = create_text(server, prompt="again")["id"]
    with opened(server, id) as socket:
        socket.recv(10)
        socket.send(json.dumps({"generate": {"max_tokens": 1_000_000}}))
        socket.recv(10)
        busy = generate(server, id, 1, 409)
        assert busy["error"]["code"] == "session_busy"
    end = time.monotonic() + 5
    while server.http.get(f"/v1/sessions/{id}").json()["busy"] and time.monotonic() < end:
        time.sleep(0.02)
    assert generate(server, id, 1)["tokens"] == 1


def test_a_reader_that_does_not_read_pauses_only_its_own_stream(server: Server) -> None:
    id, other = create_text(server)["id"], create_text(server)["id"]
    with opened(server, id, max_queue=1, close_timeout=0.1) as socket:
        socket.send(json.dumps({"generate": {"max_tokens": 1_000_000}}))
        assert generate(server, other, 20)["tokens"] == 20
        outlets = [row.job.outlet for row in server.serving.texts["bytes"]._rows]
        assert len(outlets) == 1


def test_tokens_are_asked_for(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run}, tokens=("secret-secret-secret",))
    headers = {"authorization": "Bearer secret-secret-secret"}
    id = server.http.post("/v1/sessions", json={}, headers=headers).json()["id"]
    with pytest.raises(InvalidStatus):
        opened(server, id)
    with opened(server, id, additional_headers=headers) as socket:
        assert json.loads(socket.recv(10))["id"] == id
