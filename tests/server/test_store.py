"""The file of a server's sessions."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

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
