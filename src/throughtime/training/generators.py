"""The random generators that a training draws from, as tensors: kept, shared out, and restored."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from throughtime.errors import CheckpointError
from throughtime.training.checkpoint import Expected, check_tensors


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The states of the processor's generator, and of the device's where that is a GPU; bytes each."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators into states that `generator_states` gave.

    Raises:
        RuntimeError: one is no state of a generator.
    """
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def restore_generators(states: dict[str, Tensor], device: torch.device, path: Path) -> None:
    """Put the generators into the states that a checkpoint holds.

    Args:
        states: by the generators' names.
        device: that the training goes on with.
        path: the checkpoint, for messages.
    Raises:
        CheckpointError: one is missing, too many, or no state of a generator.
    """
    expected = {name: Expected.like(state) for name, state in generator_states(device).items()}
    # A training may move to a GPU or away from one; then that one's generator is as the seed left it.
    kept = {name: state for name, state in states.items() if name in expected or name != "cuda"}
    wanted = {name: own for name, own in expected.items() if name in kept or name == "cpu"}
    check_tensors(kept, wanted, path, "random.")
    try:
        set_generators(kept, device)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: random.cpu is no state of a generator ({error})") from None
