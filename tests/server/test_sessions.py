"""Sessions: one seed writes one text, and no call is lost, doubled or mixed with another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Server
from throughtime.client import Client, RemoteError
from throughtime.run import Run
from throughtime.server.bulk import parse_bulk
from throughtime.server.errors import ApiError
from throughtime.server.scheduler import Limits


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """The same promises, whatever keeps them."""
    return request.param


def create(server: Server, **body: Any) -> dict[str, Any]:
    return server.post("/v1/sessions", {"model": "bytes", "seed": 7, **body}, 201)


def generate(server: Server, id: str, tokens: int, status: int = 200, **body: Any) -> Any:
    return server.post(f"/v1/sessions/{id}/generate", {"max_tokens": tokens, **body}, status)


def events(server: Server, id: str, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = server.http.post(f"/v1/sessions/{id}/generate", json={**body, "stream": True}, headers=named)
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def written_alone(run: Path, tokens: int, prompt: str = "again", **options: Any) -> str:
    session = Run.open(run).session(seed=7, **options)
    session.read(prompt)
    return session.write(tokens)


@pytest.mark.parametrize("cuts", [[60], [1] * 60, [7, 0, 23, 30]])
def test_one_seed_writes_one_text_however_it_is_cut(server: Server, text_run: Path, cuts: list[int]) -> None:
    id = create(server, prompt="again", temperature=0.9)["id"]
    replies = [generate(server, id, count) for count in cuts]
    assert "".join(reply["text"] for reply in replies) == written_alone(text_run, 60, temperature=0.9)
    assert replies[-1]["position"] == 5 + 60


def test_streamed_or_whole_it_is_the_same_text(server: Server, text_run: Path) -> None:
    id = create(server, prompt="again")["id"]
    found = events(server, id, {"max_tokens": 50})
    assert "".join(event["text"] for event in found) == written_alone(text_run, 50)
    assert found[-1]["position"] == 55 and found[-1]["finish_reason"] == "length"
    positions = [event["position"] for event in found]
    assert positions == sorted(positions)


def test_an_empty_one_begins_after_a_lines_end(server: Server, text_run: Path) -> None:
    id = create(server)["id"]
    assert generate(server, id, 30)["text"] == Run.open(text_run).session(seed=7).write(30)


def test_one_that_is_stopped_stands_behind_its_stop_string(server: Server, text_run: Path) -> None:
    whole = written_alone(text_run, 60)
    stop = whole[18:20]
    id = create(server, prompt="again")["id"]
    first = generate(server, id, 60, stop=[stop])
    assert (first["text"], first["finish_reason"]) == (whole[: whole.index(stop)], "stop")
    rest = generate(server, id, 60 - first["tokens"])
    assert first["text"] + stop + rest["text"] == whole


def test_lines_are_written_one_after_the_other(server: Server, lines_run: Path) -> None:
    alone = Run.open(lines_run).session(seed=7)
    id = create(server, model="names")["id"]
    for count in (30, 2, 30, 30):
        assert generate(server, id, count)["text"] == alone.write(count)


def test_a_call_that_is_refused_changes_nothing(server: Server, lines_run: Path) -> None:
    alone = Run.open(lines_run).session(seed=7)
    id = create(server, model="names")["id"]
    while not alone.complete:
        assert generate(server, id, 5)["text"] == alone.write(5)
    for body in ({"temperature": -1}, {"prompt": "Q"}, {"prompt": [999]}, {"stop": ""}):
        assert generate(server, id, 5, 400, **body)["error"]["message"]
    # It is neither busy, nor has it begun a line.
    assert generate(server, id, 30)["text"] == alone.write(30)


def test_steps_of_many_begin_lines_as_single_ones_do(server: Server) -> None:
    ids = [create(server, model="names")["id"] for _ in range(2)]
    for tokens in ([1], [2, 3]):
        steps = {"steps": [{"id": ids[0], "tokens": tokens}]}
        (many,) = server.post("/v1/sessions:step", steps)["results"]
        one = server.post(f"/v1/sessions/{ids[1]}/step", {"tokens": tokens})
        assert many["position"] == one["position"]
        assert many["next"][0]["token"] == one["next"][0]["token"]
    assert generate(server, ids[0], 30)["text"] == generate(server, ids[1], 30)["text"]
    steps = {"steps": [{"id": ids[0], "tokens": [1]}]}
    (many,) = server.post("/v1/sessions:step", steps)["results"]
    assert many["position"] == server.post(f"/v1/sessions/{ids[1]}/step", {"tokens": [1]})["position"]
    assert generate(server, ids[0], 30)["text"] == generate(server, ids[1], 30)["text"]


def test_steps_tell_what_comes_next(server: Server, text_run: Path) -> None:
    run = Run.open(text_run)
    id = create(server)["id"]
    by_text = server.post(f"/v1/sessions/{id}/step", {"text": "again", "top": 3, "logits": True})
    slots = run.engine.open(1)
    logits = run.engine.read(slots, run.tokenizer.encode("again")[None])[0]
    assert by_text["logits"] == logits.tolist()
    assert by_text["next"][0]["token"] == int(logits.argmax())
    assert len(by_text["next"]) == 3 and by_text["position"] == 5
    by_token = server.post(f"/v1/sessions/{id}/step", {"tokens": [10], "top": 0})
    assert by_token == {"id": id, "object": "session.step", "position": 6}


def test_forks_go_their_own_way(server: Server, text_run: Path) -> None:
    id = create(server, prompt="again")["id"]
    generate(server, id, 10)
    same = server.post(f"/v1/sessions/{id}/fork", {}, 201)
    other = server.post(f"/v1/sessions/{id}/fork", {"seed": 8, "count": 2}, 201)
    whole = written_alone(text_run, 40)
    assert generate(server, id, 30)["text"] == whole[-len(generate(server, same["id"], 30)["text"]) :]
    texts = [generate(server, one["id"], 30)["text"] for one in other["forks"]]
    assert len({*texts, whole[10:]}) == 3
    assert same["position"] == 15 and same["forked_from"] == id


def test_snapshots_go_out_and_come_back(server: Server, text_run: Path, lines_run: Path) -> None:
    for model, folder in (("bytes", text_run), ("names", lines_run)):
        run = Run.open(folder)
        id = create(server, model=model)["id"]
        generate(server, id, 9)
        content = server.http.get(f"/v1/sessions/{id}/snapshot").content
        outside = run.restore_session(content)
        wanted = generate(server, id, 25)["text"]
        assert outside.write(25) == wanted
        back = server.http.put(f"/v1/sessions/{id}/snapshot", content=content)
        assert back.status_code == 200, back.text
        assert generate(server, id, 25)["text"] == wanted
        new = server.http.post("/v1/sessions:restore", params={"model": model}, content=content)
        assert new.status_code == 201, new.text
        assert generate(server, new.json()["id"], 25)["text"] == wanted
    bad = server.http.put(f"/v1/sessions/{id}/snapshot", content=content[:-1] + b"\0")
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "bad_snapshot")


def test_another_position_is_refused_and_told(server: Server) -> None:
    id = create(server, prompt="again")["id"]
    generate(server, id, 3, position=5)
    refused = generate(server, id, 3, 412, position=5)
    assert (refused["error"]["code"], refused["position"]) == ("wrong_position", 8)
    by_header = server.http.post(f"/v1/sessions/{id}/generate", json={}, headers={"if-match": '"5"'})
    assert by_header.status_code == 412
    assert server.http.get(f"/v1/sessions/{id}", params={"since": 5}).json()["position"] == 8


def test_the_same_key_gets_the_recorded_answer(server: Server) -> None:
    id = create(server, prompt="again")["id"]
    path, body = f"/v1/sessions/{id}/generate", {"max_tokens": 12, "position": 5}
    first = server.post(path, body, idempotency_key="one")
    assert server.post(path, body, idempotency_key="one") == first
    told = events(server, id, {"max_tokens": 4}, idempotency_key="two")
    again = events(server, id, {"max_tokens": 4}, idempotency_key="two")
    assert again[-1]["text"] == "".join(event["text"] for event in told)
    assert again[-1]["position"] == told[-1]["position"] == 21
    other = server.post(path, {"max_tokens": 13}, 422, idempotency_key="one")
    assert other["error"]["code"] == "key_reused"
    step = server.post(f"/v1/sessions/{id}/step", {"text": "a"}, idempotency_key="three")
    assert server.post(f"/v1/sessions/{id}/step", {"text": "a"}, idempotency_key="three") == step
    made = server.post("/v1/sessions", {"model": "bytes", "seed": 1}, 201, idempotency_key="new")
    assert server.post("/v1/sessions", {"model": "bytes", "seed": 1}, 201, idempotency_key="new") == made


def test_a_repeated_call_without_key_or_position_is_not_guessed_at(server: Server) -> None:
    id = create(server, prompt="again")["id"]
    reply = server.post(f"/v1/sessions/{id}/generate", {"max_tokens": 2}, 409, x_stainless_retry_count="1")
    assert (reply["error"]["code"], reply["position"]) == ("ambiguous_retry", 5)


def test_what_is_gone_or_never_was_is_told_apart(server: Server) -> None:
    id = create(server)["id"]
    assert server.http.delete(f"/v1/sessions/{id}").json()["deleted"]
    assert generate(server, id, 1, 410)["error"]["code"] == "session_gone"
    for unknown in (id[:-1] + "z", "ses-00000000-0", "nothing", "ses-%2e%2e"):
        assert server.http.post(f"/v1/sessions/{unknown}/generate", json={}).status_code == 404


def test_a_session_lives_so_long_after_its_last_call(text_run: Path, start: Callable[..., Server]) -> None:
    import time

    server = start({"bytes": text_run})
    id = create(server, ttl=0.3)["id"]
    generate(server, id, 1)
    time.sleep(0.4)
    assert generate(server, id, 1, 410)["error"]["code"] == "session_gone"


def test_looking_at_a_session_is_a_call_too(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    id = server.post("/v1/sessions", {"ttl": 1000}, 201)["id"]
    sessions = server.serving.texts["bytes"].sessions
    before = sessions._live[id].expires = time.time() + 100
    told = server.http.get(f"/v1/sessions/{id}").json()["expires"]
    assert told > before + 800
    loop = server.serving.texts["bytes"]._loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(server.serving.texts["bytes"].call(sessions.expire), loop).result(10)
    (stored,) = server.store.load([id]).values()
    assert int(stored.expires) == told


def test_thousands_step_in_one_body_each_with_its_own_result(server: Server) -> None:
    ids = [create(server, seed=k)["id"] for k in range(40)]
    gone = create(server)["id"]
    server.http.delete(f"/v1/sessions/{gone}")
    steps = [{"id": id, "tokens": [k % 7, 3]} for k, id in enumerate(ids)]
    steps += [{"id": gone, "tokens": [1]}, {"id": ids[0], "tokens": [1]}, {"id": "ses-x-y", "tokens": [1]}]
    steps.append({"id": ids[1], "tokens": [1], "position": 9})
    results = server.post("/v1/sessions:step", {"steps": steps, "top": 2})["results"]
    assert [one.get("status", 200) for one in results] == [200] * 40 + [410, 400, 404, 400]
    alone = server.post(f"/v1/sessions/{create(server)['id']}/step", {"tokens": [3 % 7, 3], "top": 2})
    assert [one["token"] for one in results[3]["next"]] == [one["token"] for one in alone["next"]]
    assert results[3]["next"][0]["logprob"] == pytest.approx(alone["next"][0]["logprob"], abs=1e-4)
    assert results[0]["position"] == 2
    for bad in ({"steps": [{"id": 3}]}, {"steps": {}}, {"steps": [], "more": 1}, {"steps": [], "top": -1}):
        assert server.http.post("/v1/sessions:step", json=bad).status_code == 422


def test_sessions_leave_memory_and_come_back(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run}, limits=Limits(memory=1))
    texts: dict[str, str] = {create(server, seed=k, prompt="again")["id"]: "" for k in range(150)}
    for _ in range(2):
        for id in texts:
            texts[id] += generate(server, id, 5)["text"]
    live = server.serving.texts["bytes"].sessions.count
    assert live <= 64
    run = Run.open(text_run)
    for k, text in enumerate(texts.values()):
        session = run.session(seed=k)
        session.read("again")
        assert text == session.write(10)


def test_a_server_that_comes_back_goes_on(
    text_run: Path, lines_run: Path, start: Callable[..., Server]
) -> None:
    runs = {"bytes": text_run, "names": lines_run}
    server = start(runs)
    ids = [create(server, prompt="again", repetition_penalty=1.3)["id"], create(server, model="names")["id"]]
    before = [generate(server, id, 17)["text"] for id in ids]
    told = server.post(f"/v1/sessions/{ids[0]}/step", {"text": "a"}, idempotency_key="k")
    server.stop()
    server = start(runs)
    assert server.post(f"/v1/sessions/{ids[0]}/step", {"text": "a"}, idempotency_key="k") == told
    after = [generate(server, id, 17)["text"] for id in ids]
    alone = Run.open(text_run).session(seed=7, repetition_penalty=1.3)
    alone.read("again")
    assert before[0] == alone.write(17)
    alone.read("a")
    assert after[0] == alone.write(17)
    line = Run.open(lines_run).session(seed=7)
    assert [before[1], after[1]] == [line.write(17), line.write(17)]


def test_a_run_under_two_names_has_each_session_once(
    text_run: Path, other_runs: dict[str, Path], start: Callable[..., Server]
) -> None:
    runs = {"bytes": text_run, "alias": text_run, "moves": other_runs["moves"], "same": other_runs["moves"]}
    server = start(runs)
    text = server.post("/v1/sessions", {"model": "alias", "prompt": "abc"}, 201)["id"]
    frames = server.post("/v1/sessions", {"model": "same"}, 201)["id"]
    server.post(f"/v1/sessions/{text}/generate", {"max_tokens": 20})
    server.post(f"/v1/sessions/{frames}/step", {"frames": [[0.1, 0.2]]})
    server.stop()
    server = start(runs)
    assert server.http.get(f"/v1/sessions/{text}").json()["position"] == 23
    assert server.http.get(f"/v1/sessions/{frames}").json()["position"] == 1
    answer = server.post("/v1/completions", {"model": "alias", "prompt": "a", "max_tokens": 1})
    assert answer["model"] == "bytes"


def test_the_client_sends_its_position(server: Server, text_run: Path) -> None:
    with Client(server.url) as client:
        session = client.session("again", model="bytes", seed=7)
        text = session.write(10) + "".join(session.stream(20))
        assert text == written_alone(text_run, 30)
        assert client.open(session.id).position == session.position == 35
        twin = session.fork()
        assert twin.write(5) == session.write(5)
        saved = session.snapshot()
        first = session.write(8)
        session.restore(saved)
        assert session.write(8) == first
        assert session.read("a", top=1)[0]["logprob"] <= 0
        twin.delete()
        with pytest.raises(RemoteError, match="deleted"):
            twin.write(1)
        session.position -= 1
        with pytest.raises(RemoteError) as refused:
            session.write(1)
        assert refused.value.position == session.refresh()
        assert client.complete("again", 5, "bytes", seed=1)
    with pytest.raises(RemoteError, match="no answer"):
        Client("http://127.0.0.1:9", patience=0).models()


def test_tokens_are_asked_for_where_there_are_some(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run}, tokens=("secret-secret-secret",))
    assert server.http.get("/ready").status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret-secret-secret"}):
        answer = server.http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_token")
    with Client(server.url, token="secret-secret-secret") as client:
        assert client.models()[0]["id"] == "bytes"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "no JSON"),
        (b"[]", 422, "the body: expected `object`"),
        (b'{"steps": [{"id": "\\ud800", "tokens": []}]}', 400, "no JSON"),
        (b'{"steps": [{"id": "a", "tokens": []}, {"id": "b", "tokens": [2, "1"]}]}', 422, "[1].tokens[1]: "),
        (b'{"steps": [{"id": "a", "tokens": [-1]}]}', 422, "steps[0].tokens[0]: expected `int` >= 0"),
        (b'{"steps": [{"id": "a", "tokens": [4294967296]}]}', 422, "steps[0].tokens[0]"),
        (b'{"steps": [{"id": "a", "tokens": [true]}]}', 422, "steps[0].tokens[0]"),
        (b'{"steps": [{"id": "a", "tokens": [1], "frames": [[1]]}]}', 422, "steps[0] must be"),
        (b'{"steps": [{"id": "a", "tokens": [1]}, {"id": "b", "samples": [1]}]}', 422, "steps[1] must be"),
        (b'{"steps": [{"id": "a"}]}', 422, "steps[0] must be"),
        (b'{"steps": [{"id": "a", "tokens": [1], "seed": 1}]}', 422, "seed"),
        (b'{"steps": [], "top": 101}', 422, "top: expected `int` <= 100"),
        (b'{"steps": [{"id": "a", "frames": ' + b"[" * 100_000, 400, "no JSON"),
    ],
)  # fmt: skip
def test_a_body_of_steps_that_is_wrong_says_where(body: bytes, status: int, says: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_bulk(body)
    assert refused.value.status == status and says in str(refused.value)
