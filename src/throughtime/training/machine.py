"""The processor that a training runs on, and how many threads of it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from throughtime.config import RunConfig
from throughtime.errors import OptionError
from throughtime.saved import Saved
from throughtime.training.checkpoint import Checkpoint
from throughtime.training.progress import Progress
from throughtime.training.trainer import CHECKPOINT, threads_of


def pick_device(config: RunConfig) -> torch.device:
    """The device that the options name, once it has been tried.

    Raises:
        OptionError: it cannot be used.
    """
    name = config.training.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"--device {name} cannot be used: {reason}; use cpu or auto") from None
    return device


def set_threads(threads: int) -> None:
    """Take so many CPU threads; 0 leaves the choice to PyTorch."""
    if threads:
        torch.set_num_threads(threads)


def go_on_with_threads(checkpoint: Checkpoint, folder: Path, threads: int | None, show: Progress) -> None:
    """Take as many threads as the training had, or as many as are asked for, and say what that costs."""
    before = threads_of(Saved(checkpoint.state, folder / CHECKPOINT))
    set_threads(before if threads is None else threads)
    now, processors = torch.get_num_threads(), os.cpu_count() or 1
    if now != before:
        show.remark(
            f"the training had {before} threads and goes on with {now}: its numbers will differ in their "
            f"last bits from those of {before} threads, because sums are split by threads"
        )
    elif now > processors and threads is None:
        show.remark(
            f"the training had {before} threads and goes on with as many, to end with the same bits: this "
            f"machine has {processors} processors, and --threads {processors} would be faster"
        )
