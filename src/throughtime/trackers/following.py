"""Trackers beside a training: whatever becomes of them, the training goes on."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.run.history import finite_numbers, read_metrics
from throughtime.trackers import make_tracker
from throughtime.trackers.tracker import Tracker, names_for_trackers

KNOWN = "trackers.json"
# How long the end of a training waits for what is still to be sent.
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class KnownRun:
    """What is known of a run in a tracker.

    Args:
        run: what the tracker calls it.
        lines: how many lines of metrics.jsonl it has, at least.
    """

    run: str
    lines: int


class KnownRuns:
    """trackers.json of a run folder: each tracker's name for the run, and how far it has followed it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KNOWN
        self._lock = threading.Lock()

    def read(self) -> dict[str, KnownRun]:
        """By the trackers' names.

        Raises:
            RunError: the file is damaged.
        """
        return read_json(self._path, dict[str, KnownRun]) if self._path.exists() else {}

    def note(self, tracker: Tracker) -> None:
        """Write down what a tracker has."""
        if not tracker.run:
            return
        with self._lock:
            known = {**self.read(), tracker.name: KnownRun(tracker.run, tracker.lines)}
            content = json.dumps({name: asdict(one) for name, one in known.items()}, indent=1)
            write_atomically(self._path, content.encode())


class Trackers:
    """The trackers of a training. Nothing that one of them does raises an error here.

    Args:
        folder: the run folder.
        names: of trackers.
        config: every option, for the trackers to show.
        remark: called with a sentence where a tracker failed; it is left alone from then on.
        patience: seconds that `close` waits for one that is slow.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        config: Mapping[str, Any],
        remark: Callable[[str], None],
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._folder, self._names, self._config = folder, names, config
        self._remark, self._patience = remark, patience
        self._followers: list[_Follower] | None = None
        self._lines = 0

    def wrote(self, entry: Mapping[str, Any]) -> None:
        """metrics.jsonl has a new last line."""
        if not self._names:
            return
        if self._followers is None:
            # With what the file held before this training went on: a tracker may lack it.
            entries = read_metrics(self._folder)
            self._followers = list(self._begin(max(len(entries) - 1, 0)))
        else:
            entries = [finite_numbers(entry)]
        for place, numbers in enumerate(entries, self._lines):
            for follower in self._followers:
                follower.do(lambda tracker, place=place, numbers=numbers: log_line(tracker, place, numbers))
        self._lines += len(entries)
        self._tell()

    def artifact(self, path: Path) -> None:
        """A file of the run folder was written."""
        for follower in self._followers or () if path.exists() else ():
            follower.do(lambda tracker: tracker.artifact(path))
        self._tell()

    def close(self) -> None:
        """Wait until all is sent, for a while; closing twice is fine."""
        followers, self._followers = self._followers or [], None
        self._names = ()
        for follower in followers:
            follower.do(lambda tracker: tracker.finish())
        for follower in followers:
            follower.end(self._patience)
        self._tell(followers)

    def _begin(self, before: int) -> Iterator[_Follower]:
        known = KnownRuns(self._folder)
        for name in self._names:
            try:
                # TensorBoard's files are beside metrics.jsonl, and have what it had.
                one = known.read().get(name, KnownRun("", before if name == "tensorboard" else 0))
                tracker = make_tracker(name, self._folder, one.run, one.lines)
            # Libraries fail in all ways when they are imported, not only with an ImportError.
            except Exception as error:
                self._say(name, error)
                continue
            follower = (_Thread if tracker.has_thread else _Follower)(tracker, known)
            follower.do(lambda tracker: tracker.start(self._config))
            yield follower

    def _tell(self, followers: Sequence[_Follower] | None = None) -> None:
        for follower in self._followers or () if followers is None else followers:
            if follower.error is not None and not follower.told:
                follower.told = True
                self._say(follower.tracker.name, follower.error)

    def _say(self, name: str, error: BaseException) -> None:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        self._remark(
            f"{name} failed, and the training goes on without it: {reason}. metrics.jsonl has every number; "
            f"`throughtime track {self._folder} --to {name}` hands them on later"
        )


class _Follower:
    """One tracker, called at once.

    Attributes:
        error: that it failed with; nothing is asked of it after that.
        told: whether the user knows.
    """

    def __init__(self, tracker: Tracker, known: KnownRuns) -> None:
        self.tracker, self._known = tracker, known
        self.error: BaseException | None = None
        self.told = False

    def do(self, call: Callable[[Tracker], object]) -> None:
        """Have it do something, now or soon."""
        self._do(call)

    def end(self, patience: float) -> None:
        """Wait until it has done everything, or for as many seconds."""

    def _do(self, call: Callable[[Tracker], object]) -> None:
        if self.error is not None:
            return
        try:
            call(self.tracker)
        # Whatever it is: a tracker's trouble is not the training's. wandb leaves by SystemExit at times.
        except (Exception, SystemExit) as error:
            self.error = error


class _Thread(_Follower):
    """One tracker in a thread of its own, which may wait for a network as long as it likes."""

    def __init__(self, tracker: Tracker, known: KnownRuns) -> None:
        super().__init__(tracker, known)
        self._calls: queue.SimpleQueue[Callable[[Tracker], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"tracker {tracker.name}")
        self._thread.start()

    def do(self, call: Callable[[Tracker], object]) -> None:
        if self.error is None:
            self._calls.put(call)

    def end(self, patience: float) -> None:
        self._calls.put(None)
        self._thread.join(patience)
        if self._thread.is_alive() and self.error is None:
            self.error = TimeoutError(f"it was still sending {patience:g} seconds after the end")

    def _run(self) -> None:
        with errors_for_output():
            while (call := self._calls.get()) is not None:
                self._do(call)
                if self._calls.empty():
                    self._do(self._known.note)
            self._do(self._known.note)


def log_line(tracker: Tracker, place: int, numbers: Mapping[str, float]) -> None:
    """Hand on a line, unless the tracker has it."""
    if place >= tracker.lines:
        tracker.log(int(numbers.get("step", 0)), names_for_trackers(numbers))


@contextmanager
def errors_for_output() -> Iterator[None]:
    """What this thread prints goes to standard error: trackers greet, and standard output is for results."""
    with _apart_lock:
        if not _apart:
            sys.stdout = cast(TextIO, _Apart(sys.stdout))
        _apart.append(threading.get_ident())
    try:
        yield
    finally:
        with _apart_lock:
            _apart.remove(threading.get_ident())
            if not _apart and isinstance(sys.stdout, _Apart):
                sys.stdout = sys.stdout.output


# The threads whose output is kept apart.
_apart: list[int] = []
_apart_lock = threading.Lock()


class _Apart:
    """Standard output to all threads but those, which get standard error."""

    def __init__(self, output: TextIO) -> None:
        self.output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if threading.get_ident() in _apart else self.output, name)
