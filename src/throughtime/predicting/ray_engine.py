"""The Ray engine: actors of a Ray cluster, each with the native engine; the units and parts are the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from throughtime.errors import MissingExtraError, RunError, ThroughtimeError
from throughtime.extras import install_command
from throughtime.predicting.local import Report
from throughtime.predicting.work import Job

# All that goes through Ray's store of objects are numbers. By default it takes a third of the memory.
_STORE = 80 << 20
# How often a unit is done again whose actor died: a machine that is lost takes its units with it.
_AGAIN = 3


def work_with_ray(job: Job, units: Sequence[int], processes: int, threads: int, report: Report) -> None:
    """Do units in actors of Ray: of the cluster that RAY_ADDRESS names, or of this machine.

    The run, the output and files without a URL have to lie where every node of the cluster sees them.

    Args:
        job, units, report: as of `work_locally`.
        processes: how many actors.
        threads: of each.
    Raises:
        MissingExtraError: Ray is not installed.
        ThroughtimeError: of the first unit that failed.
    """
    ray = _require_ray()
    own = not ray.is_initialized()
    if own:
        _begin(ray, processes * max(threads, 1))
    try:
        actor = ray.remote(num_cpus=max(threads, 1), max_restarts=_AGAIN, max_task_retries=_AGAIN)(_Actor)
        actors = [actor.remote(job, os.getcwd()) for _ in range(min(processes, len(units)))]
        left = iter(units)
        waiting: dict[Any, tuple[Any, int]] = {}
        for one in actors:
            _give(one, left, waiting)
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            one, number = waiting.pop(ready)
            try:
                found = ray.get(ready)
            except ray.exceptions.RayError as error:
                raise RunError(
                    f"part {number} failed in Ray: {_first_line(error)}. The parts that are done are kept"
                ) from None
            if isinstance(found, ThroughtimeError):
                raise found
            report(None, found.rows + found.left_out)
            report(number, found)
            _give(one, left, waiting)
    finally:
        if own:
            ray.shutdown()


class _Actor:
    """Does units, one at a time, in the folder in which the command runs."""

    def __init__(self, job: Job, folder: str) -> None:
        self._job = job
        self._folder = folder
        self._worker: Any = None

    def do(self, number: int) -> Any:
        """What `Worker.do` gives, or its error: Ray would wrap one that is raised in its own."""
        try:
            os.chdir(self._folder)
            self._worker = self._worker or self._job.worker()
            return self._worker.do(number)
        except ThroughtimeError as error:
            return error
        except OSError as error:
            from throughtime.files import describe_os_error

            return RunError(describe_os_error(error))


def _give(actor: Any, left: Iterator[int], waiting: dict[Any, tuple[Any, int]]) -> None:
    number = next(left, None)
    if number is not None:
        waiting[actor.do.remote(number)] = actor, number


def _begin(ray: Any, cpus: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    ray.init(num_cpus=cpus, object_store_memory=_STORE, include_dashboard=False, **quiet)


def _require_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            f"--engine ray needs Ray: install it with `{install_command('ray', 'ray')}`"
        ) from None
    return ray


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
