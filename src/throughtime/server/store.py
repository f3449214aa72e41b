"""What outlives the server's process: sessions, what they read and drew, and the answers that were given.

A session is a snapshot and a journal of the tokens that came after it. Both together are its state: reading
the journal's tokens again gives the same numbers bit for bit. A tick of the server is one transaction, and
nothing is acknowledged before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from throughtime.errors import OptionError

# How long a deleted or expired session is remembered, so that its calls are told so (410 and not 404).
REMEMBERED_SECONDS = 24 * 3600.0
# Answered calls that are remembered for each session, besides its first one, which may have made it: a client
# repeats its last ones.
REMEMBERED_CALLS = 128


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


@dataclass(frozen=True)
class Touch:
    """A session was used, and that is all: when its time is over now."""

    id: str
    expires: float


Change = Put | Append | Remember | Supersede | Forget | Release | Touch


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

    def expire(self, now: float, live: Collection[str]) -> None:
        """End the sessions whose time has come, but for those in memory, of which nobody told it."""
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
        from throughtime.server.sqlite_store import SqliteStore

        # As of SQLAlchemy: three slashes for a relative path, four for an absolute one.
        return SqliteStore(Path(rest[1:] if rest.startswith("/") else rest), durable)
    if kind in ("redis", "rediss") and rest:
        from throughtime.server.redis_store import RedisStore

        return RedisStore(address, durable)
    raise OptionError(f"--store {address!r:.100} must be sqlite:///FILE or redis://HOST:PORT")
