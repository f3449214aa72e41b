"""The gradient of a long scan in little memory: only some states are kept, and the rest is computed again.

The steps are cut into pieces of k. Forward, only the state before each piece is kept; backward, each piece is
run once more, from the last to the first, and what it keeps for its gradient is let go before the next one.
That takes one more forward pass, and memory for T / k states and k steps.

Source: Chen, Xu, Zhang and Guestrin 2016 ("Training deep nets with sublinear memory cost").
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from throughtime.cells import State
from throughtime.kernels.scan import Kernel, Scan

# Steps of the run that shows what a step keeps: enough for every kernel to be itself.
_PROBED = 16


def run(kernel: Kernel, scan: Scan, budget: int) -> tuple[Tensor, State]:
    """Run a scan whose gradient keeps no more than some bytes, where that can be.

    Args:
        budget: bytes that may be kept beside inputs and outputs. A scan that needs less is run as usual; one
            that needs more at any k takes the k that needs least.
    Returns:
        What the kernel returns; its gradients are those of the plain scan.
    """
    T = scan.inputs.shape[0]
    if not torch.is_grad_enabled() or T <= 2 * _PROBED:
        return kernel.run(scan)
    of_step = _bytes_of_step(kernel, scan)
    if of_step * T <= budget:
        return kernel.run(scan)
    of_state = sum(part.numel() * part.element_size() for part in scan.state)
    steps = steps_between(T, of_step, of_state, budget)
    outputs, finals = [], []
    for direction, cell in enumerate(scan.cells):
        state = tuple(part[direction : direction + 1] for part in scan.state)
        mine = replace(scan, cells=(cell,), state=state)
        if direction:
            # Read from the end, the backward cell is a forward one.
            mine = replace(mine, inputs=_turned(scan, scan.inputs))
            if scan.mask is not None and scan.lengths is None:
                mine = replace(mine, mask=scan.mask.flip(0))
        weights = list(cell.parameters())
        output, *final = _Pieces.apply(kernel, mine, steps, mine.inputs, *state, *weights)
        outputs.append(_turned(scan, output) if direction else output)
        finals.append(final)
    joined = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
    return joined, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))


def steps_between(T: int, of_step: int, of_state: int, budget: int) -> int:
    """k, the steps of a piece: the most, and so the fewest pieces, with T / k states and k steps in a budget.

    Args:
        T: all steps.
        of_step: bytes that a step keeps for its gradient.
        of_state: bytes of a state.
        budget: bytes.
    """
    least = math.sqrt(T * of_state / max(of_step, 1))
    # k * of_step + T * of_state / k = budget, the larger solution.
    under = budget**2 - 4 * of_step * T * of_state
    most = (budget + math.sqrt(under)) / (2 * max(of_step, 1)) if under > 0 else least
    return min(max(int(most), 1), T)


def _bytes_of_step(kernel: Kernel, scan: Scan) -> int:
    """What autograd keeps for one step, seen from a short run."""
    kept: dict[int, int] = {}
    weights = {one.untyped_storage().data_ptr() for cell in scan.cells for one in cell.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = scan.inputs[:_PROBED].detach().clone().requires_grad_()
    state = tuple(part.detach().clone().requires_grad_() for part in scan.state)
    mask = None if scan.mask is None else torch.ones_like(scan.mask[:_PROBED])
    short = replace(scan, inputs=inputs, state=state, mask=mask, lengths=None)
    with torch.random.fork_rng([]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = kernel.run(short)
    del result
    return sum(kept.values()) // _PROBED


class _Pieces(torch.autograd.Function):
    """One direction of a scan, forward in time."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, scan: Scan, steps: int, inputs: Tensor, *tensors: Tensor) -> Any:
        parts = len(scan.state)
        state: State = tensors[:parts]
        T, B = inputs.shape[:2]
        outputs = inputs.new_empty(T, B, scan.cells[0].output_size)
        ctx.kernel, ctx.scan, ctx.steps = kernel, replace(scan, inputs=inputs.new_empty(0), state=()), steps
        ctx.generators, before = [], []
        for begin in range(0, T, steps):
            before.append(state)
            ctx.generators.append(torch.get_rng_state())
            piece = _piece(scan, begin, inputs[begin : begin + steps], state)
            outputs[begin : begin + steps], state = kernel.run(piece)
        ctx.parts, ctx.weights = parts, len(tensors) - parts
        # A gradient is computed outside of autocast, and each piece has to run as it did.
        kind = inputs.device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.save_for_backward(inputs, *tensors[parts:], *(part for state in before for part in state))
        return outputs, *state

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_outputs, *carried = gradients
        inputs, *saved = ctx.saved_tensors
        parts, steps = ctx.parts, ctx.steps
        weights, saved = saved[: ctx.weights], saved[ctx.weights :]
        now = list(ctx.scan.cells[0].parameters())
        if any(one is not other for one, other in zip(weights, now, strict=True)):
            raise RuntimeError("a scan with a limit of memory goes back with the weights that it ran with")
        learned = [weight for weight in weights if weight.requires_grad]
        of_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[3] else None
        totals = [torch.zeros_like(weight) for weight in learned]
        for number in range(len(ctx.generators) - 1, -1, -1):
            begin = number * steps
            piece = inputs[begin : begin + steps].detach().requires_grad_(of_inputs is not None)
            state = [part.detach().requires_grad_() for part in saved[number * parts : (number + 1) * parts]]
            kind, dtype, enabled = ctx.autocast
            autocast = torch.autocast(kind, dtype, enabled)
            with torch.random.fork_rng([]), torch.enable_grad(), autocast:
                torch.set_rng_state(ctx.generators[number])
                outputs, final = ctx.kernel.run(_piece(ctx.scan, begin, piece, tuple(state)))
            wanted = [*state, *learned, *([piece] if of_inputs is not None else [])]
            found = torch.autograd.grad(
                [outputs, *final],
                wanted,
                [of_outputs[begin : begin + steps], *carried],
                allow_unused=True,
            )
            zeros = [torch.zeros_like(a) if b is None else b for a, b in zip(wanted, found, strict=True)]
            carried = zeros[:parts]
            for total, one in zip(totals, zeros[parts : parts + len(learned)], strict=True):
                total += one
            if of_inputs is not None:
                of_inputs[begin : begin + steps] = zeros[-1]
        of_learned = iter(totals)
        of_weights = [next(of_learned) if weight.requires_grad else None for weight in weights]
        return None, None, None, of_inputs, *carried, *of_weights


def _piece(scan: Scan, begin: int, inputs: Tensor, state: State) -> Scan:
    """Some steps of a scan, from `begin` on."""
    steps = len(inputs)
    mask = None if scan.mask is None else scan.mask[begin : begin + steps]
    lengths = None if scan.lengths is None else (scan.lengths - begin).clamp(0, steps)
    return replace(scan, inputs=inputs, state=state, mask=mask, lengths=lengths)


def _turned(scan: Scan, sequence: Tensor) -> Tensor:
    """Each sequence from its last step to its first; what fills it up stays behind it."""
    if scan.lengths is None:
        return sequence.flip(0)
    T, B, F = sequence.shape
    steps, lengths = torch.arange(T)[:, None], scan.lengths
    order = torch.where(steps < lengths, lengths - 1 - steps, steps).to(sequence.device)
    return sequence.gather(0, order.unsqueeze(-1).expand(T, B, F))
