"""The local engine: processes of this machine, each with the native engine, which take units as they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from throughtime.errors import RunError, ThroughtimeError
from throughtime.predicting.parts import Finished
from throughtime.predicting.work import Job
from throughtime.processes import threads_of_children

# Called with a unit and what it holds once it is done, or with None and the rows that were read of some.
Report = Callable[[int | None, Finished | int], None]

# Seconds until a process that was asked to end is made to.
_PATIENCE = 5


def work_locally(job: Job, units: Sequence[int], processes: int, threads: int, report: Report) -> None:
    """Do units in processes of this machine.

    Args:
        job: what to do.
        units: their numbers.
        processes: how many; one is this process itself.
        threads: of each.
        report: called as units end, and now and then before.
    Raises:
        ThroughtimeError: of the first unit that failed. Those that are done stay done.
    """
    processes = min(processes, len(units))
    if processes == 1:
        worker = job.worker()
        for number in units:
            report(number, worker.do(number, lambda rows: report(None, rows)))
        return
    with _started(job, processes, threads) as workers:
        left = iter(units)
        busy = {worker.connection: worker for worker in workers}
        for worker in workers:
            worker.give(next(left, None))
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                found = worker.take()
                if isinstance(found, int):
                    report(None, found)
                elif isinstance(found, Finished):
                    assert worker.unit is not None
                    report(worker.unit, found)
                    worker.give(next(left, None))
                    if worker.unit is None:
                        del busy[connection]
                else:
                    raise found


@dataclass
class _Worker:
    process: Any
    connection: Connection
    unit: int | None = None

    def give(self, unit: int | None) -> None:
        """Hand over the next unit, or None where there is none left."""
        self.unit = unit
        with suppress(OSError):  # a process that died is noticed by what it does not answer
            self.connection.send(unit)

    def take(self) -> Finished | int | ThroughtimeError:
        """What the process says; it can be read at once."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE)
            code = self.process.exitcode
            how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
            memory = ": the machine may be out of memory" if code == -9 else ""
            return RunError(
                f"a process ended with {how} in part {self.unit}{memory}. The parts that are done are kept: "
                f"the same command goes on"
            )


@contextmanager
def _started(job: Job, processes: int, threads: int) -> Iterator[list[_Worker]]:
    """The processes, which are ended whatever happens."""
    # Spawned, because a process with threads, as libraries start them, cannot be forked safely.
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    try:
        with threads_of_children(max(threads, 1)):
            for _ in range(processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(job, theirs, os.getpid()), daemon=True)
                process.start()
                theirs.close()
                workers.append(_Worker(process, ours))
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
            if worker.unit is not None:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()


def _serve(job: Job, connection: Connection, parent: int) -> None:
    """A process: it takes units until there are none, or until who hands them out is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; who hands out units ends us

    def alive(rows: int) -> None:
        if os.getppid() != parent:
            os._exit(1)
        connection.send(rows)

    try:
        worker = job.worker()
        while (number := connection.recv()) is not None:
            connection.send(worker.do(number, alive))
    except (EOFError, BrokenPipeError):
        return
    except ThroughtimeError as error:
        connection.send(error)
    except OSError as error:
        from throughtime.files import describe_os_error

        connection.send(RunError(describe_os_error(error)))
