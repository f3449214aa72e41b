"""Which of several processes this one is, as launchers and schedulers say it. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from throughtime.errors import OptionError

# How many tasks a scheduler has started, by the variable that says so.
_SCHEDULERS = {
    "SLURM_NTASKS": "Slurm",
    "SLURM_STEP_NUM_TASKS": "Slurm",
    "OMPI_COMM_WORLD_SIZE": "Open MPI",
    "PMI_SIZE": "MPI",
    "PET_NNODES": "the Kubeflow trainer",
    "WORLD_SIZE": "a launcher",
}
# Of the longest number of processes.
_DIGITS = 9


@dataclass(frozen=True)
class Place:
    """A process among those of a training.

    Args:
        rank: its number, from 0.
        count: W, of all of them.
        local_rank, local_count: the same on its machine.
        restarts: how often the launcher has started all of them again.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0
    most_restarts: int = 0


def place_here(environment: Mapping[str, str] | None = None) -> Place:
    """This process's place, from what torchrun and its like set.

    Raises:
        OptionError: the variables contradict each other.
    """
    given = os.environ if environment is None else environment
    if "RANK" not in given or "WORLD_SIZE" not in given or "MASTER_ADDR" not in given:
        return Place()
    rank, count = _number(given, "RANK"), _number(given, "WORLD_SIZE", 1)
    local_rank = _number(given, "LOCAL_RANK", default=rank)
    local_count = _number(given, "LOCAL_WORLD_SIZE", 1, default=count)
    if rank >= count or local_rank >= local_count:
        raise OptionError(
            f"RANK is {rank} of WORLD_SIZE {count}, and LOCAL_RANK {local_rank} of LOCAL_WORLD_SIZE "
            f"{local_count}: start the training with torchrun, which sets them"
        )
    restarts = _number(given, "TORCHELASTIC_RESTART_COUNT", default=0)
    return Place(
        rank, count, local_rank, local_count, restarts, _number(given, "TORCHELASTIC_MAX_RESTARTS", default=0)
    )


def unused_processes(environment: Mapping[str, str] | None = None) -> str:
    """A warning where a scheduler has started several processes that know nothing of each other; else ""."""
    given = os.environ if environment is None else environment
    if given.get("RANK") is not None and given.get("MASTER_ADDR") is not None:
        return ""  # torchrun with one process
    for name, who in _SCHEDULERS.items():
        count = given.get(name, "")
        if count.isdecimal() and len(count) <= _DIGITS and int(count) > 1:
            return (
                f"{name} is {count}, so {who} knows of several processes; this training is a single one, and "
                f"shares nothing with others. Start it with torchrun to train together"
            )
    return ""


def check_alone(what: str) -> None:
    """Raise OptionError where several processes would do what one has to do alone."""
    if place_here().count > 1:
        raise OptionError(f"{what} is for one process: start it without torchrun and --processes")


def _number(given: Mapping[str, str], name: str, least: int = 0, default: int | None = None) -> int:
    text = given.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
        raise OptionError(
            f"{name} is {text!r:.60} in the environment, not a number from {least}: use torchrun"
        )
    return int(text)
