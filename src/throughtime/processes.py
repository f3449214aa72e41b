"""How many processes fit this machine, and how they share its cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# The libraries beneath NumPy and PyTorch would each start as many threads as there are cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads_of_children(threads: int) -> Iterator[None]:
    """Give processes that are started in the meantime so many threads each, whatever library asks."""
    wanted = {**dict.fromkeys(_THREADS, str(threads)), "TOKENIZERS_PARALLELISM": "false"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
