"""The sessions of one model: in memory while they are used, in the store always.

What a state is, its kind says: see text_sessions.py. All of it runs in the thread of the model.
"""

from __future__ import annotations

import json
import logging
import random
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from throughtime.server.errors import (
    ApiError,
    ElsewhereError,
    no_session,
    session_busy,
    session_gone,
    wrong_position,
)
from throughtime.server.rows import Live
from throughtime.server.session_requests import CreateRequest
from throughtime.server.store import (
    Append,
    Change,
    Entry,
    Forget,
    Put,
    Recalled,
    Release,
    Remember,
    Store,
    StoredSession,
    Supersede,
    Touch,
)

log = logging.getLogger("throughtime.server")

# Sessions whose states are read from the store, or written to it, at once.
_AT_ONCE = 1024
# A time to live is written anew once so much of it has passed.
_TOUCH = 0.05
_LEAST_LIVE = 64
# A session that goes to another server takes a snapshot along, unless so few tokens are quickly read again.
_REPLAYED_ELSEWHERE = 16
_HELD_SECONDS, _MOST_ROUNDS = (0.01, 0.1), 5

L = TypeVar("L", bound=Live)


class LiveSessions(ABC, Generic[L]):
    """Sessions of one model.

    Args:
        store: where they are kept.
        identity: what their states belong to: the weights, and how they are kept.
        most_live: how many are kept in memory while nobody uses them.
        time_to_live: seconds, of a session that says nothing else.
    """

    def __init__(self, store: Store, identity: str, most_live: int, time_to_live: float) -> None:
        self.store = store
        self.identity = identity
        self.time_to_live = time_to_live
        self._most_live = max(most_live, _LEAST_LIVE)
        self._live: OrderedDict[str, L] = OrderedDict()
        self._changes: list[Change] = []
        self._moved: list[L] = []
        # Of this tick, which the store does not know yet: sessions that changed, so that they must not leave
        # memory; and those that are over.
        self._unwritten: set[str] = set()
        self._ended: dict[str, str] = {}
        # Where servers share the store: those that left memory, of which the store is to be told; and those
        # that came while others of the same call were still elsewhere, and until when they stay.
        self._left: set[str] = set()
        self._held: dict[str, float] = {}
        self._rounds = 0
        self._epoch = store.epoch()
        self._unsure: ApiError | None = None

    # ---- what a state is

    @abstractmethod
    def restore(self, stored: Sequence[StoredSession]) -> list[L]:
        """Sessions from the store: the snapshot, and what came after it read once more."""

    @abstractmethod
    def content(self, lives: Sequence[L]) -> list[tuple[bytes, dict[str, Any]]]:
        """The states of sessions as bytes, and what their facts hold besides."""

    @abstractmethod
    def close(self, live: L) -> None:
        """Give its memory back."""

    @abstractmethod
    def open(self, name: str, request: CreateRequest) -> L:
        """A new session, as a request wants it, which has read nothing yet.

        Raises:
            ThroughtimeError: it wants what there is not.
        """

    @abstractmethod
    def fork(self, live: L, name: str, seed: int | None) -> L:
        """A copy that goes its own way from here.

        Args:
            live: the session.
            name: of the copy.
            seed: of the copy's draws; None draws what the session would have drawn.
        """

    @abstractmethod
    def described(self, live: L) -> dict[str, Any]:
        """What is told of a session."""

    @abstractmethod
    def since(self, live: L, position: int) -> dict[str, Any]:
        """What is told of what came after a position.

        Raises:
            ApiError: that is no longer known, or never was.
        """

    @abstractmethod
    def snapshot_of(self, live: L) -> tuple[bytes, int]:
        """All that going on exactly here needs, and the position."""

    @abstractmethod
    def restore_into(self, live: L, content: bytes) -> L:
        """Have a session stand where a snapshot was taken.

        Raises:
            CheckpointError: the snapshot is damaged, or of another model or precision.
        """

    @abstractmethod
    def restore_new(self, name: str, content: bytes) -> L:
        """A new session that stands where a snapshot was taken.

        Raises:
            CheckpointError: as of `restore_into`.
        """

    # ---- finding them

    @property
    def count(self) -> int:
        """Sessions whose state is in memory."""
        return len(self._live)

    def get(self, name: str) -> L:
        """A session by its name, with its state in memory.

        Raises:
            ApiError: there is none, or it is over.
        """
        one = self.get_many([name])[name]
        if isinstance(one, ApiError):
            raise one
        return one

    def get_many(self, names: Sequence[str], together: bool = True) -> dict[str, L | ApiError]:
        """Sessions by their names; an error in place of one that cannot be had.

        Args:
            names: of the sessions.
            together: one call needs all of them. Else an ElsewhereError is in place of one that another
                server still has.
        Raises:
            ElsewhereError: another server has one of those that are needed together.
            ApiError: nobody knows whose the sessions are, as the store does not answer.
        """
        if self._unsure is not None:
            raise self._unsure
        found: dict[str, L | ApiError] = {}
        missing: list[str] = []
        now = time.time()
        for name in names:
            live = self._live.get(name)
            if name in self._ended:
                found[name] = session_gone(name, self._ended[name])
            elif live is None:
                missing.append(name)
            elif live.expires < now and not live.busy:
                found[name] = session_gone(name, "its time to live is over")
                self.end(live, "its time to live is over")
            else:
                self._live.move_to_end(name)
                found[name] = live
        elsewhere: set[str] = set()
        for first in range(0, len(missing), _AT_ONCE):
            elsewhere |= self._load(missing[first : first + _AT_ONCE], found, now)
        if elsewhere and not together:
            found.update({name: ElsewhereError(name) for name in elsewhere})
        elif elsewhere:
            self._hold([name for name, one in found.items() if isinstance(one, Live)])
            raise ElsewhereError(min(elsewhere))
        if self._held:
            self._rounds = 0
            for name in names:
                self._held.pop(name, None)
        for one in found.values():
            if isinstance(one, Live):
                lives = one.facts["time_to_live"]
                if one.expires - now < lives * (1 - _TOUCH):
                    one.expires, one.is_touched = now + lives, True
        return found

    def _load(self, names: Sequence[str], found: dict[str, L | ApiError], now: float) -> set[str]:
        """Sessions from the store; those that other servers have."""
        if not self._left.isdisjoint(names):
            # What this tick leaves of them is still to be written.
            return set(names)
        taken = self.store.take(names)
        usable = []
        for name in names:
            one = taken.sessions.get(name)
            if name in taken.busy:
                found[name] = session_busy(name, taken.busy[name])
            elif name in taken.elsewhere:
                continue
            elif one is None:
                found[name] = no_session(name)
            elif one.gone or one.expires < now:
                found[name] = session_gone(name, one.gone or "its time to live is over")
            elif one.model != self.identity:
                self._leave(name)
                found[name] = ApiError(
                    409, "other_model", f"the session {name!r:.100} is of other weights or another precision"
                )
            else:
                usable.append(one)
        if usable:
            for live in self.restore(usable):
                found[live.id] = self._live[live.id] = live
            self._make_room(set(found))
        return taken.elsewhere

    def free(self, live: L, position: int | None = None) -> L:
        """The session, if nobody moves it on and it stands where the caller thinks.

        Raises:
            ApiError: it is busy, or at another position.
        """
        if live.busy:
            raise session_busy(live.id, live.position)
        if position is not None and position != live.position:
            raise wrong_position(live.id, position, live.position)
        return live

    # ---- their beginning and end

    def admit(self, live: L) -> None:
        """A new session."""
        self._live[live.id] = live
        self._ended.pop(live.id, None)
        if live.position:
            self.renew(live)
        else:
            self._note(Put(self._stored(live), 0))
        self._make_room(set())

    def end(self, live: L, why: str) -> None:
        """The end of a session."""
        self._note(Forget(live.id, why))
        self._ended[live.id] = why
        self.drop(live)

    def drop(self, live: L) -> None:
        """Forget a state in memory; the store has the one that counts."""
        self._live.pop(live.id, None)
        self.close(live)
        self._leave(live.id)

    def _leave(self, name: str) -> None:
        if self.store.shared:
            self._left.add(name)

    # ---- other servers

    def _hold(self, names: Sequence[str]) -> None:
        """Keep sessions for a moment until the others of the same call come, too.

        Two servers that want the same two sessions would else swap them for ever. By chance one waits longer,
        and each time they both wait longer than before.
        """
        if not names:
            return
        until = time.monotonic() + random.uniform(*_HELD_SECONDS) * 2**self._rounds
        self._rounds = min(self._rounds + 1, _MOST_ROUNDS)
        self._held = {name: end for name, end in self._held.items() if end > time.monotonic()}
        for name in names:
            self._held.setdefault(name, until)

    def give_away(self) -> None:
        """Let other servers have what they ask for, and drop what they have by now."""
        if not self.store.shared:
            return
        try:
            if (epoch := self.store.epoch()) != self._epoch:
                # This server did not renew its lease in time.
                self.moved_away(set(self.store.lost(list(self._live))))
                self._epoch = epoch
            self._give()
            self._unsure = None
        except ApiError as error:
            # Nobody knows whose the sessions are.
            self._unsure = error

    def _give(self) -> None:
        given = []
        for name in self.store.wanted(self.identity):
            live = self._live.get(name)
            if live is None:
                self._left.add(name)
            elif live.busy:
                self.store.keep(name, live.position)
            elif self._held.get(name, 0.0) < time.monotonic():
                given.append(live)
        self._changes += self.snapshots(
            [live for live in given if live.position - live.saved_position > _REPLAYED_ELSEWHERE]
        )
        for live in given:
            self.drop(live)

    def moved_away(self, names: set[str]) -> None:
        """Other servers have these sessions: what is known of them here no longer counts."""
        for name in names:
            live = self._live.get(name)
            # A busy one, which a row still has, ends with its next commit.
            if live is not None and not live.busy:
                self.drop(live)

    def _make_room(self, needed: set[str]) -> None:
        """Let the sessions go that were used least recently, where there are too many in memory."""
        over = len(self._live) - self._most_live
        if over <= 0:
            return
        # A few more than must go, so that their snapshots are taken together.
        enough = max(over, min(_AT_ONCE, self._most_live // 8))
        stay = needed | self._unwritten
        able = (live for live in self._live.values() if not live.busy and live.id not in stay)
        idle = list(islice(able, enough))
        self._changes += self.snapshots([live for live in idle if _has_changed(live) or live.keep_from >= 0])
        for live in idle:
            self._tell_time(live)
            self.drop(live)

    def expire(self) -> None:
        """End the sessions whose time has come."""
        now = time.time()
        # What is in memory may have been used since its time was written.
        for live in list(self._live.values()):
            if live.expires < now and not live.busy:
                self.end(live, "its time to live is over")
            else:
                self._tell_time(live)
        try:
            self.store.expire(now, self._live)
        except ApiError as error:  # it is tried again, and calls that change nothing go on
            log.warning("sessions that are over could not be removed: %s", error)

    def _tell_time(self, live: L) -> None:
        """Have the store know when a session's time is over where calls have only looked at it since."""
        if live.is_touched:
            self._changes.append(Touch(live.id, live.touched()))

    # ---- what the store is told

    @property
    def changes(self) -> Sequence[Change]:
        """What calls of this tick have left to be committed so far."""
        return self._changes

    def _note(self, *changes: Change) -> None:
        """Have something committed at the end of the tick."""
        self._changes += changes
        self._unwritten.update(one.id for one in changes)

    def read(self, live: L, entry: Entry) -> None:
        """A call has moved a session on."""
        self._note(Append(live.id, entry, live.touched()))
        self.moved(live)

    def moved(self, live: L) -> None:
        """The journal of a session has become longer."""
        self._moved.append(live)

    def _stored(self, live: L) -> StoredSession:
        return StoredSession(live.id, self.identity, live.facts, None, live.position, expires=live.expires)

    def snapshots(self, lives: Sequence[L]) -> list[Change]:
        """New snapshots of sessions, which replace their journals."""
        if not lives:
            return []
        changes: list[Change] = []
        for live, (content, facts) in zip(lives, self.content(lives), strict=True):
            stored = self._stored(live)
            stored.facts = {**live.facts, **facts, "keep_from": live.keep_from}
            stored.snapshot = content
            live.saved_position, live.is_touched = live.position, False
            changes.append(Put(stored, live.position if live.keep_from < 0 else live.keep_from))
        return changes

    def renew(self, live: L) -> None:
        """The session stands elsewhere than its journal says: a new snapshot replaces that."""
        self._note(*self.snapshots([live]))

    def take_changes(self, every: int) -> list[Change]:
        """What calls have left to be committed, with snapshots of sessions whose journals are so long."""
        due = {live.id: live for live in self._moved if live.position - live.saved_position >= every}
        self._moved = []
        lives = [live for live in due.values() if not live.busy and live.id in self._live]
        changes, self._changes = self._changes, []
        return changes + self.snapshots(lives) + self._releases()

    def _releases(self) -> list[Change]:
        if not self._left:
            return []
        left, self._left = self._left, set()
        return [Release(name) for name in left if name not in self._live]

    def take_all(self) -> list[Change]:
        """The same, with snapshots of all that is ahead of its own."""
        changes, self._changes = self._changes, []
        changes += self.snapshots([live for live in self._live.values() if _has_changed(live)])
        if self.store.shared:
            self._left.update(self._live)
            self._live.clear()
        return changes + self._releases()

    def committed(self) -> None:
        """The store has all that was taken."""
        self._unwritten, self._ended = set(), {}

    def forget(self) -> None:
        """After a commit that failed: what is in memory may be ahead of the store."""
        for live in list(self._live.values()):
            self.drop(live)
        self._changes, self._moved = [], []
        self._unwritten, self._ended = set(), {}

    # ---- keys of calls

    def recorded(self, live: L, key: str, digest: str) -> dict[str, Any] | None:
        """The call that this key was given with before.

        Raises:
            ApiError: it was another call, or another one has moved the session on since it was broken off.
        """
        found = self._recalled(live, key)
        if found is None:
            return None
        call = json.loads(found.call)
        if call["digest"] != digest:
            raise ApiError(
                422, "key_reused", "this Idempotency-Key was given with another call", "Idempotency-Key"
            )
        if found.superseded or ("reply" not in call and not live.may_have_open_call):
            raise ApiError(
                409,
                "call_superseded",
                "the call was broken off, and another one has moved the session on since",
                facts={"position": live.position},
                headers={"x-should-retry": "false"},
            )
        return call

    def _recalled(self, live: L, key: str) -> Recalled | None:
        """What is known of a call, also where it came with this tick."""
        for one in reversed(self._changes if live.id in self._unwritten else ()):
            if isinstance(one, Remember) and (one.id, one.key) == (live.id, key):
                return Recalled(one.call, superseded=False)
        return self.store.recall(live.id, key)

    def record(self, live: L, key: str, digest: str, reply: dict[str, Any]) -> None:
        """Note what the call with this key was answered."""
        call = json.dumps({"digest": digest, "reply": reply})
        self._note(Remember(live.id, key, call, done=True))

    def begin_call(self, live: L, key: str, call: dict[str, Any]) -> None:
        """Note that a call with this key has begun; the journal from here on is kept for it."""
        live.keep_from, live.may_have_open_call = live.position, True
        self._note(Remember(live.id, key, json.dumps(call), done=False))

    def supersede(self, live: L) -> None:
        """Another call begins: one that was broken off can no longer be taken up."""
        if live.may_have_open_call:
            self._note(Supersede(live.id))
            live.may_have_open_call, live.keep_from = False, -1


def _has_changed(live: Live) -> bool:
    return live.position > live.saved_position
