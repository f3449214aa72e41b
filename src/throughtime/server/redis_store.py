"""Sessions in Redis, which several servers share: any of them goes on with any session.

One server has a session at a time. Redis checks what it writes against the session's lease: HOLDER:FENCE, a
number that every change of hands makes larger. A server that was held up, and whose session went to another
one meanwhile, is refused, however late its write comes. A server has one lease for all of its sessions, a key
that it renews, and that ends when it does not.
"""

from __future__ import annotations

import json
import secrets
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.extras import install_command
from throughtime.server.errors import store_unreachable
from throughtime.server.redis_durability import durability_of
from throughtime.server.redis_scripts import CHECK, COMMIT, DISOWN, ENTRY, ENTRY_BYTES, TAKE
from throughtime.server.store import (
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

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError:
    raise MissingExtraError(f"--store redis:// needs redis: {install_command('redis', 'redis')}") from None

_LEASE_SECONDS = 5.0
_SHORTEST_LEASE = 0.1
# A server that does not answer holds the thread of a model up, and all of its streams.
_ANSWER_SECONDS, _CONNECT_SECONDS = 5.0, 2.0
# After a failure calls are refused for so long without another try, which may take _CONNECT_SECONDS.
_PAUSE_SECONDS = 0.25
# An answer "busy" holds for so long: it comes a moment after the question.
_BUSY_SECONDS = 1.0
_AT_ONCE = 1024
_ENTRY = struct.Struct(ENTRY)
# Changes with the keys and the entries, so that no server reads another's.
_FORMAT = 2


class RedisStore:
    """A Redis that servers share.

    Args:
        address: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS. `?lease=SECONDS` says
            for how long a server that does not answer keeps its sessions, `?prefix=NAME` how keys begin.
        durable: refuse a Redis that may lose what it acknowledged.
    Raises:
        OptionError: the address is wrong, or Redis keeps less than `durable` asks for.
        RunError: Redis cannot be reached.
    """

    shared = True

    def __init__(self, address: str, durable: bool = False) -> None:
        bare, given = _parted(address)
        self.lease = _lease(given.pop("lease", ""))
        self._prefix = f"{given.pop('prefix', 'throughtime')}:{_FORMAT}:"
        self.holder = secrets.token_hex(6)
        try:
            # Nothing is sent twice: a commit whose answer is lost may have been done.
            self._redis = redis.Redis.from_url(
                f"{bare}?{urlencode(given)}" if given else bare,
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=_CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            shown = _without_password(bare)
        except (ValueError, TypeError) as error:
            raise OptionError(f"--store {_without_password(bare):.100}: {error}") from None
        # Of what this server has: the fence, the model, and when it ends as far as Redis knows.
        self._leases: dict[str, tuple[int, str, float]] = {}
        # Of those that are being taken, nobody knows yet whether this server has them.
        self._taking: set[str] = set()
        self._turns = threading.Lock()
        self._wanted: dict[str, str] = {}
        self._busy: dict[str, tuple[int, float]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._fails_until = 0.0
        self._renewed, self.epoch_number = 0.0, 0
        self._ends = threading.Event()
        try:
            self._commit, self._take, self._check, self._disown = (
                self._redis.register_script(script) for script in (COMMIT, TAKE, CHECK, DISOWN)
            )
            self._renew()
            self.durability = durability_of(self._redis, shown, durable)
        except redis.RedisError as error:
            raise RunError(f"--store {shown}: Redis cannot be used: {error}") from None
        self._thread = threading.Thread(target=self._listen, name="redis leases", daemon=True)
        self._thread.start()

    # ---- leases

    def _renew(self) -> None:
        begin = time.monotonic()
        self._redis.set(f"{self._prefix}server:{self.holder}", "1", px=int(self.lease * 1000))
        if begin - self._renewed > self.lease:
            self.epoch_number += 1
        self._renewed = begin

    def epoch(self) -> int:
        """A number that changes where leases may have ended without this server's doing: see `lost`."""
        if time.monotonic() - self._renewed > self.lease:
            # Before anything else is done with a session: this process may have been held up for long.
            with self._errors():
                self._renew()
        return self.epoch_number

    def lost(self, ids: Sequence[str]) -> list[str]:
        """Those of these sessions that this server no longer has."""
        known = [(id, self._leases[id][0]) for id in ids if id in self._leases]
        lost: list[str] = []
        for first in range(0, len(known), _AT_ONCE):
            some = known[first : first + _AT_ONCE]
            with self._errors():
                places = self._check(
                    args=[self._prefix, self.holder, *(f"{fence} {id}" for id, fence in some)]
                )
            lost += [some[place - 1][0] for place in places]
        for id in lost:
            self._leases.pop(id, None)
        return lost

    def wanted(self, model: str) -> list[str]:
        """Sessions of a model that other servers ask for."""
        if not self._wanted:
            return []
        # A list of it first: the thread that listens may add to it.
        return [id for id in list(self._wanted) if id in self._leases and self._leases[id][1] == model]

    def keep(self, id: str, position: int) -> None:
        """Tell whoever wants a session that a call is moving it on."""
        to = self._wanted.pop(id, None)
        if to is not None:
            with self._errors():
                self._redis.publish(f"{self._prefix}to:{to}", f"busy {position} {id}")

    def watch(self, wake: Callable[[], None]) -> None:
        """Have `wake` called where another server wants something, or has given it."""
        self._watchers.append(wake)

    def _listen(self) -> None:
        """The thread that renews the lease, and hears what other servers say."""
        hears = None
        while not self._ends.is_set():
            try:
                if hears is None:
                    hears = self._redis.pubsub(ignore_subscribe_messages=True)
                    hears.subscribe(f"{self._prefix}to:{self.holder}")
                due = self._renewed + self.lease / 3 - time.monotonic()
                message = hears.get_message(timeout=max(due, 0.001))
                if time.monotonic() >= self._renewed + self.lease / 3:
                    self._renew()
                if message is not None:
                    self._hear(message["data"].decode())
            except (redis.RedisError, OSError, ValueError):
                hears = None  # the thread must not end: the lease would, too
                self._ends.wait(min(_PAUSE_SECONDS, self.lease / 3))

    def _hear(self, message: str) -> None:
        what, about, *id = (*message.split(" ", 2), "", "")
        if what == "want":
            with self._turns:
                if id[0] in self._leases or id[0] in self._taking:
                    self._wanted[id[0]] = about
                else:
                    # Taken, and not heard of: the connection may have broken in between.
                    self._disown(args=[self._prefix, self.holder, id[0], about])
        elif what == "busy":
            self._busy[id[0]] = (int(about), time.monotonic())
        for wake in self._watchers:
            wake()

    # ---- sessions

    def take(self, ids: Sequence[str]) -> Taken:
        """Load sessions, and have them from here on. Another server that has some of them is asked."""
        taken = Taken({}, set(), {})
        with self._turns:
            self._taking.update(ids)
        try:
            for first in range(0, len(ids), _AT_ONCE):
                self._take_some(ids[first : first + _AT_ONCE], taken)
        finally:
            self._taking.difference_update(ids)
            for id in ids if self._wanted else ():
                if id not in self._leases:
                    self._wanted.pop(id, None)
        return taken

    def _take_some(self, ids: Sequence[str], taken: Taken) -> None:
        with self._errors():
            found = self._take(args=[self._prefix, self.holder, repr(time.time()), *ids])
        for id, one in zip(ids, found, strict=True):
            if one == 1:
                self._say_elsewhere(id, taken)
            elif one:
                fence, stored = one[0], _stored(id, one[1:])
                taken.sessions[id] = stored
                self._busy.pop(id, None)
                if fence:
                    self._leases[id] = (fence, stored.model, stored.expires)

    def _say_elsewhere(self, id: str, taken: Taken) -> None:
        position, said = self._busy.pop(id, (0, 0.0))
        if time.monotonic() - said < _BUSY_SECONDS:
            taken.busy[id] = position
        else:
            taken.elsewhere.add(id)

    def load(self, ids: Sequence[str]) -> dict[str, StoredSession]:
        """Read sessions that this server has."""
        with self._errors(), self._redis.pipeline(transaction=True) as pipe:
            for id in ids:
                pipe.hmget(self._key("s", id), "model", "facts", "position", "expires", "gone")
                pipe.mget(self._key("n", id), self._key("j", id))
            replies = pipe.execute()
        found = {}
        for place, id in enumerate(ids):
            (model, facts, position, expires, gone), (snapshot, journal) = replies[2 * place : 2 * place + 2]
            if model is not None:
                found[id] = _stored(id, (model, facts, snapshot, position, journal or b"", expires, gone))
        return found

    def commit(self, changes: Sequence[Change]) -> set[str]:
        if not changes:
            return set()
        order: dict[str, list[Change]] = {}
        for one in changes:
            order.setdefault(one.id, []).append(one)
        arguments: list[Any] = [self._prefix, self.holder]
        written: list[str] = []
        made: list[str] = []
        ends: dict[str, float] = {}
        for id, some in order.items():
            lease = self._leases.get(id)
            if lease is not None:
                fence = str(lease[0])
            elif any(isinstance(one, Put) for one in some):
                fence = ""
                made.append(id)
            elif all(isinstance(one, Release) for one in some):
                continue
            elif all(isinstance(one, Remember | Supersede) for one in some):
                fence = "-"
            else:
                # It was lost meanwhile, which the script is to say.
                fence = "0"
            parts, count = self._written(some, 0.0 if lease is None else lease[2], ends)
            arguments.append(f"{fence} {count} {id}")
            arguments += parts
            written.append(id)
        if not written:
            return set()
        with self._errors():
            places, minted = self._commit(args=arguments)
        refused = {written[place - 1] for place in places}
        for id, fence in zip(made, minted, strict=True):
            if fence:
                self._leases[id] = (fence, _model(order[id]), ends.get(id, 0.0))
        for id in refused:
            self._leases.pop(id, None)
        for id, expires in ends.items():
            if id in self._leases:
                self._leases[id] = (*self._leases[id][:2], expires)
        for id, some in order.items():
            if isinstance(some[-1], Release | Forget):
                self._leases.pop(id, None)
                self._wanted.pop(id, None)
        return refused

    def _written(
        self, changes: Sequence[Change], known: float, ends: dict[str, float]
    ) -> tuple[list[Any], int]:
        """Changes of one session as arguments of the script, and how many they are."""
        written: list[Any] = []
        count = 0
        for one in changes:
            count += 1
            if isinstance(one, Append):
                written.append(b"A" + _packed(one.entry))
                if one.expires and one.expires != ends.get(one.id, known):
                    written.append(f"T{one.expires!r}")
                    ends[one.id] = one.expires
                    count += 1
            elif isinstance(one, Put):
                stored = one.session
                ends[one.id] = stored.expires
                snapshot = b"" if stored.snapshot is None else stored.snapshot
                written += ["P0" if stored.snapshot is None else "P1", stored.model, json.dumps(stored.facts)]
                written += [snapshot, stored.snapshot_position, repr(stored.expires), one.keep_from]
                written.append(b"".join(_packed(entry) for entry in stored.journal))
            elif isinstance(one, Remember):
                written += ["Rd" if one.done else "Ro", one.key, one.call]
            elif isinstance(one, Supersede):
                written.append("S")
            elif isinstance(one, Touch):
                written.append(f"T{one.expires!r}")
                ends[one.id] = one.expires
            elif isinstance(one, Forget):
                written += ["F" + one.why, int(1000 * (time.time() + REMEMBERED_SECONDS))]
            else:
                written.append("L" + self._wanted.get(one.id, ""))
        return written, count

    def recall(self, id: str, key: str) -> Recalled | None:
        with self._errors():
            found: Any = self._redis.hget(self._key("c", id), ":" + key)
        return None if found is None else Recalled(found[1:].decode(), found[:1] == b"s")

    def expire(self, now: float, live: Collection[str]) -> None:
        """Redis ends sessions by itself."""

    def count(self) -> int | None:
        return None

    def close(self) -> None:
        """Leave all sessions to the others."""
        self._ends.set()
        with suppress(redis.RedisError):  # it waits for news
            self._redis.publish(f"{self._prefix}to:{self.holder}", "end")
        self._thread.join(self.lease + _ANSWER_SECONDS)
        with suppress(redis.RedisError):  # else the lease ends by itself
            self._redis.delete(f"{self._prefix}server:{self.holder}")
        self._redis.close()

    def _key(self, kind: str, id: str) -> str:
        return f"{self._prefix}{kind}:{id}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say that Redis cannot be reached, or does not do what it is told to."""
        if time.monotonic() < self._fails_until:
            raise store_unreachable("Redis did not answer a moment ago")
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self._fails_until = time.monotonic() + _PAUSE_SECONDS
            raise store_unreachable(f"Redis does not answer as it should: {error}") from None


def _packed(entry: Entry) -> bytes:
    head = _ENTRY.pack(entry.position, entry.count, entry.width, entry.drawn, entry.resets)
    return head + entry.tokens


def _entries(journal: bytes) -> list[Entry]:
    entries = []
    at = 0
    while at < len(journal):
        position, count, width, drawn, resets = _ENTRY.unpack_from(journal, at)
        at += ENTRY_BYTES
        end = at + 4 * count * width
        entries.append(Entry(position, drawn, journal[at:end], bool(resets), width))
        at = end
    return entries


def _stored(id: str, found: Sequence[Any]) -> StoredSession:
    model, facts, snapshot, position, journal, expires, gone = found
    return StoredSession(
        id,
        model.decode(),
        json.loads(facts),
        snapshot,
        int(position),
        _entries(journal),
        float(expires),
        gone.decode(),
    )


def _model(changes: Sequence[Change]) -> str:
    return next(one.session.model for one in changes if isinstance(one, Put))


def _parted(address: str) -> tuple[str, dict[str, str]]:
    """An address without its query, and the query."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query="", fragment="")), dict(parse_qsl(parts.query))


def _lease(given: str) -> float:
    if not given:
        return _LEASE_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_LEASE <= seconds <= 3600:
        raise OptionError(f"--store ...?lease={given:.20}: seconds from {_SHORTEST_LEASE} to 3600")
    return seconds


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
