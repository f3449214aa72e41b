"""Signals that stop a training after a checkpoint."""

from __future__ import annotations

import signal
import threading
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


@contextmanager
def catch_signals() -> Iterator[list[int]]:
    """A list that gets the first SIGINT, SIGTERM or SIGHUP; a second one acts at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    previous: dict[int, Any] = {}

    def catch(number: int, _frame: Any) -> None:
        caught.append(number)
        for known, handler in previous.items():
            signal.signal(known, handler)

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
