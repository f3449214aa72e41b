"""The optimiser: made from the config, its state to and from a checkpoint, its gradients clipped."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.config import TrainingConfig
from throughtime.errors import CheckpointError
from throughtime.saved import Saved
from throughtime.training.checkpoint import Expected, check_tensors


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that the config names."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
        )
    # A second-moment horizon of 100 steps follows the changing chunks faster than the default 1,000.
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )


def clip_gradients(model: nn.Module, max_norm: float, max_value: float) -> float:
    """Clip in place by value, then by norm; 0 leaves either out.

    Returns:
        The norm of all gradients together, before any clipping.
    Source: by norm Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not math.isfinite(norm):
        return norm
    clipped_norm = norm
    if max_value:
        nn.utils.clip_grad_value_(model.parameters(), max_value)
        clipped_norm = torch.nn.utils.get_total_norm(gradients).item()
    if max_norm and clipped_norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / clipped_norm)
    return norm


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors, and which parameters have one: those that ever had a gradient."""
    state = optimizer.state_dict()["state"]
    tensors = {
        f"{parameter}.{name}": value
        for parameter, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }
    return tensors, {"parameters": sorted({int(name.split(".")[0]) for name in tensors})}


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], saved: Saved, step: int
) -> None:
    """Put back what `pack_optimizer` took.

    All is checked: the fused kernels believe every shape, and write where a wrong one leads them.

    Args:
        optimizer: as `make_optimizer` made it.
        tensors: its state.
        saved: which parameters have one.
        step: how many steps were taken.
    Raises:
        CheckpointError: the state is not this optimiser's, or a part of it is missing.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    with saved:
        known = saved.integers("parameters", most=len(parameters) - 1)
    kinds = _kept(optimizer)
    if step > 0 and kinds and not known:
        raise CheckpointError(f"{saved.path} lacks the optimizer's state, after {step:,} steps")
    expected = {
        f"{number}.{kind}": Expected((), (torch.float32,))
        if kind == "step"
        else Expected.like(parameters[number])
        for number in known
        for kind in kinds
    }
    check_tensors(tensors, expected, saved.path, "optimizer.")
    for number in known if "step" in kinds else ():
        taken = tensors[f"{number}.step"].item()
        if not (1 <= taken <= max(step, 1) and taken == int(taken)):
            raise CheckpointError(
                f"{saved.path}: optimizer.{number}.step is {taken:g}, expected a whole number from 1 to "
                f"{step:,}"
            )
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _kept(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What the optimiser keeps for a parameter that had a gradient."""
    if isinstance(optimizer, torch.optim.AdamW):
        return ("step", "exp_avg", "exp_avg_sq")
    return ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
