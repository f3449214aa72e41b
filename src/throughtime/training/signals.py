"""Signals that stop a training after a checkpoint."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training stopped at a signal, after a checkpoint.

    Args:
        signal_number: SIGINT, SIGTERM or SIGHUP.
        folder: the run, which can be resumed.
        step: the step of the checkpoint.
    """

    def __init__(self, signal_number: int, folder: Path, step: int) -> None:
        super().__init__(f"stopped at step {step} by signal {signal_number}; {folder} can be resumed")
        self.signal_number = signal_number
        self.folder = folder
        self.step = step


# A terminal and a launcher both send one, and the launcher waits longer than this before it kills.
_ONE_AND_THE_SAME = 10.0


@contextmanager
def catch_signals(several: bool = False) -> Iterator[list[int]]:
    """A list that gets the first SIGINT, SIGTERM or SIGHUP; a second one acts at once.

    Args:
        several: processes train together, and each gets a signal from more than one side: what comes soon
            after the first one is no second one.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    previous: dict[int, Any] = {}
    first = 0.0

    def catch(number: int, _frame: Any) -> None:
        nonlocal first
        if several and not caught:
            first = time.monotonic()
        elif several and time.monotonic() - first < _ONE_AND_THE_SAME:
            return
        repeated = bool(caught)
        caught.append(number)
        if several and not repeated:
            return
        for known, handler in previous.items():
            signal.signal(known, handler)
        if repeated:
            signal.raise_signal(number)

    for number in _signals():
        previous[number] = signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _signals() -> list[int]:
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    # Windows has none. Under nohup it is ignored, and the training is to outlive the terminal.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        numbers.append(hangup)
    return numbers
