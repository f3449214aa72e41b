"""A loss of a program's own, in the place of the task's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from throughtime.config import RunConfig
from throughtime.errors import OptionError, RunError
from throughtime.files import write_atomically
from throughtime.in_memory import GIVEN
from throughtime.run.own_loss import LOSS, own_loss_name

# The tasks whose loss is a mean over rows of outputs.
TASKS = ("classifier", "tagger", "language-model")

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


class OwnLoss:
    """A function of outputs, targets and a mask, held to what a loss has to be.

    | task | outputs | targets | mask |
    | --- | --- | --- | --- |
    | classifier | (B, W) | (B,) classes, or (B, W) labels or numbers | (B,) |
    | tagger | (T, B, W) | (T, B) classes, or (T, B, W) labels or numbers | (T, B) |
    | language model | (T, B, V) | (T, B) tokens | (T, B) |

    Outputs are logits in float32, before any softmax; numbers are standardised. Where the mask is false,
    there is padding or no label, and targets are 0.

    Args:
        function: gives a scalar, or the loss of each place, in the shape of the mask; the mean of those over
            the mask is taken.
    Attributes:
        name: of the function.
        is_shared: whether several processes or groups compute it, each of a part.
    Raises:
        OptionError: it is no function.
    """

    def __init__(self, function: LossFunction) -> None:
        if not callable(function):
            raise OptionError(
                f"a loss is a function of outputs, targets and a mask, not {type(function).__name__}"
            )
        self._function = function
        self.is_shared = False
        self.name = getattr(function, "__name__", None) or type(function).__name__

    def __call__(self, outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """The loss, a scalar with its graph.

        Args:
            outputs, targets, mask: as above, but for targets where the mask is false.
        Raises:
            OptionError: the function gives something else.
        """
        aside = mask.view(*mask.shape, *[1] * (targets.dim() - mask.dim()))
        found = self._function(outputs.float(), targets.masked_fill(~aside, 0), mask)
        if not isinstance(found, Tensor):
            raise OptionError(
                f"the loss {self.name} gives {type(found).__name__}: give a tensor, without .item() or "
                f".detach()"
            )
        if found.shape not in (torch.Size(), mask.shape):
            raise OptionError(
                f"the loss {self.name} has the shape {tuple(found.shape)}: give a scalar, or one value for "
                f"each place of the mask, {tuple(mask.shape)}"
            )
        if not found.requires_grad:
            raise OptionError(
                f"the loss {self.name} has no gradient: compute it from the outputs with functions of torch"
            )
        if found.dim() == 0 and self.is_shared:
            raise OptionError(
                f"the loss {self.name} gives a scalar, and how parts of a batch weigh in it is not known: "
                f"with several processes or --groups, give one value for each place of the mask"
            )
        return found if found.dim() == 0 else found[mask].mean()


def check_task(loss: OwnLoss, config: RunConfig) -> None:
    """Refuse a loss of one's own where there is nothing that it replaces.

    Raises:
        OptionError: the task has another kind of loss, or an option would do nothing beside it.
    """
    if config.task not in TASKS:
        raise OptionError(f"a {config.task} has no loss to replace: loss is for a {', '.join(TASKS)}")
    if getattr(config.training, "class_weights", "none") != "none":
        raise OptionError(
            "class_weights does nothing beside a loss of your own: leave it out, or weight there"
        )


def remember_loss(folder: Path, loss: OwnLoss | None) -> None:
    """Write the loss's name into a run folder: the function itself is code, and stays with the program."""
    if loss is not None:
        (folder / GIVEN).mkdir(exist_ok=True)
        write_atomically(folder / LOSS, json.dumps({"loss": loss.name}).encode())


def check_loss(folder: Path, loss: OwnLoss | None) -> None:
    """Hold the loss of a resumed training to the one that it began with.

    Raises:
        RunError: it is another one, or none.
    """
    before = own_loss_name(folder)
    if before == (None if loss is None else loss.name):
        return
    if before is None:
        raise RunError(f"{folder} was trained with its task's loss, and goes on with it: leave out loss")
    raise RunError(
        f"{folder} is trained with a loss of its own, {before}, which is no part of the folder: go on from "
        f"Python with tt.resume(folder, loss={before})"
    )
