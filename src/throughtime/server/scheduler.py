"""One thread for each model: it moves all its streams on, a tick at a time.

A tick begins the calls that wait, reads a piece of every prompt, draws for every stream that writes, commits
what sessions took in, and tells the event loop once. Streams join and leave at every tick. Nobody is told of
anything before the store has it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from throughtime.errors import ThroughtimeError
from throughtime.server.errors import (
    ApiError,
    ElsewhereError,
    overloaded,
    session_moved,
    shutting_down,
)
from throughtime.server.outlet import Outlet
from throughtime.server.postponed import Postponed
from throughtime.server.rows import Job, News, Row
from throughtime.server.store import Change, Store

if TYPE_CHECKING:
    from throughtime.server.metrics import Metrics
    from throughtime.server.text_model import TextModel
    from throughtime.server.text_sessions import TextSessions

T = TypeVar("T")

log = logging.getLogger("throughtime.server")

# The steps of a tick are to take about so long, in seconds of this thread's own time, without what it waits
# for the event loop: an event a stream in that time is fast enough for any reader, and what a tick costs
# besides its steps is shared by several.
_TICK_SECONDS = 0.010
# So few streams get an event for every token.
_FEW = 4
_MOST_STEPS = 32
# Tokens of prompts that a tick reads: at first, and at least.
_READ_AT_FIRST, _READ_AT_LEAST, _READ_AT_MOST = 1024, 64, 16_384


@dataclass(frozen=True)
class Limits:
    """How much a server takes on.

    Args:
        streams: that write or read at once, for each model.
        queue: calls that wait for their turn, for each model.
        memory: bytes of the states of sessions that are kept in memory, for each model.
        deadline: seconds that a call may take.
        snapshot_every: tokens of a session's journal, after which its state is written.
        time_to_live: seconds after its last call for which a session is kept.
    """

    streams: int = 256
    queue: int = 1024
    memory: int = 256 * 2**20
    deadline: float = 300.0
    snapshot_every: int = 256
    time_to_live: float = 24 * 3600.0


@dataclass(eq=False)
class _Call:
    """Something that the thread is to do between two ticks."""

    work: Callable[[], Any]
    future: Future[Any]
    without: Callable[[Any, set[str]], Any] | None


class Scheduler:
    """The thread of one model.

    Args:
        model: what it computes; only this thread touches it once it runs.
        sessions: those of the model.
        store: what sessions are committed to.
        limits: of this server.
        metrics: what it counts.
    """

    def __init__(
        self, model: TextModel, sessions: TextSessions, store: Store, limits: Limits, metrics: Metrics
    ) -> None:
        self.name = model.name
        self.model = model
        self.sessions = sessions
        self.limits = limits
        self._store = store
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: deque[_Call] = deque()
        self._jobs: deque[Job] = deque()
        self._rows: list[Row] = []
        self._wakes = threading.Event()
        self._draining = False
        self._stops = False
        self._step_seconds = self._token_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=f"model {model.name}", daemon=True)
        self._told: list[tuple[Outlet, Any, int]] = []
        self._answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        # Of calls that are answered in this tick: what they change, where servers share the store.
        self._touched: list[tuple[int, _Call, set[str]]] = []
        self._postponed = Postponed()

    # ---- called in the event loop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work."""
        self._loop = loop
        self._store.watch(self._hear)
        self._thread.start()

    async def call(self, work: Callable[[], T], without: Callable[[T, set[str]], T] | None = None) -> T:
        """What `work` gives, which the model's thread does between two ticks; told once it is committed.

        Args:
            work: is done again where other servers turn out to have its sessions.
            without: where they have some of them: makes an answer of `work`'s and of their names.
        Raises:
            ApiError: the queue is full, or the server drains; and what `work` raises.
        """
        self._admit(len(self._calls))
        future: Future[T] = Future()
        self._calls.append(_Call(work, future, without))
        self._wakes.set()
        return await asyncio.wrap_future(future)

    def submit(self, job: Job) -> None:
        """Have a job's streams written; what comes of it goes to its outlet.

        Raises:
            ApiError: the queue is full, or the server drains.
        """
        self._admit(len(self._jobs))
        job.outlet.drained = self.wake
        self._jobs.append(job)
        self._wakes.set()

    def wake(self) -> None:
        """Something changed that the thread looks at: a reader caught up, or went away."""
        self._wakes.set()

    def _hear(self) -> None:
        """Another server asks for a session, or has answered."""
        self._postponed.all_due = True
        self._wakes.set()

    def _admit(self, waiting: int) -> None:
        if self._draining:
            raise shutting_down()
        if waiting >= self.limits.queue:
            self._metrics.refused.inc()
            raise overloaded()

    @property
    def load(self) -> tuple[int, int]:
        """Streams that are being moved on, and calls that wait."""
        return len(self._rows), len(self._jobs) + len(self._calls) + len(self._postponed)

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what runs come to its end for so long, save the sessions, and stop."""
        self._draining = True
        end = time.monotonic() + seconds
        while (self._rows or self._jobs or self._calls or len(self._postponed)) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        self._stops = True
        self._wakes.set()
        while self._thread.is_alive():
            await asyncio.sleep(0.01)

    # ---- the thread

    def _run(self) -> None:
        next_expiry = 0.0
        while True:
            if not (self._calls or self._next_fits() or self._movable()):
                # Deadlines and times to live pass also while nobody calls.
                self._wakes.wait(self._postponed.wait(0.5 if self._rows else 5.0))
            self._wakes.clear()
            try:
                if self._stops:
                    self._leave()
                    return
                if time.monotonic() > next_expiry:
                    next_expiry = time.monotonic() + 10.0
                    self.sessions.expire()
                self._tick()
            except Exception as error:  # a fault of ours, or of the disk, with which this tick's streams end
                self._fail(error)
            self._tell()

    def _movable(self) -> bool:
        return any(row.wants_move for row in self._rows)

    def _tick(self) -> None:
        changes: list[Change] = []
        begin = time.monotonic()
        self._drop(begin)
        self.sessions.give_away()
        for one in self._postponed.due(begin):
            self._again(one)
        self._answer_calls(begin)
        self._begin_jobs(begin)
        self._read()
        self._draw()
        for row in self._rows:
            if row.has_news or row.reason:
                row.collect(changes)
        # A call that writes for long is no reason to read all of it once more after a crash.
        changes += self.sessions.snapshots([row.live for row in self._rows if row.live and self._is_due(row)])
        try:
            refused = self._store.commit(self.sessions.take_changes(self.limits.snapshot_every) + changes)
        except ApiError as error:
            self._store_failed(error)
        else:
            self.sessions.committed()
            if refused:
                self._moved_away(refused)
        still = []
        for row in self._rows:
            if row.has_news or row.reason:
                self._told.append((row.job.outlet, *row.news()))
            if row.reason:
                self.sessions.release(row)
            else:
                still.append(row)
        self._rows = still
        self._metrics.tick(self.model.name, time.monotonic() - begin)

    def _is_due(self, row: Row) -> bool:
        live = row.live
        if live is None or row.atomic or row.reason:
            return False
        return live.position - live.saved_position >= self.limits.snapshot_every

    def _drop(self, now: float) -> None:
        """End the streams, and the calls that wait, whose reader is gone or whose time is over."""
        for job in list(self._jobs):  # a copy, as the event loop may add to it
            if job.outlet.closed:
                self._jobs.remove(job)
            elif now > job.deadline:
                self._jobs.remove(job)
                self._refuse(job, ApiError(504, "deadline", "the call waited longer than its deadline"))
        still = []
        for row in self._rows:
            if row.job.outlet.closed:
                self._metrics.disconnected.inc()
                self.sessions.abandon(row)
            elif now > row.job.deadline:
                self._refuse(row.job, ApiError(504, "deadline", "the call took longer than its deadline"))
                self.sessions.abandon(row)
            else:
                still.append(row)
        self._rows = still

    def _again(self, one: _Call | Job) -> None:
        if isinstance(one, _Call):
            self._calls.appendleft(one)
        else:
            self._jobs.appendleft(one)

    def _answer_calls(self, now: float) -> None:
        self._touched = []
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            begin = len(self.sessions.changes)
            try:
                self._answers.append((call.future, call.work(), None))
                if self._store.shared:
                    ids = {change.id for change in self.sessions.changes[begin:]}
                    self._touched.append((len(self._answers) - 1, call, ids))
            except ElsewhereError as error:
                if not self._postponed.add(call, now):
                    self._answers.append((call.future, None, error))
            except ThroughtimeError as error:
                self._answers.append((call.future, None, error))
            except Exception as error:  # a fault of ours, which is no reason to end the others' streams
                log.exception("a call of %s failed", self.model.name)
                self._answers.append((call.future, None, failed(error)))

    def _moved_away(self, refused: set[str]) -> None:
        """Other servers have these sessions: nothing of this tick was written of them."""
        still = []
        for row in self._rows:
            if row.live is None or row.live.id not in refused:
                still.append(row)
                continue
            self.sessions.drop(row.live)
            if row.streams:
                self._refuse(row.job, session_moved(row.live.id))
            else:  # nobody was told anything: once more from the beginning, where the session is by now
                self._jobs.appendleft(row.job)
        self._rows = still
        self.sessions.moved_away(refused)
        again = []
        for place, call, ids in self._touched:
            if ids.isdisjoint(refused):
                continue
            future, value, _ = self._answers[place]
            if call.without is not None:
                self._answers[place] = (future, call.without(value, refused), None)
            elif ids <= refused:
                again.append(place)
                self._calls.append(call)
            else:
                self._answers[place] = (future, None, session_moved(min(ids & refused)))
        for place in reversed(again):
            del self._answers[place]

    def _store_failed(self, error: ApiError) -> None:
        """Nothing of this tick was written, or nobody knows: what is in memory no longer counts."""
        log.warning("%s: %s", self.model.name, error)
        for row in self._rows:
            if row.live is not None:
                self._refuse(row.job, error)
                self.sessions.drop(row.live)
        self._rows = [row for row in self._rows if row.live is None]
        self._answers = [(future, None, error) for future, _, _ in self._answers]
        self.sessions.forget()

    def _next_fits(self) -> bool:
        """Whether there is room for the call that waits first."""
        room = self.limits.streams - len(self._rows)
        return bool(self._jobs) and (not self._rows or self._jobs[0].rows_wanted <= room)

    def _begin_jobs(self, now: float) -> None:
        while self._next_fits():
            job = self._jobs.popleft()
            try:
                begun = job.begin(self.model, self.sessions)
                if isinstance(begun, News):
                    self._told.append((job.outlet, begun, 0))
                else:
                    self._rows += begun
            except ElsewhereError as error:
                if not self._postponed.add(job, now):
                    self._refuse(job, error)
            except ThroughtimeError as error:
                self._refuse(job, error)
            except Exception as error:  # a fault of ours, which is no reason to end the others' streams
                log.exception("a call of %s could not begin", self.model.name)
                self._refuse(job, failed(error))

    def _refuse(self, job: Job, error: Exception) -> None:
        self._told.append((job.outlet, error, 0))

    def _read(self) -> None:
        """A piece of every prompt, so that a long one stalls nobody."""
        reading = [row for row in self._rows if len(row.reads)]
        if not reading:
            return
        budget = _READ_AT_FIRST
        if self._token_seconds:
            alone = not any(row.limit and not len(row.reads) for row in self._rows)
            seconds = _TICK_SECONDS * (4 if alone else 1)
            budget = min(max(int(seconds / self._token_seconds), _READ_AT_LEAST), _READ_AT_MOST)
        # The shortest first: what they leave of their share is the others'.
        reading.sort(key=lambda row: len(row.reads))
        lengths = []
        for place, row in enumerate(reading):
            share = max(budget // (len(reading) - place), 1)
            lengths.append(min(len(row.reads), share))
            budget -= lengths[-1]
            if budget <= 0:
                break
        begin = time.thread_time()
        self.model.read(reading[: len(lengths)], lengths)
        self._token_seconds = _slowly(self._token_seconds, (time.thread_time() - begin) / sum(lengths))
        self._metrics.read.inc(sum(lengths))

    def _draw(self) -> None:
        drawing = [row for row in self._rows if row.wants_draw]
        if not drawing:
            return
        steps = self._steps(drawing)
        limits = np.array([min(row.limit, 1 if row.one_by_one else steps) for row in drawing], np.int64)
        begin = time.thread_time()
        drawn = self.model.draw(drawing, limits)
        most = int(limits.max())
        self._step_seconds = _slowly(self._step_seconds, (time.thread_time() - begin) / most)
        self._metrics.drawn.inc(drawn)

    def _steps(self, drawing: list[Row]) -> int:
        """Tokens that each stream draws in this tick."""
        if self._next_fits() or not self._step_seconds:
            return 1
        if len(drawing) <= _FEW and any(row.streams for row in drawing):
            return 1
        return min(max(int(_TICK_SECONDS / self._step_seconds), 1), _MOST_STEPS)

    def _tell(self) -> None:
        told, self._told = self._told, []
        answers, self._answers = self._answers, []
        if (told or answers) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, told, answers)

    def _fail(self, error: Exception) -> None:
        log.exception("a tick of %s failed", self.model.name)
        said = failed(error)
        jobs = {id(row.job): row.job for row in self._rows}
        self._told += [(job.outlet, said, 0) for job in jobs.values()]
        self._answers = [(future, None, said) for future, _, _ in self._answers]
        for row in self._rows:
            self.sessions.abandon(row)
        self._rows = []
        self.sessions.forget()

    def _leave(self) -> None:
        """The last thing that the thread does: streams end where they are, and sessions are saved."""
        for row in self._rows:
            self._refuse(row.job, shutting_down())
            self.sessions.abandon(row)
        for one in self._postponed.due(float("inf")):
            self._again(one)
        for job in self._jobs:
            self._refuse(job, shutting_down())
        self._answers += [(call.future, None, shutting_down()) for call in self._calls]
        self._rows = []
        self._jobs.clear()
        self._calls.clear()
        try:
            self._store.commit(self.sessions.take_all())
        except Exception:
            log.exception(
                "the sessions of %s could not be saved once more: their journals are", self.model.name
            )
        self._tell()


def _deliver(
    told: list[tuple[Outlet, Any, int]], answers: list[tuple[Future[Any], Any, BaseException | None]]
) -> None:
    for outlet, piece, size in told:
        outlet.put(piece, size)
    settle(answers)


def settle(answers: list[tuple[Future[Any], Any, BaseException | None]]) -> None:
    """Tell those who wait what became of their calls. In the event loop."""
    for future, value, error in answers:
        if future.cancelled() or not future.set_running_or_notify_cancel():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def failed(error: Exception) -> ApiError:
    """The answer to calls that a fault of the server or of the disk has ended."""
    if isinstance(error, OSError):
        return ApiError(507, "disk_failed", f"the server could not write or read a file: {error}")
    return ApiError(500, "internal_error", f"the server could not go on: {type(error).__name__}")


def _slowly(mean: float, value: float) -> float:
    """A mean that follows: one slow tick does not decide about the next ones."""
    return value if not mean else 0.8 * mean + 0.2 * value
