"""A step of a training whose batch is shared out: the gradients of the shares, summed.

Without groups each process has one share, and the sum is an all-reduce: as fast as it can be, and equal to
one process but for rounding. With G groups the batch is always cut in G shares, whoever computes them; each
has random numbers of its own, and their gradients are added in the order of their numbers. So the bits are
the same at any number of processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.draws import drawn_for
from throughtime.errors import OptionError
from throughtime.training.processes import ALONE, Processes
from throughtime.training.shares import WHOLE, JointBatch, Share

if TYPE_CHECKING:
    from throughtime.cells import State
    from throughtime.data.turns import Turns
    from throughtime.training.task import StepLoss

# What each share says of a step beside its gradient: see `Sharing.step`.
_LOSS, _WEIGHT, _TOKENS, _SCALE, _MEASURED, _NOTES = range(6)
_SAID = 7


@dataclass(frozen=True)
class JointStep:
    """What all shares say of a step together.

    Args:
        loss: the mean over the joint batch, in nats.
        tokens: in it.
        learning_rate_scale: of `StepLoss`.
        measured: the loss as `evaluate` measures it, the mean over the joint batch.
        notes: the largest of what the processes noted, each; see `Sharing.step`.
    """

    loss: float
    tokens: int
    learning_rate_scale: float
    measured: float
    notes: tuple[int, int] = (0, 0)


class Sharing:
    """The shares of this process, and what it takes to make one step of all shares.

    Args:
        processes: those that train together.
        groups: G; 0 is none.
        seed: of the training, from which the groups' random numbers follow.
    Attributes:
        shares: those of this process.
        step_number: steps taken before this one.
        seconds: that sums took, with the time for which this process waited for others.
    Raises:
        OptionError: the processes do not divide the groups.
    """

    def __init__(self, processes: Processes = ALONE, groups: int = 0, seed: int = 0) -> None:
        self.processes, self.groups, self._seed = processes, groups, seed
        count = processes.count
        if groups and groups % count:
            raise OptionError(
                f"{count} processes do not divide --groups {groups} evenly: take a number of processes that "
                f"does"
            )
        total = groups or count
        each = total // count
        first = processes.rank * each
        self.shares = tuple(Share(part, total) for part in range(first, first + each))
        self.step_number = 0
        self.seconds = 0.0
        self._rows: list[Tensor] = []

    @property
    def is_whole(self) -> bool:
        """Whether this process has all of the batch as one share, as in any training without sharing."""
        return self.shares == (WHOLE,) and not self.groups

    @property
    def turns(self) -> Turns:
        """Shares out what an evaluation does for each of its batches."""
        return self.processes.in_turns

    def check_batch(self, batch: int) -> None:
        """Raise OptionError where the shares of a batch would not be equal."""
        what = f"--groups {self.groups} does" if self.groups else f"{self.processes.count} processes do"
        if batch % self.shares[0].of:
            raise OptionError(
                f"{what} not divide --batch {batch} evenly: take a multiple of {self.shares[0].of} as --batch"
            )

    def facts(self) -> str:
        """What the user should know of it, behind the other facts of a training; "" for one process."""
        count = self.processes.count
        said = f"; {count} processes" if count > 1 else ""
        return (
            f"{said}{f', {self.groups} groups' if said else f'; {self.groups} groups'}"
            if self.groups
            else said
        )

    def time_spent(self, seconds: float) -> str:
        """The share of a training's time that it took to add gradients up, in a sentence; "" for one process.

        Args:
            seconds: of the training.
        """
        if self.processes.count == 1 or not seconds:
            return ""
        return (
            f"adding up gradients took {self.seconds / seconds:.1%} of the time, waiting for the slower "
            f"processes included"
        )

    @contextmanager
    def drawing(self, share: Share, batch: JointBatch) -> Iterator[slice]:
        """Let random numbers be those of a share of a batch, in the forward pass and in the gradient.

        Yields:
            The share's rows.
        """
        rows = share.rows(batch.rows)
        if self.groups:
            key = np.random.SeedSequence([self._seed, self.step_number, batch.place, share.part])
            torch.manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1))
            yield rows
        elif self.is_whole:
            yield rows
        else:
            with drawn_for(rows, batch.rows):
                yield rows

    def step(
        self,
        model: nn.Module,
        batch: JointBatch,
        loss_of: Callable[[JointBatch, Share], StepLoss | None],
        autocast: Callable[[], torch.autocast],
        notes: tuple[int, int] = (0, 0),
    ) -> JointStep:
        """Leave the gradient of the joint batch's mean loss in the model's parameters.

        Args:
            model: whose gradients are empty.
            batch: what the step learns from.
            loss_of: the loss of a share.
            autocast: the context of the forward pass.
            notes: what this process wants the others to know, as numbers; the largest of each is heard.
        """
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        sizes = [parameter.numel() for parameter in parameters]
        count = sum(sizes)
        processes = self.processes
        # A place for each parameter says how many shares had a gradient for it: one without stays as it is.
        length = processes.count * -(-(count + len(sizes)) // processes.count)
        if not self._rows or self._rows[0].numel() != length:
            self._rows = [parameters[0].new_zeros(length) for _ in self.shares]
        said = torch.zeros(len(self.shares), _SAID, dtype=torch.float64)
        for number, (share, row) in enumerate(zip(self.shares, self._rows, strict=True)):
            row.zero_()
            said[number, _NOTES:] = torch.tensor(notes)
            empty = share.rows(batch.rows).start == share.rows(batch.rows).stop
            if empty and self.groups:
                continue
            # Without groups everyone has to draw, even for nothing: the generators stay in step.
            taken = Share(0, batch.rows) if empty else share
            with self.drawing(taken, batch), torch.set_grad_enabled(not empty):
                with autocast():
                    step = loss_of(batch, taken)
                if step is None or empty:
                    continue
                weight = step.tokens if step.weight is None else step.weight
                (step.loss * weight).backward()
                loss = step.loss.item()
                measured = loss if step.measured is None else step.measured
                values = (loss * weight, weight, step.tokens, step.learning_rate_scale, measured * weight)
                said[number, :_NOTES] = torch.tensor(values, dtype=torch.float64)
            for parameter, part, has in zip(
                parameters, row.split([*sizes, length - count]), row[count:], strict=False
            ):
                if parameter.grad is not None:
                    part.copy_(parameter.grad.flatten())
                    has.fill_(1)
                    parameter.grad = None
        begin = time.perf_counter()
        everyone = processes.gather(said)
        summed = self._summed()
        self.seconds += time.perf_counter() - begin
        sums = [0.0] * _NOTES
        for entry in everyone.tolist():
            sums = [total + value for total, value in zip(sums, entry, strict=False)]
        weights = sums[_WEIGHT]
        summed[:count].div_(max(weights, 1e-30))
        presence = summed[count : count + len(sizes)].tolist()
        parts = summed[:count].split(sizes)
        for parameter, part, has in zip(parameters, parts, presence, strict=True):
            parameter.grad = part.view_as(parameter) if has else None
        return JointStep(
            sums[_LOSS] / max(weights, 1e-30),
            int(sums[_TOKENS]),
            float(everyone[:, _SCALE].max()) or 1.0,
            sums[_MEASURED] / max(weights, 1e-30),
            (int(everyone[:, _NOTES].max()), int(everyone[:, _NOTES + 1].max())),
        )

    def joint_state(self, states: dict[int, State], rows: int) -> State:
        """Put the carried states of all shares together.

        Args:
            states: by the number of the share, each a tuple of tensors (L, rows of the share, S).
            rows: of all shares.
        Returns:
            Tensors (L, rows, S), the same in every process; empty where nothing is carried.
        """
        if self.is_whole:
            return states.get(0, ())
        own = [states.get(share.part, ()) for share in self.shares]
        everyone = self.processes.gather_tensors(own)
        filled = [state for state in everyone if state]
        if not filled:
            return ()
        joint = tuple(torch.cat(parts, 1) for parts in zip(*filled, strict=True))
        assert joint[0].shape[1] == rows, (joint[0].shape, rows)
        return joint

    def own_states(self, joint: State) -> dict[int, State]:
        """The parts of a joint state that belong to the shares of this process."""
        if not joint:
            return {}
        if self.is_whole:
            return {0: joint}
        found: dict[int, State] = {}
        for share in self.shares:
            rows = share.rows(joint[0].shape[1])
            if rows.stop > rows.start:
                found[share.part] = tuple(part[:, rows].contiguous() for part in joint)
        return found

    def _summed(self) -> Tensor:
        """The sum of all shares' rows."""
        processes, rows = self.processes, self._rows
        if not self.groups:
            return processes.sum(rows[0])
        if processes.count == 1:
            return _in_order(rows)
        # Each process adds one part of the gradient for all groups in order: as little is sent as with an
        # all-reduce, where gathering whole gradients would send G of them.
        pieces = processes.exchange(torch.stack(rows))
        return processes.join_pieces(_in_order(list(pieces)))


def _in_order(rows: Sequence[Tensor]) -> Tensor:
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total
