"""Where the gradient goes: its norm at every step back in time, exactly.

For a loss L_t at one step t, the gradient with respect to the state k steps earlier, dL_t/dh_{t-k}, is
what truncated backpropagation can still learn from at lag k. It is the total derivative: in a lower layer it
counts what goes on through the layer itself and what goes up, at c what goes through h as well. Summed losses
would mix the lags of many steps, so each column of a batch has one loss, at its last step; the columns are
independent, and one backward pass gives all lags of all of them. Cost: one forward and one backward pass
through the plain loop.

Sources: Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013, equation 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.inspection.trace import LayerTrace, as_recurrent, trace
from throughtime.notebooks import picture_of, table
from throughtime.recurrent import Recurrent

Verdict = Literal["vanishing", "healthy", "exploding"]
Loss = Callable[[Tensor], Tensor]

# Below 1 % of what the last step gets, a step is as good as not seen; 100 times is its mirror image.
FORGOTTEN = 0.01
EXPLODED = 100.0
# A float32 gradient this far below the largest is rounding, and would bend the fit of the rate.
_NOISE = 1e-6


@dataclass(frozen=True)
class LayerFlow:
    """The gradient's norm by lag in one layer and direction.

    Args:
        name: "layer 1", "layer 2 backward"...
        norms: for each tensor of the state ("h", "c"), (K, N): lag 0..K-1, for each of N losses.
        cell_path: (K, N), the norm of the part of dL/dc that went through the cell state alone; None for
            cells without one.
    """

    name: str
    norms: dict[str, NDArray[np.float64]]
    cell_path: NDArray[np.float64] | None = None

    @property
    def lags(self) -> int:
        """K."""
        return len(self.norms["h"])

    @cached_property
    def carried(self) -> NDArray[np.float64]:
        """(K, N): the norm over the whole state, which is all that a step passes on to the next."""
        return np.sqrt(sum(norm**2 for norm in self.norms.values()))

    @cached_property
    def curve(self) -> NDArray[np.float64]:
        """(K,): the mean over losses, as a share of lag 0."""
        mean = self.carried.mean(axis=1)
        return mean / max(mean[0], np.finfo(float).tiny)

    @property
    def effective_memory(self) -> int | None:
        """The first lag from which on the gradient stays below 1 % of lag 0; None where it never does."""
        below = self.curve < FORGOTTEN
        if not below[-1]:
            return None
        return int(len(below) - np.argmin(below[::-1])) if not below.all() else 0

    @cached_property
    def rate(self) -> tuple[float, float, float]:
        """The factor by which the norm changes with each step back: estimate, and 95 % interval.

        From each loss a least-squares line through log norm against lag; the interval is that of the mean
        slope over the losses, normal approximation.
        """
        slopes = [_slope(self.carried[:, column]) for column in range(self.carried.shape[1])]
        slopes = np.array([slope for slope in slopes if slope is not None])
        if len(slopes) == 0:
            return 0.0, 0.0, 0.0
        mean = slopes.mean()
        error = 1.96 * slopes.std(ddof=1) / math.sqrt(len(slopes)) if len(slopes) > 1 else math.inf
        return math.exp(mean), math.exp(mean - error), math.exp(min(mean + error, 700.0))

    @property
    def cell_share(self) -> float | None:
        """The share of the gradient at c, at half the lags, that went through c alone."""
        if self.cell_path is None or "c" not in self.norms:
            return None
        middle = self.lags // 2
        total = self.norms["c"][middle].mean()
        return float(self.cell_path[middle].mean() / total) if total > 0 else None

    def verdict(self, horizon: int | None = None) -> Verdict:
        """Whether a dependency over `horizon` steps can be learned through this layer.

        Args:
            horizon: in steps; None is the longest lag measured.
        """
        if not np.isfinite(self.carried).all():
            return "exploding"
        lag = min(horizon if horizon is not None else self.lags - 1, self.lags - 1)
        reached = self.curve[lag]
        if reached > EXPLODED:
            return "exploding"
        return "vanishing" if reached < FORGOTTEN else "healthy"


@dataclass(frozen=True)
class GradientFlow:
    """The gradient's norm by lag in every layer."""

    layers: list[LayerFlow]

    def verdict(self, horizon: int | None = None) -> Verdict:
        """The verdict: exploding if any layer explodes; healthy if any layer carries the gradient."""
        verdicts = [layer.verdict(horizon) for layer in self.layers]
        if "exploding" in verdicts:
            return "exploding"
        return "healthy" if "healthy" in verdicts else "vanishing"

    @property
    def effective_memory(self) -> int | None:
        """The longest of the layers'; None where one never falls below 1 %."""
        memories = [layer.effective_memory for layer in self.layers]
        return None if None in memories else max(memory for memory in memories if memory is not None)

    def summary(self) -> list[dict[str, Any]]:
        """One row a layer, as JSON can hold it."""
        rows = []
        for layer in self.layers:
            rate, low, high = layer.rate
            rows.append(
                {
                    "layer": layer.name,
                    "effective_memory": layer.effective_memory,
                    "lags_measured": layer.lags - 1,
                    "rate": rate,
                    "rate_low": low,
                    "rate_high": high if math.isfinite(high) else None,
                    "cell_path_share": layer.cell_share,
                    "verdict": layer.verdict(),
                    "curve": layer.curve.tolist(),
                }
            )
        return rows

    def figure(self) -> Any:
        """The gradient's norm against lag, as a figure of matplotlib."""
        from throughtime.inspection.plots import flow_figure

        return flow_figure({"": self})

    def _repr_html_(self) -> str:
        rows = [list(row.values())[:-1] for row in self.summary()]  # the curve is the picture
        heads = list(self.summary()[0])[:-1]
        return table(rows, [head.replace("_", " ") for head in heads]) + picture_of(self.figure())


def gradient_flow(
    module: nn.Module,
    inputs: Tensor,
    state: State | None = None,
    loss: Loss | None = None,
    seed: int = 0,
    split_paths: bool = True,
) -> GradientFlow:
    """Measure dL/dh (and dL/dc) at every step of windows whose loss is at the last step.

    Args:
        module: a `Recurrent`, or a torch.nn.RNN, LSTM or GRU. A backward direction is measured from the first
            step, which it reads last.
        inputs: (T, N, I): N windows of T steps; lags 0 to T - 1 are measured.
        state: the state before the windows, as in `Recurrent.forward`; None is the initial state.
        loss: (N, output size), the outputs at the loss's step, to the losses (N,); None is a random linear
            readout, g . h with |g| = 1.
        seed: of that readout.
        split_paths: for cells with a cell state, measure the path through it alone too; a second pass.
    Source: see the head of the file.
    """
    recurrent = as_recurrent(module)
    if loss is None:
        loss = _readout(inputs, recurrent.output_size, seed)
    gradients = _by_direction(recurrent, inputs, state, loss, cell_path_only=False)
    # One after the other: the graph of a pass is what takes the memory.
    cut = None
    if split_paths and len(recurrent.state_sizes) > 1:
        cut = _by_direction(recurrent, inputs, state, loss, cell_path_only=True)
    names = _part_names(len(recurrent.state_sizes))
    found: list[LayerFlow] = []
    for index in sorted(gradients, key=lambda row: (row % recurrent.directions, row)):
        layer, backward = divmod(index, recurrent.directions)
        name = f"layer {layer + 1}{' backward' if backward else ''}"
        norms = dict(zip(names, gradients[index], strict=True))
        found.append(LayerFlow(name, norms, None if cut is None else cut[index][1]))
    return GradientFlow(found)


def _by_direction(
    recurrent: Recurrent, inputs: Tensor, state: State | None, loss: Loss, cell_path_only: bool
) -> dict[int, list[NDArray[np.float64]]]:
    """For each layer and direction (its row in the state) and each tensor of its state, the norms (K, N)."""
    traced = trace(recurrent, inputs, state, cell_path_only)
    found: dict[int, list[NDArray[np.float64]]] = {}
    for backward in (False, True)[: recurrent.directions]:
        last = traced.outputs[0 if backward else -1]
        found |= _gradients(traced.layers, loss(last), backward)
    return found


def total_gradient(
    module: nn.Module, inputs: Tensor, losses: Loss, state: State | None = None
) -> list[NDArray[np.float64]]:
    """The norm of d(sum of all losses)/dh_t at every step, for each layer (T, N): what a step of BPTT sees.

    Args:
        module, inputs, state: as for `gradient_flow`.
        losses: (T, N, output size), all outputs, to a sum of losses.
    """
    traced = trace(as_recurrent(module), inputs, state)
    tensors = [part for layer in traced.layers for part in layer.part(0)]
    gradients = torch.autograd.grad(losses(traced.outputs).sum(), tensors, allow_unused=True)
    T = inputs.shape[0]
    norms = [_norm(gradient, tensor) for gradient, tensor in zip(gradients, tensors, strict=True)]
    found = []
    for index, layer in enumerate(traced.layers):
        rows = norms[index * T : (index + 1) * T]
        found.append(np.stack(rows[::-1] if layer.backward else rows))
    return found


def _gradients(
    layers: list[LayerTrace], losses: Tensor, backward: bool
) -> dict[int, list[NDArray[np.float64]]]:
    """For each layer of a direction and each tensor of its state the norms (K, N) by lag."""
    chosen = [index for index, layer in enumerate(layers) if layer.backward == backward]
    tensors = [
        part
        for index in chosen
        for number in range(len(layers[index].states[0]))
        for part in layers[index].part(number)
    ]
    gradients = torch.autograd.grad(losses.sum(), tensors, allow_unused=True, retain_graph=True)
    norms = [_norm(gradient, tensor) for gradient, tensor in zip(gradients, tensors, strict=True)]
    found: dict[int, list[NDArray[np.float64]]] = {}
    position = 0
    for index in chosen:
        found[index] = []
        for _ in layers[index].states[0]:
            T = len(layers[index].states) - 1
            # The last step read is lag 0.
            found[index].append(np.stack(norms[position : position + T][::-1]))
            position += T
    return found


def _norm(gradient: Tensor | None, tensor: Tensor) -> NDArray[np.float64]:
    """(N,): the norm of each row; zero where the loss does not depend on the tensor."""
    if gradient is None:
        return np.zeros(len(tensor))
    return torch.linalg.vector_norm(gradient.double(), dim=-1).cpu().numpy()


def _readout(like: Tensor, size: int, seed: int) -> Loss:
    generator = torch.Generator().manual_seed(seed)
    g = torch.randn(size, generator=generator, dtype=torch.float64)
    g = (g / g.norm()).to(like)
    return lambda last: last @ g


def _part_names(parts: int) -> list[str]:
    return ["h", "c", *(f"state {index}" for index in range(2, parts))][:parts]


def _slope(norms: NDArray[np.float64]) -> float | None:
    """Slope of log norm against lag, over the lags before rounding takes over; None for a lone point."""
    usable = norms > norms[0] * _NOISE if norms[0] > 0 else norms > 0
    usable &= np.isfinite(norms)
    end = len(norms) if usable.all() else int(np.argmin(usable))
    if end < 2:
        return None
    return float(np.polyfit(np.arange(end), np.log(norms[:end]), 1)[0])
