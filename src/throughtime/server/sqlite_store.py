"""Sessions in a file of SQLite, which one server has."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from throughtime.errors import RunError
from throughtime.server.errors import store_failed
from throughtime.server.store import (
    REMEMBERED_CALLS,
    REMEMBERED_SECONDS,
    Append,
    Change,
    Entry,
    Forget,
    Put,
    Recalled,
    Release,
    Remember,
    StoredSession,
    Supersede,
    Taken,
    Touch,
)

# SQLite's own bound on the parameters of a statement was 999 for long.
_AT_ONCE = 500
# Of a store; the first one did not tell in which order calls came.
_VERSION = 2

_TABLES = """
create table if not exists facts (name text primary key, value text) without rowid;
create table if not exists sessions (
    id text primary key, model text not null, facts text not null, snapshot blob,
    position integer not null, expires real not null, gone text not null
) without rowid;
create index if not exists sessions_expire on sessions (expires);
create table if not exists journal (
    id text not null, position integer not null, drawn integer not null, tokens blob not null,
    resets integer not null,    primary key (id, position)
) without rowid;
create table if not exists calls (
    id text not null, key text not null, call text not null,
    done integer not null, superseded integer not null, number integer not null default 0,
    primary key (id, key)
) without rowid;
"""


class SqliteStore:
    """One file, written ahead (WAL). One server has it at a time.

    Args:
        path: the file; it is made if it is not there.
        full: wait for the disk at each transaction (synchronous=FULL). Without, a crash of the system may
            take the last transactions with it; that of the server never does.
    Raises:
        RunError: another process has it, or it is no such file.
    """

    shared = False

    def __init__(self, path: Path, full: bool = False) -> None:
        self.path = path
        self._turns = threading.Lock()
        self.durability = (
            f"sqlite {path} (WAL, synchronous={'FULL' if full else 'NORMAL'}): survives kill -9 of the "
            "server; "
            + ("survives" if full else "the last transactions may be lost in")
            + " a crash of the system or a power failure"
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=0.0, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            run = self._database.execute
            # The lock is held until the connection closes, or the process ends in whatever way.
            run("pragma locking_mode=exclusive")
            run("pragma journal_mode=wal")
            run(f"pragma synchronous={'full' if full else 'normal'}")
            run("pragma wal_autocheckpoint=4000")
            run("begin exclusive")
            for statement in _TABLES.split(";"):
                run(statement)
            run("insert or ignore into facts values ('version', ?)", (str(_VERSION),))
            (version,) = run("select value from facts where name = 'version'").fetchone()
            if version == "1":
                run("alter table calls add column number integer not null default 0")
                run("update facts set value = '2' where name = 'version'")
                version = "2"
            run("commit")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise RunError(
                    f"{path}: another server has this store: stop it, give --store another file, or share "
                    f"sessions with --store redis://..."
                ) from None
            raise RunError(f"{path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise RunError(f"{path}: this is no store of sessions ({error})") from None
        if version != str(_VERSION):
            raise RunError(f"{path}: a store of version {version:.20}, and this Throughtime reads {_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn():
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # SQLite has ended it by itself where the disk is full
                    self._database.execute("rollback")
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Say that the file cannot be written or read, as where its disk is full."""
        with self._turns:
            try:
                yield
            except sqlite3.Error as error:
                raise store_failed(f"{self.path}: {error}") from error

    def commit(self, changes: Sequence[Change]) -> set[str]:
        if changes:
            with self._transaction():
                # In order, as a snapshot may go back behind what was appended before it; appends, of which
                # there are thousands in a tick, together.
                for kind, some in groupby(changes, type):
                    _WRITERS[kind](self, list(some))
        return set()

    def take(self, ids: Sequence[str]) -> Taken:
        return Taken(self.load(ids), set(), {})

    def _append(self, appends: Sequence[Append]) -> None:
        rows = [(one.id, *_row(one.entry)) for one in appends]
        self._database.executemany("insert into journal values (?, ?, ?, ?, ?)", rows)
        times = [(one.expires, one.id) for one in appends if one.expires]
        self._database.executemany("update sessions set expires = ? where id = ?", times)

    def _touch(self, touches: Sequence[Touch]) -> None:
        times = [(one.expires, one.id) for one in touches]
        self._database.executemany("update sessions set expires = ? where id = ? and gone = ''", times)

    def _put_all(self, puts: Sequence[Put]) -> None:
        for one in puts:
            self._put(one)

    def _remember(self, calls: Sequence[Remember]) -> None:
        rows = [(one.id, one.key, one.call, one.done) for one in calls]
        last = "(select coalesce(max(number), 0) from calls where id = ?1)"
        self._database.executemany(
            f"insert or replace into calls values (?1, ?2, ?3, ?4, 0, {last} + 1)", rows
        )
        self._database.executemany(
            f"delete from calls where id = ?1 and number > 1 and number <= {last} - {REMEMBERED_CALLS}",
            [(one.id,) for one in calls],
        )

    def _supersede(self, sessions: Sequence[Supersede]) -> None:
        rows = [(one.id,) for one in sessions]
        self._database.executemany("update calls set superseded = 1 where id = ? and not done", rows)

    def _forget(self, sessions: Sequence[Forget]) -> None:
        for one in sessions:
            self._end([one.id], one.why)

    def _put(self, put: Put) -> None:
        one, run = put.session, self._database.execute
        run(
            "insert or replace into sessions values (?, ?, ?, ?, ?, ?, '')",
            (one.id, one.model, json.dumps(one.facts), one.snapshot, one.snapshot_position, one.expires),
        )
        # Behind it as well: it may be one from before.
        run(
            "delete from journal where id = ? and (position < ? or position >= ?)",
            (one.id, put.keep_from, one.snapshot_position),
        )
        if one.journal:
            self._database.executemany(
                "insert or replace into journal values (?, ?, ?, ?, ?)",
                [(one.id, *_row(entry)) for entry in one.journal],
            )

    def _end(self, ids: Iterable[str], why: str) -> None:
        until = time.time() + REMEMBERED_SECONDS
        for one in ids:
            run = self._database.execute
            run(
                "update sessions set gone = ?, snapshot = null, facts = '{}', expires = ? where id = ?",
                (why, until, one),
            )
            run("delete from journal where id = ?", (one,))
            run("delete from calls where id = ?", (one,))

    def load(self, ids: Sequence[str]) -> dict[str, StoredSession]:
        with self._turn():
            return self._load(ids)

    def _load(self, ids: Sequence[str]) -> dict[str, StoredSession]:
        found: dict[str, StoredSession] = {}
        for first in range(0, len(ids), _AT_ONCE):
            some = list(ids[first : first + _AT_ONCE])
            marks = ",".join("?" * len(some))
            for id, model, facts, snapshot, position, expires, gone in self._database.execute(
                "select id, model, facts, snapshot, position, expires, gone from sessions "
                f"where id in ({marks})",
                some,
            ):
                found[id] = StoredSession(id, model, json.loads(facts), snapshot, position, [], expires, gone)
            for id, position, drawn, tokens, resets in self._database.execute(
                "select id, position, drawn, tokens, resets from journal "
                f"where id in ({marks}) order by id, position",
                some,
            ):
                if id in found:
                    found[id].journal.append(Entry(position, drawn, tokens, bool(resets)))
        return found

    def recall(self, id: str, key: str) -> Recalled | None:
        with self._turn():
            row = self._database.execute(
                "select call, superseded from calls where id = ? and key = ?", (id, key)
            ).fetchone()
        return None if row is None else Recalled(row[0], bool(row[1]))

    def expire(self, now: float, live: Collection[str]) -> None:
        run = self._database.execute
        with self._transaction():
            over = run("select id from sessions where expires < ? and gone = '' limit 1000", (now,))
            self._end([row[0] for row in over if row[0] not in live], "its time to live is over")
            run("delete from sessions where expires < ? and gone != ''", (now,))

    def count(self) -> int:
        with self._turns:
            return self._database.execute("select count(*) from sessions where gone = ''").fetchone()[0]

    def close(self) -> None:
        with self._turns:
            self._database.close()

    def epoch(self) -> int:
        return 0

    def lost(self, ids: Sequence[str]) -> list[str]:
        return []

    def wanted(self, model: str) -> list[str]:
        return []

    def keep(self, id: str, position: int) -> None:
        pass

    def watch(self, wake: Callable[[], None]) -> None:
        pass

    def _release(self, sessions: Sequence[Release]) -> None:
        pass  # one server has the file


_WRITERS: dict[type, Any] = {
    Append: SqliteStore._append,
    Put: SqliteStore._put_all,
    Remember: SqliteStore._remember,
    Supersede: SqliteStore._supersede,
    Forget: SqliteStore._forget,
    Release: SqliteStore._release,
    Touch: SqliteStore._touch,
}


def _row(entry: Entry) -> tuple[Any, ...]:
    return entry.position, entry.drawn, entry.tokens, entry.resets
