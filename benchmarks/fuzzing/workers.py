"""Processes that execute inputs, and what happens when one of them dies, hangs or grows."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import re
import resource
import selectors
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fuzzing.execution import (
    MOST_SECONDS,
    Executor,
    Outcome,
    limit_memory,
    resident_megabytes,
    scratch_folder,
    shorten_trainings,
)
from fuzzing.seeds import Seeds
from fuzzing.target import Target, draw

# A busy machine makes everything slow: what counts is the processor's time, unless an input only waits.
_MOST_WAITING = 60.0
_POLL_SECONDS = 0.2
# A process that has kept so much of earlier inputs makes way for a new one.
_WORN_OUT_MEGABYTES = 900
_FRAME = re.compile(r'File "(.*?)", line (\d+) in (\w+)')

Found = tuple[int, Target, Outcome]


class _State(NamedTuple):
    """What a worker tells its parent in shared memory, where it stays if the worker dies.

    Args:
        position: in the worker's share of the inputs.
        busy: 1 while the input there is being executed, 0 when it is done.
        since: when it began, of `time.monotonic`.
        processor: the seconds of the processor that the worker had used by then.
    """

    position: int
    busy: int
    since: float
    processor: float


_LAYOUT = struct.Struct("<qqdd")


@dataclass
class _Worker:
    pid: int
    share: Sequence[int]
    pipe: int
    slot: mmap.mmap
    log: Path
    killed: bool = False
    rest: bytes = b""

    @property
    def state(self) -> _State:
        return _State(*_LAYOUT.unpack(self.slot[: _LAYOUT.size]))


class Pool:
    """Executes inputs in several processes, each forked from this one, which has imported everything.

    Args:
        seeds, targets, seed: what inputs are made of.
        workers: how many processes.
    """

    def __init__(self, seeds: Seeds, targets: Sequence[Target], seed: int, workers: int) -> None:
        self._seeds, self._targets, self._seed, self._count = seeds, targets, seed, workers

    def run(self, numbers: Sequence[int], until: float = float("inf")) -> Iterator[Found]:
        """Execute inputs until there are no more, or the time has come; yields what became of each.

        Args:
            numbers: of the inputs.
            until: of `time.monotonic`.
        """
        workers: dict[int, _Worker] = {}
        with (
            tempfile.TemporaryDirectory(prefix="fuzz-", dir=scratch_folder()) as folder,
            selectors.DefaultSelector() as selector,
        ):

            def start(index: int, share: Sequence[int]) -> None:
                workers[index] = self._start(Path(folder) / str(index), share, until)
                selector.register(workers[index].pipe, selectors.EVENT_READ, index)

            for index in range(self._count):
                start(index, numbers[index :: self._count])
            try:
                while workers:
                    for key, _ in selector.select(_POLL_SECONDS):
                        worker = workers[key.data]
                        part = os.read(worker.pipe, 1 << 16)
                        yield from self._results(worker, part)
                        if part:
                            continue
                        selector.unregister(worker.pipe)
                        del workers[key.data]
                        yield from self._bury(worker)
                        rest = worker.share[worker.state.position + 1 :]
                        if rest and time.monotonic() < until:
                            start(key.data, rest)
                    for worker in workers.values():
                        _end_if_hanging(worker)
            finally:
                for worker in workers.values():
                    os.kill(worker.pid, signal.SIGKILL)
                    os.waitpid(worker.pid, 0)

    def _results(self, worker: _Worker, part: bytes) -> Iterator[Found]:
        *lines, worker.rest = (worker.rest + part).split(b"\n")
        for line in lines:
            number, values = json.loads(line)
            yield self._found(number, Outcome(**values))

    def _bury(self, worker: _Worker) -> Iterator[Found]:
        """The last input of a worker that has ended, where it was its end."""
        os.close(worker.pipe)
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if status and worker.state.position < 0:
            raise SystemExit(f"a worker ended before its first input: {worker.log.read_text()[-2000:]}")
        if worker.state.busy:
            yield self._found(worker.share[worker.state.position], _outcome_of_death(worker, status))

    def _found(self, number: int, outcome: Outcome) -> Found:
        return number, draw(number, self._seed, self._targets)[1], outcome

    def _start(self, folder: Path, share: Sequence[int], until: float) -> _Worker:
        reading, writing = os.pipe()
        slot = mmap.mmap(-1, mmap.PAGESIZE)
        slot[: _LAYOUT.size] = _LAYOUT.pack(*_State(-1, 0, 0.0, 0.0))
        folder.mkdir(exist_ok=True)

        def work() -> None:
            os.close(reading)
            self._work(share, until, slot, writing, folder)

        pid = _fork(work)
        os.close(writing)
        return _Worker(pid, share, reading, slot, folder / "log")

    def _work(self, share: Sequence[int], until: float, slot: mmap.mmap, results: int, folder: Path) -> None:
        """The life of a worker."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
        noise = os.open(folder / "log", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(noise, descriptor)
        # Writing a dead process's memory to the disk takes longer than a hundred inputs.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable(noise)
        faulthandler.register(signal.SIGUSR1, noise)
        limit_memory()
        shorten_trainings()
        executor = Executor(folder / "input", noise)
        for position, number in enumerate(share):
            if time.monotonic() > until:
                return
            # From here on: what cannot even be made has to be passed over as well, or it would be the first
            # input of every worker to come.
            slot[: _LAYOUT.size] = _LAYOUT.pack(position, 1, time.monotonic(), time.process_time())
            random, target = draw(number, self._seed, self._targets)
            outcome = executor.run(target.case(random, self._seeds))
            slot[: _LAYOUT.size] = _LAYOUT.pack(position, 0, 0.0, 0.0)
            os.write(results, json.dumps([number, outcome.as_json()]).encode() + b"\n")
            if outcome.megabytes > _WORN_OUT_MEGABYTES and resident_megabytes() > _WORN_OUT_MEGABYTES:
                return


def run_in_a_child(work: Callable[[], None]) -> None:
    """Call a function in a process of its own, whose threads and patches end with it.

    Raises:
        SystemExit: it raised.
    """
    if os.waitpid(_fork(work), 0)[1]:
        raise SystemExit(1)


def _fork(work: Callable[[], None]) -> int:
    """The number of a process that does this and ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except SystemExit as stop:
        print(stop.code, file=sys.stderr)
    except BaseException:
        os.write(2, traceback.format_exc().encode())  # which a worker has turned to its log
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_if_hanging(worker: _Worker) -> None:
    state = worker.state
    waited = time.monotonic() - state.since
    if not state.busy or worker.killed or waited < MOST_SECONDS:
        return
    if waited < _MOST_WAITING and _processor_seconds(worker.pid) - state.processor < MOST_SECONDS:
        return
    worker.killed = True
    os.kill(worker.pid, signal.SIGUSR1)  # where it stands goes to its log
    time.sleep(0.5)
    os.kill(worker.pid, signal.SIGKILL)


def _outcome_of_death(worker: _Worker, status: int) -> Outcome:
    said = worker.log.read_bytes()[-20_000:].decode("utf-8", "replace")
    stack = said[max(said.rfind("Fatal Python error"), said.rfind("Current thread"), 0) :]
    frames = [found for found in _FRAME.findall(stack) if "/throughtime/" in found[0]]
    where = "{}:{} {}".format(frames[0][0].rpartition("/throughtime/")[2], *frames[0][1:]) if frames else ""
    if worker.killed:
        return Outcome("hang", "", where, stack[:800], MOST_SECONDS)
    name = signal.Signals(-status).name if status < 0 else f"exit {status}"
    return Outcome("crash", name, where, said[-1500:])


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")  # nobody says: the clock on the wall decides
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
