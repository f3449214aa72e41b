"""Several servers and one Redis: whichever a call comes to, nothing is lost, doubled or mixed."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.conftest import Server, free_port, running_redis
from tests.server.processes import ServerProcess
from throughtime.client import Client, RemoteError
from throughtime.errors import OptionError, RunError
from throughtime.run import Run
from throughtime.server.errors import ApiError
from throughtime.server.scheduler import Limits
from throughtime.server.store import (
    Append,
    Entry,
    Forget,
    Put,
    Release,
    Remember,
    StoredSession,
    Supersede,
    open_store,
)

Start = Callable[..., Server]


@pytest.fixture(scope="module")
def store_kind() -> str:
    """All servers of this file share a Redis."""
    return "redis"


def written_alone(run: Path, tokens: int, seed: int = 7) -> str:
    session = Run.open(run).session(seed=seed)
    session.read("again")
    return session.write(tokens)


def create(server: Any, **body: Any) -> str:
    answer = server.http.post("/v1/sessions", json={"prompt": "again", "seed": 7, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def generate(server: Any, id: str, tokens: int, **body: Any) -> Any:
    headers = {"idempotency-key": body.pop("key")} if "key" in body else {}
    return server.http.post(
        f"/v1/sessions/{id}/generate", json={"max_tokens": tokens, **body}, headers=headers
    )


def take_events(lines: Iterator[str], count: int) -> list[dict[str, Any]]:
    """The next events of a stream."""
    events = (json.loads(line[6:]) for line in lines if line.startswith("data: {"))
    return list(itertools.islice(events, count))


# ---- the store by itself


@pytest.fixture
def stores(redis_address: str, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """Those of two servers."""
    address = f"{redis_address}?prefix={tmp_path.name}&lease=0.3"
    first, second = open_store(address, False), open_store(address, False)
    yield first, second
    first.close()
    second.close()


def new(id: str, **facts: Any) -> Put:
    return Put(StoredSession(id, "model", facts, b"state", 0, expires=time.time() + 100), 0)


def more(id: str, position: int, tokens: int = 1) -> Append:
    return Append(id, Entry(position, 0, b"\1\0\0\0" * tokens), time.time() + 100)


def test_what_is_written_is_read_again(stores: tuple[Any, Any]) -> None:
    first, second = stores
    calls = [Remember("a", "one", "{}", True), Remember("a", "two", "{2}", False)]
    assert first.commit([new("a", x=[1.5]), more("a", 0, 3), *calls]) == set()
    assert first.load(["a", "b"]).keys() == {"a"}
    stored = first.load(["a"])["a"]
    assert (stored.facts, stored.snapshot, stored.position) == ({"x": [1.5]}, b"state", 3)
    assert first.recall("a", "two").call == "{2}" and not first.recall("a", "two").superseded
    first.commit([Supersede("a"), more("a", 3), more("a", 4)])
    assert first.recall("a", "two").superseded and not first.recall("a", "one").superseded
    assert first.recall("a", "three") is None
    # A snapshot replaces what came before it, but for what a call still needs.
    first.commit([Put(StoredSession("a", "model", {}, None, 4, expires=time.time() + 9), 3)])
    stored = first.load(["a"])["a"]
    assert (stored.snapshot, [one.position for one in stored.journal], stored.position) == (None, [3], 4)
    # In the middle of a call all of its journal stays, and its end is where the snapshot is.
    first.commit(
        [more("a", 4), Put(StoredSession("a", "model", {}, b"later", 5, expires=time.time() + 9), 3)]
    )
    stored = first.load(["a"])["a"]
    assert ([one.position for one in stored.journal], stored.position) == ([3, 4], 5)
    assert first.commit([more("a", 5)]) == set()
    first.commit([Forget("a", "why not"), Release("a")])
    assert second.take(["a"]).sessions["a"].gone == "why not"
    assert second.recall("a", "one") is None


def test_old_answers_are_forgotten_but_for_the_one_that_may_have_made_the_session(
    stores: tuple[Any, Any],
) -> None:
    store = stores[0]
    store.commit([new("a"), *(Remember("a", str(k), "{}", True) for k in range(200))])
    assert [store.recall("a", str(k)) is not None for k in (0, 71, 72, 199)] == [True, False, True, True]


def test_a_write_with_an_old_fence_is_refused_as_a_whole(stores: tuple[Any, Any]) -> None:
    first, second = stores
    first.commit([new("a"), new("b")])
    assert second.take(["a"]).elsewhere == {"a"}
    first.close()  # as if it had ended: its lease does
    assert second.take(["a"]).sessions["a"].position == 0
    second.commit([more("a", 0, 2)])
    late = [more("a", 0), Remember("a", "key", "{}", True), more("b", 0), new("c")]
    assert first.commit(late) == {"a"}
    loaded = second.take(["a", "b", "c"])
    assert {id: one.position for id, one in loaded.sessions.items()} == {"a": 2, "b": 1, "c": 0}
    assert second.recall("a", "key") is None
    # The name of a session that another server has made in the meantime is taken, too.
    assert first.commit([new("a")]) == {"a"}


def test_a_journal_that_redis_lost_the_end_of_is_not_gone_on_with(stores: tuple[Any, Any]) -> None:
    store = stores[0]
    store.commit([new("a"), more("a", 0, 2)])
    client, prefix = store._redis, store._prefix
    saved = client.hget(f"{prefix}s:a", "end"), client.get(f"{prefix}j:a")
    store.commit([more("a", 2)])
    client.hset(f"{prefix}s:a", "end", saved[0])
    client.set(f"{prefix}j:a", saved[1])
    assert store.commit([more("a", 3)]) == {"a"}
    assert store.take(["a"]).sessions["a"].position == 2
    assert store.commit([more("a", 2)]) == set()


def test_a_holder_is_asked_and_answers(stores: tuple[Any, Any]) -> None:
    first, second = stores
    heard = threading.Event()
    first.watch(heard.set)
    first.commit([new("a"), new("b")])
    assert second.take(["a", "b"]).elsewhere == {"a", "b"}
    assert heard.wait(5)
    while len(first.wanted("model")) < 2:
        time.sleep(0.001)
    assert first.wanted("another model") == []
    told = threading.Event()
    second.watch(told.set)
    first.keep("b", 7)
    assert told.wait(5)
    assert second.take(["b"]).busy == {"b": 7}
    first.commit([Release("a")])
    assert list(second.take(["a"]).sessions) == ["a"]
    assert first.wanted("model") in ([], ["b"])


def test_what_redis_keeps_is_said_and_demanded(redis_address: str, tmp_path: Path) -> None:
    import redis

    client = redis.Redis.from_url(redis_address)
    address = f"{redis_address}?prefix={tmp_path.name}"
    said = {}
    try:
        for only, fsync, save in (("no", "no", ""), ("no", "no", "60 1"), ("yes", "everysec", "")):
            client.config_set("appendonly", only)
            client.config_set("appendfsync", fsync)
            client.config_set("save", save)
            store = open_store(address, False)
            said[only, save] = store.durability
            store.close()
            with pytest.raises(OptionError, match="appendfsync always"):
                open_store(address, True)
        client.config_set("appendfsync", "always")
        store = open_store(address, True)
        assert "survives a crash of Redis, of its system, and a power failure" in store.durability
        store.close()
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(OptionError, match="drops sessions when memory is short"):
            open_store(address, True)
    finally:
        for name, value in (("appendonly", "no"), ("save", ""), ("maxmemory", "0")):
            client.config_set(name, value)
        client.config_set("maxmemory-policy", "noeviction")
        client.close()
    assert "all of it is lost when Redis ends" in said["no", ""]
    assert "since" in said["no", "60 1"] or "last dump" in said["no", "60 1"]
    assert "last second may be lost" in said["yes", ""]


def test_wrong_addresses_are_told(redis_address: str) -> None:
    for lease in ("soon", "0", "1e9", "nan"):
        with pytest.raises(OptionError, match="lease"):
            open_store(f"{redis_address}?lease={lease}", False)
    with pytest.raises(RunError, match="cannot be used") as refused:
        open_store(f"redis://me:secret@127.0.0.1:{free_port()}", False)
    assert "secret" not in str(refused.value)
    with pytest.raises(OptionError):
        open_store("redis://", False)


# ---- servers


def test_calls_may_come_to_either_server(text_run: Path, start: Start) -> None:
    servers = [start({"bytes": text_run}) for _ in range(2)]
    id = create(servers[0])
    begin, text = time.monotonic(), ""
    for count in range(24):
        reply = generate(servers[count % 2], id, count % 5)
        text += reply.json()["text"]
    assert text == written_alone(text_run, sum(count % 5 for count in range(24)))
    # Sessions are given when they are asked for, and not when a lease ends.
    assert time.monotonic() - begin < 24 * 1.0
    twin = servers[0].http.post(f"/v1/sessions/{id}/fork", json={}).json()["id"]
    content = servers[1].http.get(f"/v1/sessions/{id}/snapshot").content
    wanted = generate(servers[1], twin, 9).json()["text"]
    assert generate(servers[0], id, 9).json()["text"] == wanted
    assert servers[1].http.put(f"/v1/sessions/{id}/snapshot", content=content).status_code == 200
    assert generate(servers[0], id, 9).json()["text"] == wanted
    servers[1].http.delete(f"/v1/sessions/{id}")
    assert generate(servers[0], id, 1).status_code == 410


def test_a_stream_of_frames_may_go_on_at_either_server(other_runs: dict[str, Path], start: Start) -> None:
    run, generator = other_runs["moves"], np.random.default_rng(0)
    servers = [start({"moves": run}, limits=Limits(memory=1, snapshot_every=16)) for _ in range(2)]
    clients = [Client(server.url) for server in servers]
    # More than fit in memory, so that some come back from Redis.
    streams = {clients[0].session().id: generator.normal(size=(40, 2)).astype("f4") for _ in range(70)}
    said: dict[str, list[Any]] = {id: [] for id in streams}
    for turn, (first, last) in enumerate([(0, 11), (11, 30), (30, 40)]):
        for id, stream in streams.items():
            said[id] += clients[turn % 2].open(id).feed(stream[first:last])
    for id, stream in streams.items():
        assert said[id] == Run.open(run).session().feed(stream)  # type: ignore[attr-defined]
    for client in clients:
        client.close()


def test_streams_stepped_at_both_servers_at_once_lose_nothing(
    other_runs: dict[str, Path], start: Start
) -> None:
    servers = [start({"moves": other_runs["moves"]}, limits=Limits(memory=1)) for _ in range(2)]
    ids = [servers[k % 2].post("/v1/sessions", {}, 201)["id"] for k in range(70)]

    def in_bodies(order: list[str]) -> int:
        done = 0
        for _ in range(3):
            steps = [{"id": id, "frames": [[1.0, -1.0]]} for id in order]
            results = servers[0].post("/v1/sessions:step", {"steps": steps})["results"]
            done += sum("status" not in one for one in results)
        return done

    def one_by_one(order: list[str]) -> int:
        for id in order:
            servers[1].post(f"/v1/sessions/{id}/step", {"frames": [[1.0, -1.0]]})
        return len(order)

    with ThreadPoolExecutor(5) as pool:
        bodies = pool.submit(in_bodies, ids)
        done = sum(pool.map(one_by_one, [ids[k::4] for k in range(4)])) + bodies.result()
    positions = [servers[0].http.get(f"/v1/sessions/{id}").json()["position"] for id in ids]
    assert done == sum(positions) == 4 * len(ids)


def test_a_stream_that_was_held_up_writes_nothing_over_another(
    other_runs: dict[str, Path], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole = other_runs["moves"], np.random.default_rng(0).normal(size=(30, 2)).astype("f4")
    servers = [start({"moves": run}) for _ in range(2)]
    with Client(servers[0].url) as here, Client(servers[1].url) as there:
        first = here.session()
        said = first.feed(whole[:10])
        late = servers[0].serving.store
        with monkeypatch.context() as held_up:  # it neither gives nor asks whether its lease is over
            held_up.setattr(late, "wanted", lambda model: [])
            late._redis.hset(f"{late._prefix}s:{first.id}", "lease", "")
            said += there.open(first.id).feed(whole[10:20])
            # What it would write is refused, and the call is done once more where the session is by now.
            with pytest.raises(RemoteError, match="position"):
                first.feed(whole[10:20])
        first.refresh()
        assert said + first.feed(whole[20:]) == Run.open(run).session().feed(whole)  # type: ignore[attr-defined]


def test_the_same_key_gets_the_recorded_answer_at_the_other_server(text_run: Path, start: Start) -> None:
    servers = [start({"bytes": text_run}) for _ in range(2)]
    body = {"prompt": "again", "seed": 7}
    made = [one.http.post("/v1/sessions", json=body, headers={"idempotency-key": "x"}) for one in servers]
    assert made[0].json() == made[1].json()
    id = made[0].json()["id"]
    told = [generate(servers[k % 2], id, 8, key="one").json() for k in range(4)]
    assert all(one == told[0] for one in told)
    assert generate(servers[1], id, 9, key="one").status_code == 422
    refused = generate(servers[0], id, 3, position=5)
    assert (refused.status_code, refused.json()["position"]) == (412, 13)


def test_a_session_that_is_busy_elsewhere_is_said_to_be(text_run: Path, start: Start) -> None:
    servers = [start({"bytes": text_run}) for _ in range(2)]
    id = create(servers[0])
    body = {"max_tokens": 100_000, "stream": True}
    with servers[0].http.stream("POST", f"/v1/sessions/{id}/generate", json=body) as answer:
        lines = answer.iter_lines()
        take_events(lines, 2)
        refused = generate(servers[1], id, 1)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "session_busy")
        assert refused.headers["retry-after-ms"] == "100" and refused.json()["position"] > 5
        bulk = servers[1].post("/v1/sessions:step", {"steps": [{"id": id, "tokens": [1]}]})
        assert bulk["results"][0]["status"] == 409
        lines.close()
    end = time.monotonic() + 10
    while (reply := generate(servers[1], id, 1)).status_code == 409 and time.monotonic() < end:
        time.sleep(0.01)
    assert reply.status_code == 200


def test_many_sessions_stepped_at_both_servers_at_once(text_run: Path, start: Start) -> None:
    servers = [start({"bytes": text_run}, limits=Limits(memory=1)) for _ in range(2)]
    ids = [create(servers[k % 2], seed=k, prompt=None) for k in range(90)]
    done: list[int] = []

    def step(server: Server, order: list[str]) -> None:
        for _ in range(4):
            results = server.post(
                "/v1/sessions:step", {"steps": [{"id": id, "tokens": [97]} for id in order]}
            )
            done.append(sum("position" in one and "status" not in one for one in results["results"]))

    threads = [
        threading.Thread(target=step, args=(servers[0], ids)),
        threading.Thread(target=step, args=(servers[1], ids[::-1])),
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    positions = [servers[0].http.get(f"/v1/sessions/{id}").json()["position"] for id in ids]
    assert len(done) == 8 and sum(done) == sum(positions) == 8 * 90


def test_redis_that_is_away_is_said_and_waited_for(
    text_run: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ("--appendonly", "yes", "--appendfsync", "always")
    with running_redis(tmp_path, *kept) as port:
        server = Server({"bytes": text_run}, f"redis://127.0.0.1:{port}?lease=0.5")
        try:
            id = create(server)
            text = generate(server, id, 20).json()["text"]
            _stop_redis(port)
            for _ in range(2):
                refused = generate(server, id, 5)
                assert refused.status_code == 503 and refused.json()["error"]["code"] == "store_unreachable"
                assert refused.headers["retry-after"] == "1"
            # What needs no store goes on.
            plain = server.http.post(
                "/v1/completions", json={"model": "bytes", "prompt": "a", "max_tokens": 2}
            )
            assert plain.status_code == 200
            with running_redis(tmp_path, *kept, port=port):
                end = time.monotonic() + 10
                while (reply := generate(server, id, 20)).status_code == 503 and time.monotonic() < end:
                    time.sleep(0.05)
                assert text + reply.json()["text"] == written_alone(text_run, 40)
                server.stop()
        finally:
            server.stop()


def _stop_redis(port: int) -> None:
    import redis

    with redis.Redis(port=port) as client:
        client.shutdown(nosave=True)


# ---- processes


@pytest.fixture
def processes(text_run: Path, redis_address: str, tmp_path: Path) -> Iterator[Callable[[], ServerProcess]]:
    """Starts servers that share a store, with short leases."""
    started: list[ServerProcess] = []

    def begin() -> ServerProcess:
        started.append(ServerProcess(text_run, f"{redis_address}?prefix={tmp_path.name}&lease=0.6"))
        return started[-1]

    yield begin
    for one in started:
        one.process.send_signal(signal.SIGCONT)
        one.end(signal.SIGKILL)


def test_held_up_killed_and_behind_a_balancer(
    text_run: Path, processes: Callable[[], ServerProcess], tmp_path: Path
) -> None:
    servers = [processes(), processes()]
    _hold_up(servers, text_run)
    if shutil.which("haproxy") is not None:
        _balance(servers, text_run, tmp_path)
    _kill(servers, text_run)


def _hold_up(servers: list[ServerProcess], run: Path) -> None:
    """The holder of a lease stands still past its end: the other one goes on, its late write is refused."""
    first, second = servers
    id = create(first)
    body = {"max_tokens": 1_000_000, "stream": True}
    with first.http.stream("POST", f"/v1/sessions/{id}/generate", json=body) as answer:
        lines = answer.iter_lines()
        take_events(lines, 3)
        first.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        went_on = second.http.get(f"/v1/sessions/{id}").json()
        assert 0.1 < time.monotonic() - begin < 5
        text = generate(second, id, 10, position=went_on["position"]).json()["text"]
        first.process.send_signal(signal.SIGCONT)
        last = [line for line in lines if line][-2:]
    assert any("session_moved" in line for line in last), last
    position = went_on["position"] + 10
    for server in (second, first):  # the first one has heard of it, too
        assert server.http.get(f"/v1/sessions/{id}").json()["position"] == position
    whole = Run.open(run).session(seed=7)
    whole.read("again")
    assert whole.write(went_on["position"] - 5) is not None and whole.write(10) == text


def _balance(servers: list[ServerProcess], run: Path, folder: Path) -> None:
    """A session through haproxy, which sends each call to the next server."""
    port = free_port()
    lines = [f"  server s{k} 127.0.0.1:{one.port}" for k, one in enumerate(servers)]
    config = folder / "haproxy.cfg"
    config.write_text(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n"
        f"frontend in\n  bind 127.0.0.1:{port}\n  default_backend out\n"
        "backend out\n  balance roundrobin\n" + "\n".join(lines) + "\n"
    )
    with subprocess.Popen(["haproxy", "-f", str(config)], stderr=subprocess.DEVNULL) as proxy:
        try:
            with Client(f"http://127.0.0.1:{port}", patience=20) as client:
                session = client.session("again", seed=7)
                text = session.write(10) + "".join(session.stream(20)) + session.write(10)
                twin = session.fork()
                assert session.write(10) == twin.write(10)
            assert text == written_alone(run, 40)
        finally:
            proxy.kill()


def _kill(servers: list[ServerProcess], run: Path) -> None:
    """A server dies while it streams; the call is taken up at the other one where it stood."""
    first, second = servers
    id = create(second)
    assert generate(first, id, 5).status_code == 200
    path = f"/v1/sessions/{id}/generate"
    body, headers = {"max_tokens": 4000, "stream": True}, {"idempotency-key": "the call"}
    with first.http.stream("POST", path, json=body, headers=headers) as answer:
        told = "".join(event["text"] for event in take_events(answer.iter_lines(), 4))
        first.end(signal.SIGKILL)
    again = second.http.post(path, json=body, headers=headers)
    events = [json.loads(line[6:]) for line in again.text.splitlines() if line.startswith("data: {")]
    text = "".join(event["text"] for event in events)
    assert text.startswith(told) and told
    assert (events[-1]["position"], events[-1]["finish_reason"]) == (5 + 5 + 4000, "length")
    assert written_alone(run, 4005).endswith(text)


def test_serving_says_what_redis_keeps(processes: Callable[[], ServerProcess]) -> None:
    said = "".join(processes().said)
    assert "survives kill -9 of a server; all of it is lost when Redis ends" in said


def test_errors_of_redis_are_answers(stores: tuple[Any, Any]) -> None:
    store = stores[0]
    store._redis.set(f"{store._prefix}s:a", "no hash")
    with pytest.raises(ApiError, match="does not answer as it should") as refused:
        store.take(["a"])
    assert refused.value.status == 503
