"""Weights beside those that are being trained: a moving average, and those of chosen evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import CheckpointError
from throughtime.saved import Saved
from throughtime.training.checkpoint import Expected, check_tensors, load_weights, read_tensors, save_tensors

# Below the run folder's checkpoints/.
_KEPT = "step-{}.safetensors"


class MovingAverage:
    """An exponential moving average of a model's parameters; with a decay of 0 it does nothing.

    After step t it is decay_t * average + (1 - decay_t) * parameters, where decay_t = min(decay, (1 + t) /
    (10 + t)): so the random weights at the beginning are soon forgotten, whatever the decay.

    Args:
        model: whose parameters; buffers, such as running means, are not averaged.
        decay: in [0, 1).
    Attributes:
        tensors: {name: average}; empty with a decay of 0.
    Source: Polyak and Juditsky 1992 for the mean; the growing decay is that of TensorFlow's
        `ExponentialMovingAverage(num_updates=...)`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = dict(model.named_parameters()) if decay else {}
        self.tensors: dict[str, Tensor] = {}
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Take the parameters as they are."""
        self.tensors = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after an optimiser step.

        Args:
            step: its number, from 1.
        """
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self.tensors[name].lerp_(parameter, weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averages as its parameters inside, and its own again after."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            own = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(own)

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Go on with what a checkpoint has.

        Raises:
            CheckpointError: it is not of these parameters.
        """
        check_tensors(tensors, {name: Expected.like(own) for name, own in self.tensors.items()}, path, "ema.")
        for name, own in self.tensors.items():
            own.copy_(tensors[name])


class KeptWeights:
    """Files with the weights of the last evaluations, and of the best: `step-N.safetensors`.

    Args:
        folder: of the files.
        last: of so many evaluations, the latest.
        best: of so many, the best; 1 keeps none, as the run's own file has the best one already.
        higher_is_better: the direction of the score.
    Attributes:
        mean_at: the step at which the mean of the last ones was tried; -1 is never.
        files: the pattern of their names.
    """

    def __init__(self, folder: Path, last: int, best: int, higher_is_better: bool) -> None:
        self._folder = folder
        self._counts = last, best if best > 1 else 0
        self._sign = -1 if higher_is_better else 1
        self._last: list[int] = []
        self._best: list[tuple[int, float]] = []
        self.mean_at = -1
        self.files = folder / _KEPT.format("*")

    @property
    def any(self) -> bool:
        """Whether files are kept at all."""
        return any(self._counts)

    @property
    def count(self) -> int:
        """How many of the last evaluations are kept."""
        return len(self._last)

    def add(
        self, step: int, score: float | None, weights: dict[str, Tensor] | None, metadata: dict[str, str]
    ) -> None:
        """Write the weights of an evaluation where they are to be kept.

        The files of those that they replace stay until `clear`: a training that is resumed from an earlier
        checkpoint asks for them.

        Args:
            step: at which it was.
            score: the task's objective; None where nothing is measured.
            weights: the model's; None where another process writes them.
            metadata: of the file.
        """
        last, best = self._counts
        self._last = [*self._last, step][-last:] if last else []
        if score is not None:
            ranked = sorted([*self._best, (step, score)], key=lambda one: self._sign * one[1])
            self._best = ranked[:best]
        if weights is not None and step in self._kept():
            save_tensors(self._path(step), weights, metadata)

    def clear(self) -> None:
        """Delete the files that are not kept."""
        kept = {self._path(step) for step in self._kept()}
        for path in self._folder.glob(_KEPT.format("*")):
            if path not in kept:
                path.unlink()

    def mean(self) -> dict[str, Tensor]:
        """The mean of the last evaluations' weights, of which there has to be one.

        What is no floating-point number, such as a count of batches, is that of the latest.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        sums: dict[str, Tensor] = {}
        latest: dict[str, Tensor] = {}
        for step in self._last:
            tensors, _ = read_tensors(self._path(step))
            expected = {name: Expected.like(tensor) for name, tensor in (latest or tensors).items()}
            check_tensors(tensors, expected, self._path(step))
            for name, tensor in tensors.items():
                if tensor.is_floating_point():
                    sums[name] = sums.get(name, torch.zeros((), dtype=torch.float64)) + tensor.double()
            latest = tensors
        means = {name: (total / len(self._last)).to(latest[name].dtype) for name, total in sums.items()}
        return {**latest, **means}

    def state(self) -> dict[str, Any]:
        """Which evaluations are kept, as JSON can hold it."""
        return {
            "last": self._last,
            "best": [step for step, _ in self._best],
            "scores": [score for _, score in self._best],
            "mean_at": self.mean_at,
        }

    def restore(self, saved: Saved, step: int, writes: bool) -> None:
        """Go on with what a checkpoint says, and delete the files that were written after it.

        Args:
            saved: of `state`.
            step: to which the training had come.
            writes: whether the files are this process's.
        Raises:
            CheckpointError: a number is out of its range, or a file is missing.
        """
        with saved:
            self.mean_at = saved.integer("mean_at", least=-1, most=step)
            self._last = saved.integers("last", most=step)
            best, scores = saved.integers("best", most=step), saved.numbers("scores")
            if len(scores) != len(best):
                saved.refuse("scores", scores, f"{len(best)} numbers")
        self._best = list(zip(best, scores, strict=True))
        if not writes:
            return
        for one in sorted(self._kept()):
            if not self._path(one).is_file():
                raise CheckpointError(f"{self._path(one)} is missing: copy it there again")
        self.clear()

    def _kept(self) -> set[int]:
        return {*self._last, *(step for step, _ in self._best)}

    def _path(self, step: int) -> Path:
        return self._folder / _KEPT.format(step)


@contextmanager
def weights_in_place(model: nn.Module, weights: dict[str, Tensor], path: Path) -> Iterator[None]:
    """The model has other weights inside, and its own again after.

    Raises:
        CheckpointError: they are not this model's.
    """
    own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    load_weights(model, weights, path)
    try:
        yield
    finally:
        model.load_state_dict(own)
