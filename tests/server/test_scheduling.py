"""Streams join and leave, nobody waits for a slow one, and a server that is stopped loses nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.conftest import Server
from tests.server.processes import ServerProcess
from throughtime.client import Client
from throughtime.data import Tokenizer
from throughtime.run import Run
from throughtime.server.app import drain, make_app, make_serving
from throughtime.server.scheduler import Limits
from throughtime.server.store import open_store


def connected(server: Server, body: str, path: str = "/v1/completions") -> socket.socket:
    """A connection that has asked, and reads nothing yet."""
    host, port = server.url.removeprefix("http://").split(":")
    one = socket.create_connection((host, int(port)))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return one


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


LONG = '{"model": "bytes", "prompt": "a", "max_tokens": 1000000, "stream": true, "seed": %d}'


def test_streams_whose_readers_go_away_free_their_slots(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    scheduler = server.serving.texts["bytes"]
    readers = [connected(server, LONG % seed) for seed in range(40)]
    assert until(lambda: scheduler.load[0] == 40)
    for one in readers:
        assert one.recv(100)
        one.close()
    assert until(lambda: scheduler.load == (0, 0))
    slots = len(scheduler.model.engine.open(1))
    assert slots == 1
    assert server.post("/v1/completions", {"model": "bytes", "prompt": "a", "max_tokens": 3})


def in_one_tick(server: Server, *calls: Callable[[httpx.Client], Any]) -> list[Any]:
    """What calls are answered that reach the model "bytes" in this order while its thread is busy."""
    scheduler = server.serving.texts["bytes"]
    loop = scheduler._loop
    assert loop is not None
    ends = threading.Event()
    held = asyncio.run_coroutine_threadsafe(scheduler.call(ends.wait), loop)
    assert until(lambda: scheduler.load[1] == 0)
    with ThreadPoolExecutor(len(calls)) as pool, httpx.Client(base_url=server.url, timeout=30) as client:
        answers = []
        for number, call in enumerate(calls, 1):
            answers.append(pool.submit(call, client))
            assert until(lambda number=number: scheduler.load[1] == number)
        ends.set()
        held.result()
        return [one.result().json() for one in answers]


def stepped(ids: Sequence[str], token: int) -> Callable[[httpx.Client], Any]:
    steps = [{"id": id, "tokens": [token]} for id in ids]
    return lambda client: client.post("/v1/sessions:step", json={"steps": steps})


def test_a_session_that_moved_stays_in_memory_until_the_store_has_it(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run}, limits=Limits(memory=1))  # 64 sessions in memory
    ids = [server.post("/v1/sessions", status=201)["id"] for _ in range(150)]
    few, more = ids[:70], ids[70:]
    *_, told, seen = in_one_tick(
        server,
        stepped(few, 65),
        stepped(more, 66),
        stepped(few, 67),
        lambda client: client.get(f"/v1/sessions/{few[0]}?since=0"),
    )
    assert {one["position"] for one in told["results"]} == {2}
    assert seen["text"] == "AC"
    assert server.http.get(f"/v1/sessions/{few[1]}?since=0").json()["text"] == "AC"


def test_one_that_is_over_is_over_for_the_calls_behind(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    id = server.post("/v1/sessions", {"prompt": "ab"}, 201)["id"]
    _, after = in_one_tick(
        server,
        lambda client: client.delete(f"/v1/sessions/{id}"),
        lambda client: client.get(f"/v1/sessions/{id}"),
    )
    assert after["error"]["code"] == "session_gone"


def test_the_same_key_twice_at_once_makes_one_session(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    headers = {"Idempotency-Key": "mine"}
    first, second = in_one_tick(
        server,
        *2 * [lambda client: client.post("/v1/sessions", json={"ttl": 60}, headers=headers)],
    )
    assert first == second
    assert server.serving.texts["bytes"].sessions.count == 1


def test_calls_that_wait_leave_with_their_reader_and_at_their_deadline(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run}, limits=Limits(streams=1, queue=2, deadline=1.5))
    scheduler = server.serving.texts["bytes"]
    with connected(server, LONG % 1) as running, connected(server, LONG % 2) as left:
        assert running.recv(100)
        assert until(lambda: scheduler.load == (1, 1))
        left.close()
        assert until(lambda: scheduler.load == (1, 0))
        # The one that runs is given longer, so that only the one that waits is late.
        scheduler._rows[0].job.deadline += 60
        late = server.post("/v1/completions", {"model": "bytes", "prompt": "a"}, 504)
        assert late["error"]["code"] == "deadline"
        assert scheduler.load == (1, 0)


def test_a_call_that_waits_for_slow_readers_does_not_keep_the_processor_busy(
    text_run: Path, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start({"bytes": text_run}, limits=Limits(streams=1))
    scheduler = server.serving.texts["bytes"]
    ticks: list[float] = []
    tick = scheduler._tick
    with connected(server, LONG % 1) as slow, connected(server, LONG % 2):
        assert slow.recv(100)
        assert until(lambda: scheduler.load == (1, 1))
        scheduler._rows[0].limit = 0  # as of one whose reader has to catch up
        time.sleep(0.1)
        monkeypatch.setattr(scheduler, "_tick", lambda: (ticks.append(time.monotonic()), tick()))
        time.sleep(1.0)
        assert len(ticks) < 10


def test_a_session_of_other_weights_says_so(server: Server) -> None:
    answer = server.http.get(f"/v1/sessions/ses-00000000-{'1' * 24}")
    assert answer.status_code == 404
    assert "no model of this server has the weights" in answer.json()["error"]["message"]


def test_a_long_prompt_holds_nobody_up(
    text_run: Path, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start({"bytes": text_run})
    engine = server.serving.texts["bytes"].model.engine
    pieces: list[int] = []
    threads: list[str] = []
    read, encode = engine.read_ragged, Tokenizer.encode

    def reads(slots: Any, tokens: Any, *given: Any, **options: Any) -> Any:
        pieces.append(len(tokens))
        return read(slots, tokens, *given, **options)

    def encodes(tokenizer: Tokenizer, text: str, *given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return encode(tokenizer, text, *given)

    monkeypatch.setattr(engine, "read_ragged", reads)
    monkeypatch.setattr(Tokenizer, "encode", encodes)
    prompt = "again or not" * 10_000
    session = server.post("/v1/sessions", {"prompt": prompt, "seed": 3}, 201)
    assert (session["position"], session["busy"]) == (120_000, False)
    assert max(pieces) <= 16_384
    body = {"model": "bytes", "max_tokens": 20}
    server.post("/v1/completions", {"prompt": prompt, **body})
    server.post("/v1/responses", {"model": "bytes", "input": prompt, "max_output_tokens": 2})
    server.post("/tokenize", {"prompt": prompt})
    assert len(threads) == 4
    assert "model bytes" not in threads
    assert server._thread.name not in threads
    monkeypatch.undo()
    alone = Run.open(text_run).session(seed=3)  # type: ignore[attr-defined]
    alone.read(prompt)
    path = f"/v1/sessions/{session['id']}/generate"
    assert server.post(path, {"max_tokens": 20})["text"] == alone.write(20)


def test_a_session_whose_making_broke_off_is_made_by_the_same_call(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run})
    asked = {"prompt": "again" * 20_000, "seed": 3}
    body = json.dumps(asked)
    head = (
        f"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nIdempotency-Key: mine\r\nContent-Length: {len(body)}\r\n"
    )
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as one:
        one.sendall(f"{head}Content-Type: application/json\r\n\r\n{body}".encode())
        assert until(lambda: server.serving.texts["bytes"].load[0] == 1)
    assert until(lambda: server.serving.texts["bytes"].load == (0, 0))
    with Client(server.url) as client:
        told = client.call("POST", "/v1/sessions", asked, key="mine")
        assert (told["position"], told["seed"]) == (100_000, 3)
        assert client.call("POST", "/v1/sessions", asked, key="mine") == told
    assert server.post("/v1/sessions", {"prompt": "b"}, 422, idempotency_key="mine")


def test_one_that_does_not_read_pauses_and_the_others_go_on(text_run: Path, tmp_path: Path) -> None:
    async def talk() -> None:
        store = open_store(f"sqlite:///{tmp_path / 's.db'}", False)
        here = make_serving({"bytes": Run.open(text_run)}, store, Limits())
        scheduler = here.texts["bytes"]
        scheduler.start(asyncio.get_running_loop())
        app = make_app(here, [], 2**20)
        reads = asyncio.Event()

        async def call(body: str, send: Callable[[Any], Any]) -> None:
            asked = [{"type": "http.request", "body": body.encode()}]
            scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
            scope |= {"query_string": b"", "headers": [(b"content-type", b"application/json")]}

            async def receive() -> Any:
                return asked.pop() if asked else await asyncio.Event().wait()

            await app(scope, receive, send)

        async def slow(message: Any) -> None:
            if message["type"] == "http.response.body":
                await reads.wait()

        sent: list[Any] = []

        async def quick(message: Any) -> None:
            sent.append(message)

        stalled = asyncio.create_task(call(LONG % 1, slow))
        while not scheduler._rows or not scheduler._rows[0].job.outlet.full:
            await asyncio.sleep(0.01)
        (row,) = scheduler._rows
        await asyncio.sleep(0.1)
        before = row.drawn
        await call('{"model": "bytes", "prompt": "a", "max_tokens": 200}', quick)
        assert sent[0]["status"] == 200
        assert row.drawn == before and row in scheduler._rows
        reads.set()
        while row.drawn == before:
            await asyncio.sleep(0.01)
        stalled.cancel()
        await drain(here, 0)
        store.close()

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_past_the_queue_calls_are_refused_and_told_when_to_come_again(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run}, limits=Limits(streams=1, queue=2))
    scheduler = server.serving.texts["bytes"]
    readers = [connected(server, LONG % 1)]
    assert until(lambda: scheduler.load[0] == 1)
    for waiting in (1, 2):
        readers.append(connected(server, LONG % 1))
        assert until(lambda waiting=waiting: scheduler.load[1] == waiting)
    refused = server.http.post("/v1/completions", json={"model": "bytes", "prompt": "a"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    for one in readers:
        one.close()
    assert until(lambda: scheduler.load == (0, 0))


def test_a_call_past_its_deadline_ends(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run}, limits=Limits(streams=1, deadline=0.5))
    body = {"model": "bytes", "prompt": "a", "max_tokens": 1_000_000}
    answer = server.http.post("/v1/completions", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")


def test_a_session_is_busy_while_a_call_moves_it_on(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    id = server.post("/v1/sessions", {"model": "bytes", "seed": 1}, 201)["id"]
    reader = connected(server, '{"max_tokens": 1000000, "stream": true}', f"/v1/sessions/{id}/generate")
    assert until(lambda: server.serving.texts["bytes"].load[0] == 1)
    busy = server.http.post(f"/v1/sessions/{id}/generate", json={})
    assert (busy.status_code, busy.headers["x-should-retry"]) == (409, "false")
    reader.close()
    assert until(lambda: server.serving.texts["bytes"].load[0] == 0)
    # It stands where its reader left it, and the text goes on from there.
    position = server.http.get(f"/v1/sessions/{id}").json()["position"]
    rest = server.post(f"/v1/sessions/{id}/generate", {"max_tokens": 20, "position": position})["text"]
    session = Run.open(text_run).session(seed=1)
    session.write(position - 1)
    assert session.write(20) == rest


def test_a_long_prompt_stalls_nobody(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run}, most_bytes=2**24)
    done: list[float] = []
    long = {"model": "bytes", "prompt": "a" * 2**21, "max_tokens": 1}

    def read() -> None:
        httpx.post(f"{server.url}/v1/completions", json=long, timeout=120).raise_for_status()
        done.append(time.monotonic())

    thread = threading.Thread(target=read)
    thread.start()
    assert until(lambda: server.serving.texts["bytes"].load[0] == 1)
    server.post("/v1/completions", {"model": "bytes", "prompt": "a", "max_tokens": 3})
    assert not done
    thread.join()


def test_a_killed_server_has_lost_nothing_that_it_told(text_run: Path, tmp_path: Path) -> None:
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}")
    with Client(one.url, patience=0) as client:
        session = client.session("again", seed=4)
        told = session.write(30)
        # Killed in the middle of a stream: what came over the wire is what the session has, or less.
        body: dict[str, Any] = {"max_tokens": 100_000, "stream": True, "position": session.position}
        key, seen = "a-key", ""
        for event in client.events(f"/v1/sessions/{session.id}/generate", body, key):
            seen += event["text"]
            if len(seen) > 200:
                break
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    two = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}")
    try:
        with Client(two.url) as client:
            again = client.open(session.id)
            assert again.position >= session.position + len(seen)
            # The same call once more is taken up: all of its text, from its beginning.
            body = {**body, "max_tokens": 100_000}
            taken_up = ""
            for event in client.events(f"/v1/sessions/{session.id}/generate", body, key):
                taken_up += event["text"]
                if len(taken_up) > 1000:
                    break
        alone = Run.open(text_run).session(seed=4)
        alone.read("again")
        assert told == alone.write(30)
        assert alone.write(3000).startswith(taken_up[:1000]) and taken_up.startswith(seen)
    finally:
        assert two.end(signal.SIGTERM) == 0
    assert any("kill -9" in line for line in two.said)


def test_sigterm_lets_what_runs_come_to_its_end(text_run: Path, tmp_path: Path) -> None:
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}", "--no-access-log")
    texts: list[str] = []
    body = {"model": "bytes", "prompt": "a", "max_tokens": 20_000, "seed": 2}

    def ask() -> None:
        answer = httpx.post(f"{one.url}/v1/completions", json=body, timeout=60)
        texts.append(answer.json()["choices"][0]["text"])

    thread = threading.Thread(target=ask)
    thread.start()
    metrics = ""
    while 'streams{model="bytes"} 1.0' not in metrics and not texts:
        metrics = httpx.get(f"{one.url}/metrics").text
    assert one.end(signal.SIGTERM) == 0
    thread.join()
    assert len(texts) == 1 and "a" + texts[0] == Run.open(text_run).sample("a", 20_000, seed=2)


def test_a_balancer_that_asks_every_second_does_not_fill_the_log(text_run: Path, tmp_path: Path) -> None:
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}")
    for path in ("/ready", "/health", "/v1/models"):
        assert one.http.get(path).status_code == 200
    assert one.end(signal.SIGTERM) == 0
    assert one.process.wait() == 0
    lines = [json.loads(line) for line in one.said if line.startswith("{")]
    assert [line["path"] for line in lines] == ["/v1/models"]


def test_a_store_has_one_server_and_a_port_one_listener(text_run: Path, tmp_path: Path) -> None:
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}")
    try:
        for options in ((), ("--port", one.url.rpartition(":")[2])):
            command = [sys.executable, "-m", "throughtime", "serve", str(text_run), "--port", "0"]
            command += ["--store", f"sqlite:///{tmp_path / ('t.db' if options else 's.db')}", *options]
            refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert refused.returncode == 2 and refused.stderr.count("\n") <= 3, refused.stderr
            assert ("another server" in refused.stderr) or ("in use" in refused.stderr)
    finally:
        assert one.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--store", "mysql://x"], "sqlite:///FILE"),
        (["--tokens", "absent.txt"], "absent.txt"),
        (["--tls-key", "key.pem"], "belong together"),
        (["--tls-key", "key.pem", "--tls-certificate", "none.pem"], "--tls-certificate none.pem: No such"),
        (["--tls-key", "key.pem", "--tls-certificate", "key.pem"], "are no certificate with its key"),
        (["--ttl", "inf"], "--ttl"),
        (["--host", "256.0.0.1"], "--host"),
    ],
)
def test_what_a_server_cannot_start_with_is_said_in_a_line(
    text_run: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    (tmp_path / "key.pem").write_text("no key")
    command = [sys.executable, "-m", "throughtime", "serve", str(text_run), "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
    assert "serving" not in done.stderr.replace("throughtime serve", "")


def test_a_call_that_writes_for_long_is_saved_on_its_way(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run}, limits=Limits(snapshot_every=50))
    id = server.post("/v1/sessions", {"model": "bytes", "seed": 1}, 201)["id"]
    body = {"max_tokens": 1000, "stream": True}
    assert server.http.post(f"/v1/sessions/{id}/generate", json=body).status_code == 200
    (stored,) = server.store.load([id]).values()
    assert stored.position == 1001
    assert 1001 - stored.snapshot_position < 100 and sum(len(one.tokens) for one in stored.journal) < 800
    server.stop()
    rest = start({"bytes": text_run}).post(f"/v1/sessions/{id}/generate", {"max_tokens": 20})["text"]
    alone = Run.open(text_run).session(seed=1)
    alone.write(1000)
    assert rest == alone.write(20)


def test_the_log_says_who_asked_and_what_came_of_it(text_run: Path, tmp_path: Path) -> None:
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}")
    try:
        body = {"model": "bytes", "prompt": "a", "max_tokens": 1, "user": "ada"}
        answer = httpx.post(f"{one.url}/v1/completions", json=body, headers={"x-request-id": "r-1"})
        assert answer.headers["x-request-id"] == "r-1"
        assert until(lambda: any('"r-1"' in line for line in one.said))
        line = json.loads(next(line for line in one.said if '"r-1"' in line))
        assert (line["path"], line["status"], line["user"]) == ("/v1/completions", 200, "ada")
    finally:
        one.end(signal.SIGTERM)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_makes_it_https(text_run: Path, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=a"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *extension], cwd=tmp_path, check=True, capture_output=True)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    one = ServerProcess(text_run, f"sqlite:///{tmp_path / 's.db'}", *options)
    try:
        assert one.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{one.url}/ready", verify=trusted).json() == {"status": "ready"}
    finally:
        assert one.end(signal.SIGTERM) == 0


def test_a_fault_of_ours_in_one_call_leaves_the_others_alone(
    text_run: Path, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start({"bytes": text_run})
    scheduler = server.serving.texts["bytes"]
    reader = connected(server, LONG % 1)
    assert until(lambda: scheduler.load[0] == 1)

    def fault(*_: Any) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(scheduler.sessions, "open", fault)
    monkeypatch.setattr(scheduler.sessions, "get", fault)
    assert server.post("/v1/sessions", {"model": "bytes"}, 500)["error"]["code"] == "internal_error"
    id = f"ses-{scheduler.model.fingerprint[:8]}-0"
    assert server.post(f"/v1/sessions/{id}/generate", {}, 500)["error"]["code"] == "internal_error"
    assert scheduler.load[0] == 1 and reader.recv(100)
    reader.close()


def test_a_call_with_options_of_its_own_is_taken_up_with_them(
    text_run: Path, start: Callable[..., Server]
) -> None:
    server = start({"bytes": text_run})
    scheduler = server.serving.texts["bytes"]
    ids = [server.post("/v1/sessions", {"model": "bytes", "seed": 5}, 201)["id"] for _ in range(2)]
    body = {"prompt": "again", "max_tokens": 20_000, "repetition_penalty": 3.0, "stream": True}
    head = {"idempotency-key": "a"}
    whole = server.http.post(f"/v1/sessions/{ids[0]}/generate", json=body, headers=head).text
    with server.http.stream("POST", f"/v1/sessions/{ids[1]}/generate", json=body, headers=head) as answer:
        next(answer.iter_bytes())
    assert until(lambda: scheduler.load[0] == 0)
    position = server.http.get(f"/v1/sessions/{ids[1]}").json()["position"]
    assert 6 < position < 20_006
    again = server.http.post(f"/v1/sessions/{ids[1]}/generate", json=body, headers=head).text

    def text(events: str) -> str:
        lines = [line[6:] for line in events.splitlines() if line.startswith("data: {")]
        return "".join(json.loads(line)["text"] for line in lines)

    assert text(again) == text(whole)
