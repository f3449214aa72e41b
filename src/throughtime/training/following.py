"""The processes of a training that are not the first: they hear what to train, and do their part of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from throughtime.config import RunConfig
from throughtime.errors import RunError
from throughtime.run import CONFIG, Run, run_class
from throughtime.run.position import Position
from throughtime.training.additions import Additions
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
from throughtime.training.machine import pick_device
from throughtime.training.making import make_task
from throughtime.training.processes import Processes, joined, said_elsewhere
from throughtime.training.progress import Progress
from throughtime.training.sharing import Sharing
from throughtime.training.trainer import Trainer


@dataclass(frozen=True)
class Together:
    """How the processes train one run.

    Args:
        sharing: of the steps.
        device: of this process.
        epochs: of the training that is resumed, before it got more; None where it begins.
        extended: whether it has more of them now.
    """

    sharing: Sharing
    device: torch.device
    epochs: int | None = None
    extended: bool = False

    def as_message(self, folder: Path) -> dict[str, Any]:
        """What the other processes have to know; see `_take_part`."""
        return {
            "kind": "train",
            "folder": str(folder.resolve()),
            "threads": torch.get_num_threads(),
            "epochs": self.epochs,
            "extended": self.extended,
        }


def follow(additions: Additions | None = None) -> tuple[Run, Position]:
    """Take part in what the first of several processes trains, until it has ended.

    Args:
        additions: the loss of the program's own, which is the same in all processes.
    Raises:
        ProcessError: another process has ended.
        DivergedError, Interrupted: as in the first process.
    """
    with joined(lambda _: None) as processes:
        return follow_in(processes, additions or Additions())


def follow_in(processes: Processes, additions: Additions) -> tuple[Run, Position]:
    """`follow`, where the processes have met."""
    done: tuple[Run, Position] | None = None
    while (message := processes.hear())["kind"] == "train":
        done = _take_part(message, processes, additions)
    if done is None:
        raise said_elsewhere("the first process has trained nothing")
    return Run.open(done[0].folder), done[1]


def _take_part(message: dict[str, Any], processes: Processes, additions: Additions) -> tuple[Run, Position]:
    """Train with the first process, in a run folder that it has prepared."""
    folder = Path(message["folder"])
    if not (folder / CONFIG).exists():
        raise RunError(
            f"{folder} is not there: the processes have to share the file system that the run folder lies on"
        )
    config = RunConfig.load(folder / CONFIG)
    torch.set_num_threads(message["threads"])
    device = pick_device(config, processes.place)
    run = run_class(config.task).kind_for(config)(folder, config)
    run.load()
    model, task = make_task(run, device, Progress(), Additions(loss=additions.loss))
    sharing = Sharing(processes, config.training.groups, config.training.seed)
    trainer = Trainer(task, config.training, folder, Progress(), sharing=sharing)
    with contextlib.closing(trainer):
        if message["epochs"] is not None:
            trainer.resume(Checkpoint.load(folder / CHECKPOINT), message["epochs"])
        processes.open(device)
        if message["extended"]:
            trainer.extend()
        return run, trainer.train()
