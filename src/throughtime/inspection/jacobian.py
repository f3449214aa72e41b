"""The Jacobian of one step, dS_t/dS_{t-1}, without ever forming it unless asked.

S is the whole state of a layer (h, or h and c), flattened. Products J v and J^T u are one forward-mode and
one reverse-mode pass through the cell's own `step`, for several vectors at once. Sources: Lyapunov exponents
by QR Benettin et al. 1980, for RNNs Engelken, Wolf and Abbott 2023; Arnoldi 1951.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.errors import NotANumberError, OptionError
from throughtime.inspection.trace import LayerTrace, as_recurrent, trace

# Subspace iteration converges like (s_{k+extra} / s_k)^2 a round; this many settle the leading values.
_ROUNDS = 60
_EXTRA = 4


class LayerJacobian:
    """One layer linearised along the trajectory that one sequence drives it through.

    Args:
        module: a `Recurrent`, or a torch.nn.RNN, LSTM or GRU.
        inputs: (T, 1, I), one sequence.
        layer: from 0.
        state: before the sequence.
        backward: the backward direction; step 0 is then the first that it takes, at the sequence's end.
    Attributes:
        steps: T.
        size: of the flattened state.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Tensor,
        layer: int = 0,
        state: State | None = None,
        backward: bool = False,
    ) -> None:
        if inputs.dim() != 3 or inputs.shape[1] != 1:
            raise ValueError(f"inputs have shape {tuple(inputs.shape)}, expected one sequence (T, 1, I)")
        recurrent = as_recurrent(module)
        with torch.no_grad():
            traced: LayerTrace = trace(recurrent, inputs, state).layers[
                layer * recurrent.directions + int(backward)
            ]
        self._cell = traced.cell
        self._projected = traced.projected.flip(0) if backward else traced.projected
        self._sizes = [part.shape[-1] for part in traced.states[0]]
        self._states = [torch.cat([part[0] for part in one]) for one in traced.states]
        self.steps = len(self._projected)
        self.size = len(self._states[0])

    def push(self, step: int, vectors: Tensor) -> Tensor:
        """J_t V, for V (S, k)."""
        function, at = self._function(step), self._states[step]

        def one(vector: Tensor) -> Tensor:
            return torch.func.jvp(function, (at,), (vector,))[1]

        with torch.no_grad():
            return _checked(torch.func.vmap(one, in_dims=1, out_dims=1)(vectors.to(at)), step)

    def pull(self, step: int, vectors: Tensor) -> Tensor:
        """J_t^T U, for U (S, k)."""
        at = self._states[step]
        back = torch.func.vjp(self._function(step), at)[1]
        pulled = torch.func.vmap(lambda vector: back(vector)[0], in_dims=1, out_dims=1)(vectors.to(at))
        return _checked(pulled.detach(), step)

    def dense(self, step: int) -> Tensor:
        """(S, S), the whole Jacobian of a step; S pushes."""
        return self.push(step, torch.eye(self.size, dtype=self._states[0].dtype))

    def singular_values(self, start: int, stop: int | None = None, count: int = 1, seed: int = 0) -> Tensor:
        """The largest singular values of J_{stop-1} ... J_start, in decreasing order, by subspace iteration.

        Args:
            start, stop: steps [start, stop); None is start + 1, a single step.
            count: how many.
        """
        stop = start + 1 if stop is None else stop
        self._check_span(start, stop)
        width = min(count + _EXTRA, self.size)
        basis = self._random_basis(width, seed)
        values = torch.zeros(width, dtype=torch.double)
        for _ in range(_ROUNDS):
            pushed, scale = self._span(basis, range(start, stop), forwards=True)
            U, R = torch.linalg.qr(pushed)
            found = torch.linalg.svdvals(R).double() * math.exp(min(scale, 700.0))
            pulled, _ = self._span(U, reversed(range(start, stop)), forwards=False)
            basis = torch.linalg.qr(pulled)[0]
            if torch.allclose(found[:count], values[:count], rtol=1e-7, atol=0):
                return found[:count]
            values = found
        return values[:count]

    def spectral_radius(self, step: int, dimensions: int = 40, seed: int = 0) -> float:
        """The largest |eigenvalue| of J_t, from an Arnoldi basis; exact where S <= dimensions.

        Args:
            dimensions: of the Krylov space: so many pushes.
        """
        if self.size <= dimensions:
            return torch.linalg.eigvals(self.dense(step).double()).abs().max().item()
        basis = [self._random_basis(1, seed)[:, 0]]
        hessenberg = np.zeros((dimensions + 1, dimensions))
        for column in range(dimensions):
            vector = self.push(step, basis[-1][:, None])[:, 0]
            for row, known in enumerate(basis):
                hessenberg[row, column] = (known @ vector).item()
                vector = vector - hessenberg[row, column] * known
            size = vector.norm().item()
            hessenberg[column + 1, column] = size
            if size < 1e-10:
                return float(np.abs(np.linalg.eigvals(hessenberg[: column + 1, : column + 1])).max())
            basis.append(vector / size)
        return float(np.abs(np.linalg.eigvals(hessenberg[:dimensions])).max())

    def lyapunov_exponents(self, count: int = 1, skip: int = 0, seed: int = 0) -> NDArray[np.float64]:
        """The largest Lyapunov exponents along the trajectory, in nats a step, in decreasing order.

        Below 0 a difference of states dies out, above 0 it grows: the trajectory is chaotic.

        Args:
            count: how many.
            skip: steps at the beginning that only turn the basis.
        """
        if not 0 <= skip < self.steps:
            raise OptionError(f"skip is {skip}, expected 0 to {self.steps - 1}")
        basis, total = self._random_basis(min(count, self.size), seed), None
        for step in range(self.steps):
            basis, R = torch.linalg.qr(self.push(step, basis))
            if step >= skip:
                grown = R.diagonal().abs().double().clamp_min(torch.finfo(torch.double).tiny).log()
                total = grown if total is None else total + grown
        assert total is not None
        return np.sort((total / (self.steps - skip)).numpy())[::-1].copy()

    def _function(self, step: int):  # noqa: ANN202 - Tensor -> Tensor
        projected, cell, sizes = self._projected[step], self._cell, self._sizes

        def function(flat: Tensor) -> Tensor:
            _, state = cell.step(projected, tuple(part[None] for part in flat.split(sizes)))
            return torch.cat([part[0] for part in state])

        return function

    def _span(self, vectors: Tensor, steps: Iterable[int], forwards: bool) -> tuple[Tensor, float]:
        """Through several steps, rescaled on the way: the result, and the log of the scale taken out."""
        logarithm = 0.0
        for step in steps:
            vectors = self.push(step, vectors) if forwards else self.pull(step, vectors)
            scale = vectors.abs().max().item()
            if scale == 0:
                return vectors, logarithm
            vectors, logarithm = vectors / scale, logarithm + math.log(scale)
        return vectors, logarithm

    def _random_basis(self, width: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        basis = torch.randn(self.size, width, generator=generator, dtype=torch.double)
        return torch.linalg.qr(basis)[0].to(self._states[0])

    def _check_span(self, start: int, stop: int) -> None:
        if not 0 <= start < stop <= self.steps:
            raise OptionError(f"the span [{start}, {stop}) is not within the {self.steps} steps")


def _checked(found: Tensor, step: int) -> Tensor:
    if not found.isfinite().all():
        raise NotANumberError(
            f"the Jacobian of step {step} is not finite: the network's weights are too large to look into"
        )
    return found


def recurrent_spectrum(module: nn.Module, layer: int = 0) -> dict[str, NDArray[np.complex128]]:
    """The eigenvalues of a layer's recurrent matrices, one for each gate, by the gate's name.

    Raises:
        OptionError: the cell has no square matrices W_hh (a cell of your own, or a projected LSTM).
    """
    recurrent = as_recurrent(module)
    cell = recurrent.cells[layer * recurrent.directions]
    weight = getattr(cell, "weight_hh", None)
    H = getattr(cell, "hidden_size", 0)
    if weight is None or weight.shape[1] != H or weight.shape[0] % H:
        raise OptionError(f"a {type(cell).__name__} has no square recurrent matrices")
    blocks = weight.detach().double().cpu().split(H)
    names = getattr(cell, "gate_names", tuple(f"block {index}" for index in range(len(blocks))))
    return {name: torch.linalg.eigvals(block).numpy() for name, block in zip(names, blocks, strict=True)}
