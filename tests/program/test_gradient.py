"""The derived backward step gives the gradients that autograd finds, for every kind of cell and operation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.capture.cells import every_cell
from throughtime.capture import capture_cell
from throughtime.cells import Cell
from throughtime.kernels import functions
from throughtime.program.gradient import derive
from throughtime.program.gradient_reference import scan_gradients

CELLS = every_cell()
# Programs are of 32-bit numbers: so are the epsilon of rms_norm, and the sixths of hardsigmoid.
TOLERANCES = {"layer norm": 1e-4, "activations": 1e-6}


def expected(cell: Cell, projected: Tensor, state: tuple[Tensor, ...], backward: bool) -> tuple[Tensor, ...]:
    outputs = []
    for t in reversed(range(len(projected))) if backward else range(len(projected)):
        output, state = cell.step(projected[t], state)
        outputs.append(output)
    return torch.stack(outputs[::-1] if backward else outputs), *state


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_the_derived_gradients_are_those_of_autograd(name: str, backward: bool) -> None:
    torch.manual_seed(1)
    cell = CELLS[name].double()
    T, B = 4, 3
    inputs = torch.randn(T, B, cell.input_size, dtype=torch.double)
    projected = cell.project(inputs).detach().requires_grad_()
    state = tuple(
        (torch.randn_like(part) * 0.3 + part.detach()).abs().requires_grad_()
        for part in cell.initial_state(B, inputs)
    )
    atol = TOLERANCES.get(name, 1e-9)
    results = expected(cell, projected, state, backward)
    gradients = [torch.randn_like(result) for result in results]

    training = derive(capture_cell(cell).step)
    weights = {name: tensor for name, tensor in cell.state_dict(keep_vars=True).items()}
    arrays = {name: tensor.detach().numpy() for name, tensor in weights.items()}
    found = scan_gradients(
        training,
        arrays,
        projected.detach().numpy(),
        [part.detach().numpy() for part in state],
        gradients[0].numpy(),
        [gradient.numpy() for gradient in gradients[1:]],
        backward=backward,
    )
    for mine, theirs in zip((found.outputs, *found.final), results, strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=atol)

    # Through what is computed before the scan autograd goes by itself.
    parts = training.parts
    fixed = functions.run(parts.fixed, {}, weights)
    ahead = functions.run(
        parts.ahead, {"projected": projected.flatten(0, 1)}, dict(zip(parts.fixed_names, fixed, strict=True))
    )
    read = [tensor for tensor in weights.values() if tensor.requires_grad]
    seeds = [torch.from_numpy(found.weights[name]) for name in parts.fixed_names]
    seeds += [torch.from_numpy(gradient).flatten(0, 1) for gradient in found.streams.values()]
    pairs = [(a, b) for a, b in zip([*fixed, *ahead], seeds, strict=True) if a.requires_grad]
    mine = torch.autograd.grad(
        [a for a, _ in pairs], [projected, *read], [b for _, b in pairs], allow_unused=True
    )
    theirs = torch.autograd.grad(results, [projected, *read, *state], gradients, allow_unused=True)
    for a, b in zip(mine, theirs, strict=False):
        zeros = torch.zeros((), dtype=torch.double)
        pair = torch.broadcast_tensors(zeros if a is None else a, zeros if b is None else b)
        torch.testing.assert_close(*pair, atol=atol, rtol=max(atol, 1e-7))
    for a, b in zip(found.state, theirs[-len(state) :], strict=True):
        np.testing.assert_allclose(a, 0 if b is None else b.numpy(), atol=atol)
    cell.float()
