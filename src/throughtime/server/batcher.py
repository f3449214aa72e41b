"""One thread for each model that predicts: all requests that wait and can be done together are one batch.

What it computes does not depend on who shares the batch. Where the model also has sessions, what they took in
is committed before anybody is answered; and where another server has one of them, only its call waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from throughtime.errors import ThroughtimeError
from throughtime.server.errors import ApiError, ElsewhereError, overloaded, session_moved, shutting_down
from throughtime.server.postponed import Postponed
from throughtime.server.scheduler import Limits, failed, settle

if TYPE_CHECKING:
    from throughtime.server.frame_model import FrameModel
    from throughtime.server.frame_sessions import FrameSessions
    from throughtime.server.metrics import Metrics
    from throughtime.server.store import Store

T = TypeVar("T")

log = logging.getLogger("throughtime.server")

# Rows that are computed together: enough to fill the matrix products, few enough to answer soon.
_ROWS = 512
_EXPIRES_EVERY = 10.0


class Together(Hashable, Protocol):
    """Work that is done for several requests at once; equal ones share a batch."""

    def __call__(self, items: Sequence[Any], /) -> Sequence[Any]:
        """What each request is answered, in order: a value, or the error that refuses it."""
        ...


# What a call is answered: a value, or an error. None while it waits, to be done once more.
Answer = tuple[Any, BaseException | None] | None


@dataclass(eq=False)
class _Call:
    together: Together
    item: Any
    size: int
    deadline: float
    future: Future[Any]
    without: Callable[[Any, set[str]], Any] | None = None


class _Alone:
    """Work of one request."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def __call__(self, items: Sequence[Any]) -> Sequence[Any]:
        return [self._work()]


class Batcher:
    """The thread of one model.

    Args:
        name: of the model.
        limits: of this server.
        metrics: what it counts.
        model, sessions, store: where streams are followed, too; they are touched by this thread only.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        metrics: Metrics,
        model: FrameModel | None = None,
        sessions: FrameSessions | None = None,
        store: Store | None = None,
    ) -> None:
        self.name = name
        self.limits = limits
        self._metrics = metrics
        self._model, self._sessions, self._store = model, sessions, store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: deque[_Call] = deque()
        self._postponed = Postponed()
        self._wakes = threading.Event()
        self._draining = self._stops = self._works = False
        self._next_expiry = 0.0
        self._thread = threading.Thread(target=self._run, name=f"model {name}", daemon=True)

    # ---- called in the event loop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work."""
        self._loop = loop
        if self._store is not None:
            self._store.watch(self._hear)
        self._thread.start()

    def _hear(self) -> None:
        """Another server asks for a session, or has answered."""
        self._postponed.all_due = True
        self._wakes.set()

    @property
    def has_sessions(self) -> bool:
        """Whether streams can be followed."""
        return self._sessions is not None

    @property
    def model(self) -> FrameModel:
        """What its sessions are of."""
        assert self._model is not None
        return self._model

    @property
    def sessions(self) -> FrameSessions:
        """Those of the model."""
        assert self._sessions is not None
        return self._sessions

    async def ask(
        self,
        together: Together,
        item: Any,
        size: int = 1,
        without: Callable[[Any, set[str]], Any] | None = None,
    ) -> Any:
        """What the work gives for an item, whoever shares its batch.

        Args:
            together: the work; equal ones are called once for all their items. It is done once more for an
                item whose sessions another server has by then.
            item: of this request; where it moves a session on, its `id` is that of the session.
            size: rows of it.
            without: where other servers have only some of its sessions by then: makes an answer of what the
                work gave and of their names.
        Raises:
            ApiError: the queue is full, the server drains, or the deadline is over; and what the work raises.
        """
        if self._draining:
            raise shutting_down()
        if len(self._calls) >= self.limits.queue:
            self._metrics.refused.inc()
            raise overloaded()
        future: Future[Any] = Future()
        deadline = time.monotonic() + self.limits.deadline
        self._calls.append(_Call(together, item, size, deadline, future, without))
        self._wakes.set()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.deadline)
        except asyncio.TimeoutError:  # another class than TimeoutError before Python 3.11
            raise _too_late() from None

    async def call(self, work: Callable[[], T], without: Callable[[T, set[str]], T] | None = None) -> T:
        """What `work` gives, which the model's thread does between two batches; told once it is committed.

        Args:
            work: is done again where other servers turn out to have its sessions.
            without: as of `ask`.
        """
        return await self.ask(_Alone(work), None, without=without)

    @property
    def load(self) -> tuple[int, int]:
        """Batches that are computed, and calls that wait."""
        return int(self._works), len(self._calls) + len(self._postponed)

    async def drain(self, seconds: float) -> None:
        """Take nothing new, do what waits for so long, save the sessions, and stop."""
        self._draining = True
        end = time.monotonic() + seconds
        while (self._works or self._calls or len(self._postponed)) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        self._stops = True
        self._wakes.set()
        while self._thread.is_alive():
            await asyncio.sleep(0.01)

    # ---- the thread

    def _run(self) -> None:
        while not self._stops:
            if not self._calls:
                self._wakes.wait(self._postponed.wait(5.0))
            self._wakes.clear()
            self._works = True
            begin = time.monotonic()
            self._calls.extendleft(reversed(self._postponed.due(begin)))
            calls = self._take(begin)
            answers = self._answers(calls, begin)
            self._tell(
                [
                    (call.future, *answer)
                    for call, answer in zip(calls, answers, strict=True)
                    if answer is not None
                ]
            )
            self._works = False
            if calls:
                self._metrics.tick(self.name, time.monotonic() - begin)
        self._leave()

    def _take(self, now: float) -> list[_Call]:
        """The calls that are done next: those that nobody gave up, in their order, up to so many rows."""
        taken: list[_Call] = []
        rows = 0
        while self._calls and (not taken or rows + self._calls[0].size <= _ROWS):
            call = self._calls.popleft()
            if call.future.cancelled() or now > call.deadline:
                continue  # whoever waited for it has been told that it is too late
            taken.append(call)
            rows += call.size
        return taken

    def _answers(self, calls: Sequence[_Call], now: float) -> list[Answer]:
        """What each call is answered, once all of it is committed."""
        found: list[Answer] = [None] * len(calls)
        # The sessions that each call has changed, where servers share the store.
        touched: list[set[str]] = [set()] * len(calls)
        waiting: set[int] = set()
        try:
            if self._sessions is not None:
                self._sessions.give_away()
            groups: dict[Together, list[int]] = {}
            for place, call in enumerate(calls):
                groups.setdefault(call.together, []).append(place)
            for together, places in groups.items():
                begin = self._changed()
                said = self._done(together, [calls[k].item for k in places])
                changed = self._changed_since(begin)
                for place, one in zip(places, said, strict=True):
                    call = calls[place]
                    if isinstance(one, ElsewhereError) and self._postponed.add(call, now):
                        waiting.add(place)
                        continue
                    found[place] = (None, one) if isinstance(one, BaseException) else (one, None)
                    touched[place] = changed if len(places) == 1 else changed & {getattr(call.item, "id", "")}
            refused = self._commit()
        except ApiError as error:  # of the store: nothing of this batch was written, or nobody knows
            log.warning("%s: %s", self.name, error)
            return self._failed(calls, waiting, error)
        except Exception as error:  # a fault of ours, or of the disk: nothing of this batch counts
            log.exception("a batch of %s failed", self.name)
            return self._failed(calls, waiting, failed(error))
        if refused:
            self._moved_away(calls, found, touched, refused)
        return found

    def _failed(self, calls: Sequence[_Call], waiting: set[int], error: BaseException) -> list[Answer]:
        if self._sessions is not None:
            self._sessions.forget()
        return [None if place in waiting else (None, error) for place in range(len(calls))]

    def _changed(self) -> int:
        return 0 if self._sessions is None else len(self._sessions.changes)

    def _changed_since(self, begin: int) -> set[str]:
        if self._sessions is None or self._store is None or not self._store.shared:
            return set()
        return {change.id for change in self._sessions.changes[begin:]}

    def _moved_away(
        self, calls: Sequence[_Call], found: list[Answer], touched: Sequence[set[str]], refused: set[str]
    ) -> None:
        """Other servers have these sessions: nothing of this batch was written of them."""
        self.sessions.moved_away(refused)
        again: list[_Call] = []
        for place, (call, answer, ids) in enumerate(zip(calls, found, touched, strict=True)):
            if answer is None or ids.isdisjoint(refused):
                continue
            if call.without is not None and answer[1] is None:
                found[place] = (call.without(answer[0], refused), None)
            elif ids <= refused:  # nobody was told anything: once more, where the session is by now
                found[place] = None
                again.append(call)
            else:
                found[place] = (None, session_moved(min(ids & refused)))
        self._calls.extendleft(reversed(again))

    def _done(self, together: Together, items: Sequence[Any]) -> Sequence[Any]:
        try:
            return together(items)
        except ThroughtimeError as error:
            return [error] * len(items)
        except Exception as error:
            if self._sessions is not None:
                raise
            log.exception("a batch of %s failed", self.name)
            return [failed(error)] * len(items)

    def _commit(self) -> set[str]:
        """Write what sessions took in; those that other servers have by now."""
        if self._sessions is None or self._store is None:
            return set()
        now = time.monotonic()
        if now > self._next_expiry:
            self._next_expiry = now + _EXPIRES_EVERY
            self._sessions.expire()
        refused = self._store.commit(self._sessions.take_changes(self.limits.snapshot_every))
        self._sessions.committed()
        return refused

    def _tell(self, answers: list[tuple[Future[Any], Any, BaseException | None]]) -> None:
        if answers and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle, answers)

    def _leave(self) -> None:
        """The last thing that the thread does."""
        self._calls.extendleft(reversed(self._postponed.due(float("inf"))))
        answers: list[Any] = [(call.future, None, shutting_down()) for call in self._calls]
        self._calls.clear()
        try:
            if self._sessions is not None and self._store is not None:
                self._store.commit(self._sessions.take_all())
        except Exception:
            log.exception("the sessions of %s could not be saved once more: their journals are", self.name)
        self._tell(answers)


def _too_late() -> ApiError:
    return ApiError(504, "deadline", "the call took longer than its deadline")
