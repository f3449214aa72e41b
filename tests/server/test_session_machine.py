"""Whatever is done to sessions, in whatever order, they are as a model of them in memory says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Server
from throughtime.run import Run

pytest.importorskip("hypothesis", reason="hypothesis is not installed")

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

_TEXTS = st.text("aé안🙂 \n", min_size=1, max_size=6)


@dataclass
class Known:
    """A session, one of the same seed in this process, and the calls that had keys."""

    id: str
    alone: Any
    calls: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = field(default_factory=list)


class Sessions(RuleBasedStateMachine):
    """Two servers or one, and sessions in this process that read and write the same."""

    ids = Bundle("ids")
    saved = Bundle("saved")
    start: Callable[[], list[Server]]
    run: Any

    @initialize()
    def begin(self) -> None:
        self.servers = self.start()
        self.gone: list[str] = []
        self.keys = 0

    def at(self, which: int) -> Server:
        """One of the servers."""
        return self.servers[which % len(self.servers)]

    def call(self, which: int, method: str, path: str, status: int = 200, **given: Any) -> Any:
        answer = self.at(which).http.request(method, path, **given)
        assert answer.status_code == status, answer.text
        return answer

    @rule(target=ids, which=st.integers(0, 1), seed=st.integers(0, 3), prompt=st.none() | _TEXTS)
    def create(self, which: int, seed: int, prompt: str | None) -> Known:
        body = {"seed": seed, "prompt": prompt, "temperature": 0.9}
        made = self.call(which, "POST", "/v1/sessions", 201, json=body).json()
        alone = self.run.session(seed=seed, temperature=0.9)
        if prompt:
            alone.read(prompt)
        assert made["position"] == alone.position
        return Known(made["id"], alone)

    @rule(
        one=ids,
        which=st.integers(0, 1),
        tokens=st.integers(0, 9),
        streams=st.booleans(),
        has_key=st.booleans(),
        has_position=st.booleans(),
    )
    def generate(
        self, one: Known, which: int, tokens: int, streams: bool, has_key: bool, has_position: bool
    ) -> None:
        body = {"max_tokens": tokens, "stream": streams}
        if has_position:
            body["position"] = one.alone.position
        headers = {"idempotency-key": f"key {self.keys}"} if has_key else {}
        self.keys += 1
        path = f"/v1/sessions/{one.id}/generate"
        told = _told(self.call(which, "POST", path, json=body, headers=headers), streams)
        assert told == (one.alone.write(tokens), one.alone.position)
        if has_key:
            one.calls.append((path, body, headers, told))

    @rule(one=ids, which=st.integers(0, 1), text=_TEXTS)
    def read(self, one: Known, which: int, text: str) -> None:
        body = {"text": text, "position": one.alone.position}
        told = self.call(which, "POST", f"/v1/sessions/{one.id}/step", json=body).json()
        one.alone.read(text)
        assert told["position"] == one.alone.position

    @rule(one=ids, which=st.integers(0, 1), place=st.integers(0, 5))
    def repeat(self, one: Known, which: int, place: int) -> None:
        """A call with a key, once more: the session has gone on since, and stays where it is."""
        if one.calls:
            path, body, headers, told = one.calls[place % len(one.calls)]
            again = self.call(which, "POST", path, json=body, headers=headers)
            assert _told(again, body["stream"]) == told

    @rule(one=ids, which=st.integers(0, 1), off=st.integers(1, 3))
    def expect_another_position(self, one: Known, which: int, off: int) -> None:
        body = {"max_tokens": 3, "position": one.alone.position + off}
        refused = self.call(which, "POST", f"/v1/sessions/{one.id}/generate", 412, json=body).json()
        assert refused["position"] == one.alone.position

    @rule(target=ids, one=ids, which=st.integers(0, 1))
    def fork(self, one: Known, which: int) -> Known:
        made = self.call(which, "POST", f"/v1/sessions/{one.id}/fork", 201, json={}).json()
        assert made["position"] == one.alone.position
        return Known(made["id"], one.alone.fork())

    @rule(target=saved, one=ids, which=st.integers(0, 1))
    def save(self, one: Known, which: int) -> bytes:
        return self.call(which, "GET", f"/v1/sessions/{one.id}/snapshot").content

    @rule(one=ids, which=st.integers(0, 1), content=saved)
    def restore(self, one: Known, which: int, content: bytes) -> None:
        told = self.call(which, "PUT", f"/v1/sessions/{one.id}/snapshot", content=content).json()
        one.alone = self.run.restore_session(content)
        assert told["position"] == one.alone.position

    @rule(target=ids, one=consumes(ids), which=st.integers(0, 1))
    def delete(self, one: Known, which: int) -> Any:
        self.call(which, "DELETE", f"/v1/sessions/{one.id}")
        self.gone.append(one.id)
        return multiple()

    @rule(which=st.integers(0, 1))
    def lose_memory(self, which: int) -> None:
        """As kill -9 does: what is left is what the store has."""
        scheduler = self.at(which).serving.texts["bytes"]
        assert scheduler._loop is not None
        forgotten = scheduler.call(scheduler.sessions.forget)
        asyncio.run_coroutine_threadsafe(forgotten, scheduler._loop).result(10)

    @rule()
    def restart(self) -> None:
        for server in self.servers:
            server.stop()
        self.servers = self.start()

    @invariant()
    def what_is_gone_stays_gone(self) -> None:
        for id in getattr(self, "gone", [])[-1:]:
            self.call(0, "GET", f"/v1/sessions/{id}", 410)

    def teardown(self) -> None:
        for server in getattr(self, "servers", []):
            server.stop()


def _told(answer: Any, streams: bool) -> tuple[str, int]:
    """What a call says, in one piece or in events."""
    if not streams:
        return answer.json()["text"], answer.json()["position"]
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(event["text"] for event in events), events[-1]["position"]


@pytest.mark.parametrize("store_kind", ["sqlite", "redis"], scope="module")
def test_sessions_are_what_a_model_of_them_is(
    store_kind: str, text_run: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    numbers = iter(range(1000))
    store = ""

    class Machine(Sessions):
        run = Run.open(text_run)

        @initialize()
        def begin(self) -> None:
            nonlocal store
            store = f"sqlite:///{tmp_path / str(next(numbers))}.db"
            if store_kind == "redis":
                store = f"{request.getfixturevalue('redis_address')}?prefix={tmp_path.name}-{next(numbers)}"
            super().begin()

        @staticmethod
        def start() -> list[Server]:
            return [Server({"bytes": text_run}, store) for _ in range(1 if store_kind == "sqlite" else 2)]

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    Machine.run = None  # hypothesis keeps the class
