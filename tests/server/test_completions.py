"""Completions as OpenAI's clients know them, and as `throughtime sample` writes them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from tests.server.conftest import Server
from throughtime.run import Run


def complete(server: Server, **body: object) -> dict:
    return server.post("/v1/completions", {"model": "bytes", **body})


def test_the_same_seed_writes_what_sample_writes(server: Server, text_run: Path) -> None:
    wanted = Run.open(text_run).samples(3, "again", 40, seed=5, temperature=0.8)
    reply = complete(server, prompt="again", max_tokens=40, n=3, seed=5, temperature=0.8, echo=True)
    assert [choice["text"] for choice in reply["choices"]] == wanted
    assert reply["usage"] == {"prompt_tokens": 5, "completion_tokens": 120, "total_tokens": 125}
    assert {choice["finish_reason"] for choice in reply["choices"]} == {"length"}


def test_lines_end_at_their_end(server: Server, lines_run: Path) -> None:
    wanted = [line.text for line in Run.open(lines_run).write(4, "ma", 30, seed=2)]
    reply = complete(server, model="names", prompt="ma", max_tokens=30, n=4, seed=2, echo=True)
    assert [choice["text"] for choice in reply["choices"]] == wanted
    assert "stop" in {choice["finish_reason"] for choice in reply["choices"]}


def test_openais_client_streams_the_same_text_in_pieces(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    options = {"model": "bytes", "prompt": "h", "max_tokens": 60, "seed": 9, "n": 2}
    whole = client.completions.create(**options)
    pieces = {0: "", 1: ""}
    usage, ends = None, {}
    for event in client.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        usage = event.usage or usage
        for choice in event.choices:
            pieces[choice.index] += choice.text
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    assert [pieces[k] for k in (0, 1)] == [choice.text for choice in whole.choices]
    assert ends == {0: "length", 1: "length"}
    assert usage == whole.usage
    assert [model.id for model in client.models.list()] == ["bytes", "names"]
    assert client.models.retrieve("names").owned_by == "throughtime"


def test_a_text_ends_before_a_stop_string(server: Server) -> None:
    whole = complete(server, prompt="a", max_tokens=80, seed=3)["choices"][0]["text"]
    stop = whole[20:22]
    stopped = complete(server, prompt="a", max_tokens=80, seed=3, stop=[stop, "never there"])["choices"][0]
    assert stopped["text"] == whole[: whole.index(stop)]
    assert stopped["finish_reason"] == "stop"


def test_log_probabilities_are_those_of_the_model(server: Server, text_run: Path) -> None:
    engine, tokenizer = Run.open(text_run).engine, Run.open(text_run).tokenizer
    reply = complete(server, prompt="again", max_tokens=3, seed=1, logprobs=2, echo=True)["choices"][0]
    tokens = tokenizer.encode(reply["text"]) if "\ufffd" not in reply["text"] else None
    found = reply["logprobs"]
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    slots = engine.open(1)
    logits = engine.read(slots, tokenizer.encode("again")[None], all_logits=True)[0].astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = [logs[place, token] for place, token in enumerate(tokenizer.encode("again")[1:])]
    np.testing.assert_allclose(found["token_logprobs"][1:5], wanted, rtol=1e-9)
    assert len(found["tokens"]) == len(found["text_offset"]) == 8
    best = [max(top.values()) for top in found["top_logprobs"][1:]]
    assert all(len(top) == 2 for top in found["top_logprobs"][1:])
    assert all(b >= own for b, own in zip(best, found["token_logprobs"][1:], strict=True))
    assert tokens is None or len(tokens) == 8


def test_asking_for_log_probabilities_draws_the_same_text(server: Server) -> None:
    plain = complete(server, prompt="w", max_tokens=50, seed=11)
    watched = complete(server, prompt="w", max_tokens=50, seed=11, logprobs=0)
    assert plain["choices"][0]["text"] == watched["choices"][0]["text"]


def test_prompts_may_be_several_or_tokens(server: Server, text_run: Path) -> None:
    tokenizer = Run.open(text_run).tokenizer
    one, two = (tokenizer.encode(text).tolist() for text in ("again", "or"))
    several = complete(server, prompt=["again", "or"], max_tokens=9, seed=4)["choices"]
    tokens = complete(server, prompt=[one, two], max_tokens=9, seed=4)["choices"]
    alone = complete(server, prompt="or", max_tokens=9, seed=4)["choices"]
    assert several == tokens
    assert several[1]["text"] == alone[0]["text"]


def test_nothing_to_draw_echoes_the_prompt(server: Server) -> None:
    reply = complete(server, prompt="again", max_tokens=0, echo=True, logprobs=1)["choices"][0]
    assert reply["text"] == "again"
    assert len(reply["logprobs"]["tokens"]) == 5
    assert complete(server, prompt="", max_tokens=0)["choices"][0]["text"] == ""


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"best_of": 3}, 400, "best_of"),
        ({"suffix": "x"}, 400, "suffix"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty"),
        ({"temperature": -1}, 400, None),
        ({"top_p": 0}, 400, None),
        ({"max_tokens": -1}, 422, "max_tokens"),
        ({"stop": ""}, 400, "stop"),
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": [999]}, 400, "prompt"),
        ({"prompt": [10**30]}, 400, "prompt"),
        ({"model": "nobody"}, 404, "model"),
        ({"frobnicate": 1}, 422, "frobnicate"),
        ({"n": 0}, 422, "n"),
        ({"conditions": {"a": "b"}}, 400, None),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_shape(
    server: Server, body: dict, status: int, param: str | None
) -> None:
    reply = server.post("/v1/completions", {"model": "bytes", "prompt": "a", **body}, status)
    assert set(reply["error"]) == {"message", "type", "param", "code"}
    assert reply["error"]["param"] == param
    with_stream = server.http.post("/v1/completions", json={"model": "bytes", "stream": True, **body})
    assert with_stream.status_code == status


def test_errors_of_paths_methods_and_bodies_have_that_shape_too(server: Server) -> None:
    assert server.http.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert server.http.put("/v1/completions").status_code == 405
    bad = server.http.post("/v1/completions", content=b"{no", headers={"content-type": "application/json"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "bad_request")
    large = server.http.post("/v1/completions", content=b" " * (2**20 + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")


def test_a_thousand_interleaved_streams_never_mix(server: Server, text_run: Path) -> None:
    run = Run.open(text_run)
    seeds = list(range(1000))
    found: dict[int, str] = {}
    failures = []

    def work(some: list[int]) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for seed in some:
                body = {"model": "bytes", "prompt": "a", "max_tokens": 1 + seed % 17, "seed": seed}
                body |= {"temperature": 0.5 + seed % 3, "stream": seed % 2 == 0}
                answer = http.post("/v1/completions", json=body)
                if answer.status_code != 200:
                    failures.append(answer.text)
                elif seed % 2:
                    found[seed] = answer.json()["choices"][0]["text"]
                else:
                    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
                    found[seed] = "".join(json.loads(line)["choices"][0]["text"] for line in lines)

    threads = [threading.Thread(target=work, args=(seeds[k::16],)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for seed in seeds:
        wanted = run.sample("a", 1 + seed % 17, seed=seed, temperature=0.5 + seed % 3)
        assert "a" + found[seed] == wanted, seed


def test_tools_may_ask_about_the_vocabulary(server: Server, text_run: Path) -> None:
    tokens = server.post("/tokenize", {"model": "bytes", "prompt": "wörld"})
    assert tokens["count"] == 6
    assert server.post("/detokenize", {"model": "bytes", "tokens": tokens["tokens"]})["prompt"] == "wörld"
    info = server.http.get("/tokenizer_info", params={"model": "names"}).json()
    assert (info["kind"], info["eos_token"], info["bos_token"]) == ("character", "\n", "\n")
    info = server.http.get("/tokenizer_info", params={"model": "bytes"}).json()
    assert (info["eos_token"], info["bos_token"]) == (None, "\n")


def test_null_as_the_first_token_is_what_a_text_begins_after(server: Server) -> None:
    """As lm_eval sends it, which measures a text's first token as well."""
    options = {"model": "bytes", "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True, "seed": 1}
    found = complete(server, prompt=[[None, 119, 111]], **options)["choices"]
    assert found == complete(server, prompt=[[10, 119, 111]], **options)["choices"]
    assert found == complete(server, prompt=[None, 119, 111], **options)["choices"]
    refused = server.http.post("/v1/completions", json={**options, "prompt": [[119, None]]})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "only the first token of a prompt may be null"


@pytest.mark.parametrize("model", ["bytes", "names"])
def test_a_client_may_keep_the_state_itself(server: Server, model: str) -> None:
    options = {"model": model, "seed": 6, "temperature": 0.9}
    id = server.post("/v1/sessions", options, 201)["id"]
    state, texts = None, []
    for count in (7, 1, 0, 30):
        body = {"model": model, "max_tokens": count, "return_state": True}
        body |= {"state": state} if state else options
        (choice,) = complete(server, **body)["choices"]
        texts.append(choice["text"])
        state = choice["state"]
        assert server.post(f"/v1/sessions/{id}/generate", {"max_tokens": count})["text"] == texts[-1]
    streamed = server.http.post(
        "/v1/completions", json={"model": model, "state": state, "return_state": True, "stream": True}
    )
    last = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")][-1]
    assert last["choices"][0]["state"] != state


def test_a_state_that_a_client_keeps_stands_behind_the_stop_string(server: Server) -> None:
    options = {"prompt": "a", "seed": 3}
    whole = complete(server, max_tokens=400, **options)["choices"][0]["text"]
    pieces = (whole[place : place + 3] for place in range(300))
    stop = next(piece for piece in pieces if piece.isascii() and whole.index(piece) > 100)
    (first,) = complete(server, max_tokens=400, stop=stop, return_state=True, **options)["choices"]
    (second,) = complete(server, max_tokens=50, state=first["state"])["choices"]
    assert whole.startswith(first["text"] + stop + second["text"][:-1])


def test_a_state_that_was_changed_or_is_of_another_model_is_refused(server: Server) -> None:
    state = complete(server, prompt="a", max_tokens=1, return_state=True)["choices"][0]["state"]
    place = len(state) // 2
    for bad, status in (
        (state[:place] + ("A" if state[place] != "A" else "B") + state[place + 1 :], 400),
        ("", 400),
        ("é" * 40, 400),
    ):
        assert (
            server.http.post("/v1/completions", json={"model": "bytes", "state": bad}).status_code == status
        )
    other = server.http.post("/v1/completions", json={"model": "names", "state": state})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "other_model")
    two = server.http.post("/v1/completions", json={"model": "bytes", "state": state, "n": 2})
    assert two.status_code == 400
