"""What outlives the server's process: sessions, what they read and drew, and the answers that were given.

A session is a snapshot and a journal of the tokens that came after it. Both together are its state: reading
the journal's tokens again gives the same numbers bit for bit. A tick of the server is one transaction, and
nothing is acknowledged before it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import msgspec

from throughtime.errors import OptionError, RunError

# How long a deleted or expired session is remembered, so that its calls are told so (410 and not 404).
REMEMBERED_SECONDS = 24 * 3600.0
# Answered calls that are remembered for each session, besides its first one, which may have made it: a client
# repeats its last ones.
REMEMBERED_CALLS = 128
# SQLite's own bound on the parameters of a statement was 999 for long.
_AT_ONCE = 500
# Of a store; the first one did not tell in which order calls came.
_VERSION = 2


# Structs, because a body of 10,000 steps makes as many of them; a dataclass takes five times as long to make.
class Entry(msgspec.Struct, frozen=True, gc=False):
    """Tokens, frames or samples that a session took in with one call or tick.

    Args:
        position: of the session before them.
        drawn: how many of them were drawn: all or none.
        tokens: 4 bytes each, little-endian; of a frame, as many for each of its numbers.
        resets: the state was the first one before them, as where a line begins.
        width: numbers of a frame. A store of one server does not keep it.
    """

    position: int
    drawn: int
    tokens: bytes
    resets: bool = False
    width: int = 1

    @property
    def count(self) -> int:
        """By how much the session's position grew."""
        return len(self.tokens) // (4 * self.width)


@dataclass
class StoredSession:
    """A session as the store has it.

    Args:
        id: its name.
        model: the fingerprint of the model that its state is of.
        facts: what JSON can hold: options of its draws, seed, decoder...
        snapshot: the state at `snapshot_position`; None is that of nothing read.
        snapshot_position: tokens read until then.
        journal: what came since, in order.
        expires: seconds since 1970.
        gone: why it is no more; "" while it is there.
    """

    id: str
    model: str
    facts: dict[str, Any]
    snapshot: bytes | None
    snapshot_position: int
    journal: list[Entry] = field(default_factory=list)
    expires: float = 0.0
    gone: str = ""

    @property
    def position(self) -> int:
        """Tokens read so far."""
        if not self.journal:
            return self.snapshot_position
        last = self.journal[-1]
        # Entries before the snapshot are kept for a call that is not answered yet.
        return max(self.snapshot_position, last.position + last.count)


@dataclass(frozen=True)
class Put:
    """A new session, or a new snapshot of one: the journal before `keep_from` goes."""

    session: StoredSession
    keep_from: int

    @property
    def id(self) -> str:
        """The session's name."""
        return self.session.id


class Append(msgspec.Struct, frozen=True, gc=False):
    """More of a session's journal.

    Args:
        id: the session.
        entry: what it took in.
        expires: when its time is over now; 0 is as before.
    """

    id: str
    entry: Entry
    expires: float


@dataclass(frozen=True)
class Remember:
    """What the call with this key was answered, or what is known of it while it runs.

    Args:
        id: the session, or what else the key belongs to.
        key: the client's.
        call: a JSON object.
        done: it has been answered.
    """

    id: str
    key: str
    call: str
    done: bool


@dataclass(frozen=True)
class Supersede:
    """Calls of this session that are not answered can no longer be taken up: another one moves it on."""

    id: str


@dataclass(frozen=True)
class Recalled:
    """What is known of a call: its JSON, and whether another one came after it was broken off."""

    call: str
    superseded: bool


@dataclass(frozen=True)
class Forget:
    """The end of a session."""

    id: str
    why: str


@dataclass(frozen=True)
class Release:
    """This server lets go of a session: any other one may go on with it."""

    id: str


Change = Put | Append | Remember | Supersede | Forget | Release


@dataclass(frozen=True)
class Taken:
    """What came of taking sessions.

    Args:
        sessions: those that are there, gone ones without their state.
        elsewhere: another server has them, and has been asked for them.
        busy: the same, and calls are moving them on; their positions.
    """

    sessions: dict[str, StoredSession]
    elsewhere: set[str]
    busy: dict[str, int]


class Store(Protocol):
    """Where sessions are kept. Called by the threads of the models, one call at a time for each model.

    Attributes:
        durability: what the store survives, in words.
        shared: several servers have it at a time. Where not, all that is said of other servers does nothing.
    """

    durability: str
    shared: bool

    def commit(self, changes: Sequence[Change]) -> set[str]:
        """All changes of a session, or none, in one transaction for all sessions.

        Returns:
            The sessions that it did not write, as another server has them by now.
        """
        ...

    def take(self, ids: Sequence[str]) -> Taken:
        """Those of the sessions that are known. This server has them from here on."""
        ...

    def load(self, ids: Sequence[str]) -> dict[str, StoredSession]:
        """The same of sessions that this server has."""
        ...

    def recall(self, id: str, key: str) -> Recalled | None:
        """The call of a key."""
        ...

    def expire(self, now: float, live: Mapping[str, float]) -> None:
        """End the sessions whose time has come, but for those that are in use, of which it is given."""
        ...

    def count(self) -> int | None:
        """Sessions that are there; None where that would take long."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    # ---- other servers

    def epoch(self) -> int:
        """A number that changes where this server may have lost sessions without letting go of them."""
        ...

    def lost(self, ids: Sequence[str]) -> list[str]:
        """Those of these sessions that another server has by now."""
        ...

    def wanted(self, model: str) -> list[str]:
        """Sessions of a model that other servers ask for."""
        ...

    def keep(self, id: str, position: int) -> None:
        """Tell who asks for a session that a call is moving it on."""
        ...

    def watch(self, wake: Callable[[], None]) -> None:
        """Have `wake` called where another server asks for a session, or answers."""
        ...


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
        with self._turns:
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                self._database.execute("rollback")
                raise

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
        with self._turns:
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
        with self._turns:
            row = self._database.execute(
                "select call, superseded from calls where id = ? and key = ?", (id, key)
            ).fetchone()
        return None if row is None else Recalled(row[0], bool(row[1]))

    def expire(self, now: float, live: Mapping[str, float]) -> None:
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
}


def _row(entry: Entry) -> tuple[Any, ...]:
    return entry.position, entry.drawn, entry.tokens, entry.resets


def open_store(address: str, durable: bool) -> Store:
    """The store that --store names.

    Args:
        address: sqlite:///FILE, or redis://...
        durable: nothing acknowledged may be lost to a crash of the system, either.
    Raises:
        OptionError: the address is of neither kind.
        RunError: the store cannot be used.
    """
    kind, separator, rest = address.partition("://")
    if kind == "sqlite" and separator and rest.lstrip("/"):
        # As of SQLAlchemy: three slashes for a relative path, four for an absolute one.
        return SqliteStore(Path(rest[1:] if rest.startswith("/") else rest), durable)
    if kind in ("redis", "rediss") and rest:
        from throughtime.server.redis_store import RedisStore

        return RedisStore(address, durable)
    raise OptionError(f"--store {address!r:.100} must be sqlite:///FILE or redis://HOST:PORT")
