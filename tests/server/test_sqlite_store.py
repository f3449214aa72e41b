"""The file of a server's sessions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Server
from tests.server.test_scheduling import in_one_tick
from throughtime.server.errors import ApiError, store_failed
from throughtime.server.sqlite_store import SqliteStore
from throughtime.server.store import REMEMBERED_CALLS, Put, Remember, StoredSession, open_store


def session(id: str = "one") -> Put:
    return Put(StoredSession(id, "model", {}, None, 0, expires=time.time() + 60), 0)


def test_a_store_of_before_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    open_store(f"sqlite:///{path}", False).close()
    with sqlite3.connect(path) as before:
        before.execute("alter table calls drop column number")
        before.execute("update facts set value = '1' where name = 'version'")
        before.execute("insert into calls values ('one', 'old', '{}', 1, 0)")
    before.close()
    store = open_store(f"sqlite:///{path}", False)
    store.commit([session(), Remember("one", "new", "{}", done=True)])
    store.close()
    store = open_store(f"sqlite:///{path}", False)
    assert store.recall("one", "old") is not None
    assert store.recall("one", "new") is not None
    store.close()


def test_the_call_that_made_a_session_and_the_last_ones_are_remembered(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", False)
    store.commit([session()])
    for number in range(REMEMBERED_CALLS + 20):
        store.commit([Remember("one", f"key {number}", "{}", done=True)])
    known = [number for number in range(REMEMBERED_CALLS + 20) if store.recall("one", f"key {number}")]
    assert known == [0, *range(20, REMEMBERED_CALLS + 20)]
    store.close()


def fill(store: Any) -> None:
    """What a full disk is to SQLite: not a page more."""
    store._database.execute("pragma max_page_count=1")


def test_a_full_disk_is_said_and_over_once_there_is_room(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", False)
    fill(store)
    many = [session(f"session {number}") for number in range(1000)]
    with pytest.raises(ApiError, match=r"could not be saved: .*store.db: database or disk is full") as full:
        store.commit(many)
    assert full.value.status == 507
    store._database.execute("pragma max_page_count=100000")  # type: ignore[attr-defined]
    store.commit(many)
    assert store.count() == 1000
    store.close()


def test_a_full_disk_ends_only_what_it_has_to_keep(text_run: Path, start: Callable[..., Server]) -> None:
    server = start({"bytes": text_run})
    fill(server.store)
    scheduler = server.serving.texts["bytes"]
    body = {"max_tokens": 5}
    created, unknown, text = in_one_tick(
        server,
        lambda client: client.post("/v1/sessions", json={"prompt": "again" * 2000}),
        lambda client: client.post(
            f"/v1/sessions/ses-{scheduler.model.fingerprint[:8]}-1/generate", json=body
        ),
        lambda client: client.post("/v1/completions", json={**body, "model": "bytes", "prompt": "a"}),
    )
    assert created["error"]["code"] == "store_failed"
    assert unknown["error"]["code"] == "session_not_found"
    assert text["usage"]["completion_tokens"] == 5


def test_sessions_that_cannot_be_removed_hold_nobody_up(
    text_run: Path, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise store_failed("the disk is full")

    monkeypatch.setattr(SqliteStore, "expire", fails)
    server = start({"bytes": text_run})
    server.post("/v1/completions", {"model": "bytes", "prompt": "a", "max_tokens": 5})
