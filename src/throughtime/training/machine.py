"""The processor that a training runs on: how many threads of it, and in which precision."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from throughtime import _native
from throughtime.config import RunConfig, TrainingConfig
from throughtime.errors import OptionError
from throughtime.places import Place
from throughtime.saved import Saved
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
from throughtime.training.progress import Progress
from throughtime.training.sharing import Sharing

# More than any machine has: as many that a damaged file asks for would not all start.
_MOST_THREADS = 4096

_DEVICES = ("cpu", "cuda", "mps", "xpu")


def pick_device(config: RunConfig, place: Place | None = None) -> torch.device:
    """The device that the options name, once it has been tried.

    Args:
        place: which of several processes this is: each takes a GPU of its own.
    Raises:
        OptionError: it cannot be used.
    """
    name, place = config.training.device, place or Place()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if place.count > 1 and name.startswith("cuda"):
        there = torch.cuda.device_count()
        if name != "cuda":
            raise OptionError(
                f"--device {name} is one GPU, and {place.count} processes take one each: use cuda"
            )
        if there < place.local_count:
            raise OptionError(
                f"{place.local_count} processes take a GPU each, and this machine has {there}: start as "
                f"many, or use --device cpu"
            )
        name = f"cuda:{place.local_rank}"
        torch.cuda.set_device(place.local_rank)
    # PyTorch knows more names: of shapes without numbers, of what it was never built for, of modules.
    if name.partition(":")[0] not in _DEVICES:
        raise OptionError(f"--device {name!r:.60} is unknown: use auto, {', '.join(_DEVICES)}, or cuda:1...")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"--device {name} cannot be used: {reason:.200}; use cpu or auto") from None
    return device


def set_threads(threads: int, show: Progress, place: Place | None = None) -> None:
    """Take so many CPU threads; 0 leaves the choice to PyTorch, or shares the processors out.

    Args:
        threads: of this process.
        show: where what was chosen is said.
        place: which of several processes this is.
    """
    place = place or Place()
    if threads:
        torch.set_num_threads(threads)
    # torchrun sets 1 for everyone who has not set it; another number is the user's own.
    elif place.count > 1 and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        processors = _processors()
        each = max(1, processors // place.local_count)
        torch.set_num_threads(each)
        show.remark(
            f"{each} thread{'s' * (each > 1)} in each process: {place.local_count} share this machine's "
            f"{processors} processors (--threads says otherwise)"
        )


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def go_on_with_threads(
    checkpoint: Checkpoint,
    folder: Path,
    threads: int | None,
    show: Progress,
    sharing: Sharing,
    configured: int,
) -> None:
    """Take as many threads as the training had, or as many as are asked for, and say what that costs.

    Several processes without groups round otherwise than before anyhow where their number is another one:
    they share out the processors that there are, where `configured`, the option of the run, is 0.
    """
    before = threads_of(Saved(checkpoint.state, folder / CHECKPOINT))
    if threads is None and sharing.processes.count > 1 and not sharing.groups:
        set_threads(configured, show, sharing.processes.place)
        return
    set_threads(before if threads is None else threads, show, sharing.processes.place)
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


def threads_of(saved: Saved) -> int:
    """How many threads a checkpoint's training had: sums are split by threads, and round accordingly."""
    return saved.integer("threads", least=1, most=_MOST_THREADS)


def resolve_precision(config: TrainingConfig, device: torch.device) -> str:
    """fp32 or bf16; "auto" is bf16 where the processor multiplies it faster, in PyTorch and natively."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # Without such instructions bf16 is emulated, and slower than fp32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    supported = supported or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return "bf16" if supported and _native.isa() == "avx512_bf16" else "fp32"
