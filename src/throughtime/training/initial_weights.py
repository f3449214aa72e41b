"""A training that begins with another run's weights: fine-tuning, also with other words or labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from throughtime.errors import OptionError
from throughtime.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHOWN = 3


def take_weights(model: nn.Module, run: Run, folder: str | Path) -> str:
    """Put the weights of a trained run into a new model, as far as they fit.

    Tensors whose rows stand for tokens or labels are taken row by row, by the token's or the label's name.
    Everything else has to have the same name and shape. What is not taken stays random.

    Args:
        model: with random weights.
        run: of the model; its vocabulary and labels are known.
        folder: the run to begin with, of this task or of another one.
    Returns:
        A sentence about what was taken and what was not.
    Raises:
        RunError: the folder is no run, or it is damaged.
        OptionError: nothing fits.
    """
    other = Run.open(folder, backend="torch")
    theirs = other.read_weights()
    my_rows, their_rows = run.row_names(), other.row_names()
    taken = total = 0
    left: list[str] = []
    new: dict[str, int] = {}
    # Parameters only: the statistics of the features are the new data's.
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if name not in theirs:
            left.append(name)
            continue
        given = theirs[name]
        if name in my_rows and name in their_rows and given.shape[1:] == tuple(parameter.shape[1:]):
            known = _copy_rows(parameter, given, my_rows[name], their_rows[name])
            taken += known * parameter[0].numel()
            new[name] = len(my_rows[name]) - known
        elif given.shape == tuple(parameter.shape) and name not in my_rows:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(given.copy()))
            taken += parameter.numel()
        else:
            left.append(name)
    if not taken:
        raise OptionError(
            f"--init-from {folder}: none of its weights fit this network: leave --cell, --hidden, "
            "--layers and "
            f"--embedding to that run"
        )
    unknown = max(new.values(), default=0)
    said = [f"begins with {taken / total:.0%} of its weights from {folder}"]
    if unknown:
        said.append(f"{unknown:,} tokens or labels are new")
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        said.append(f"{', '.join(left[:_SHOWN])}{more} begin at random")
    return "; ".join(said)


def _copy_rows(
    parameter: nn.Parameter, given: NDArray[np.float32], mine: list[str], theirs: list[str]
) -> int:
    """Copy the rows that both have; return how many these are."""
    place = {name: number for number, name in enumerate(theirs)}
    pairs = [(row, place[name]) for row, name in enumerate(mine) if name in place]
    if pairs:
        rows, others = (list(side) for side in zip(*pairs, strict=True))
        with torch.no_grad():
            parameter[rows] = torch.from_numpy(given[others].copy())
    return len(pairs)
