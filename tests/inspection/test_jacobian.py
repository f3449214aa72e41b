"""Singular values, radii and Lyapunov exponents against dense algebra and known matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.inspection.test_flow import LinearRNN, linear
from throughtime import Recurrent
from throughtime.errors import NotANumberError, OptionError
from throughtime.inspection import LayerJacobian, recurrent_spectrum


def rotation_and_scales() -> torch.Tensor:
    Q = torch.linalg.qr(torch.randn(6, 6, dtype=torch.double, generator=torch.Generator().manual_seed(1)))[0]
    return Q @ torch.diag(torch.tensor([1.5, 1.2, 0.9, 0.5, 0.3, 0.1], dtype=torch.double)) @ Q.T


def test_a_linear_cell_has_its_matrix_as_jacobian() -> None:
    W = torch.randn(6, 6, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    jacobian = LayerJacobian(linear(W), torch.randn(5, 1, 6).double())
    torch.testing.assert_close(jacobian.dense(2), W)
    V = torch.randn(6, 3).double()
    torch.testing.assert_close(jacobian.push(0, V), W @ V)
    torch.testing.assert_close(jacobian.pull(0, V), W.T @ V)
    assert jacobian.spectral_radius(0) == pytest.approx(torch.linalg.eigvals(W).abs().max().item())
    torch.testing.assert_close(
        jacobian.singular_values(1, 4, count=2),
        torch.linalg.svdvals(torch.matrix_power(W, 3))[:2],
        rtol=1e-6,
        atol=0,
    )


def test_lyapunov_exponents_of_a_symmetric_matrix_are_the_logs_of_its_eigenvalues() -> None:
    jacobian = LayerJacobian(linear(rotation_and_scales()), torch.zeros(150, 1, 6).double())
    found = jacobian.lyapunov_exponents(count=6, skip=100)
    np.testing.assert_allclose(found, np.log([1.5, 1.2, 0.9, 0.5, 0.3, 0.1]), atol=1e-9)


def test_a_random_matrix_has_the_exponents_of_gaussian_products() -> None:
    """One fixed matrix with entries N(0, g^2/n): the top exponent tends to the log of its spectral radius."""
    n = 60
    W = 1.1 * torch.randn(n, n, dtype=torch.double, generator=torch.Generator().manual_seed(3)) / math.sqrt(n)
    jacobian = LayerJacobian(linear(W), torch.zeros(700, 1, n).double())
    radius = torch.linalg.eigvals(W).abs().max().item()
    assert jacobian.lyapunov_exponents(1, skip=200)[0] == pytest.approx(math.log(radius), abs=1e-2)
    assert jacobian.spectral_radius(0, dimensions=45) == pytest.approx(radius, rel=2e-2)
    assert jacobian.spectral_radius(0, dimensions=60) == pytest.approx(radius, rel=1e-9)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_cells_jacobian_is_that_of_autograd(cell: str, backward: bool) -> None:
    torch.manual_seed(0)
    recurrent = Recurrent(cell, 3, 5, num_layers=2, bidirectional=True).double()
    inputs = torch.randn(7, 1, 3, dtype=torch.double)
    jacobian = LayerJacobian(recurrent, inputs, layer=1, backward=backward)
    dense = jacobian.dense(3)
    row = 2 + int(backward)
    lower, _ = Recurrent.forward(recurrent, inputs)
    one = recurrent.cells[row]
    layer_inputs = torch.cat(
        [_layer_outputs(recurrent, inputs, 0, False), _layer_outputs(recurrent, inputs, 0, True)], -1
    )
    order = layer_inputs.flip(0) if backward else layer_inputs
    state = one.initial_state(1, inputs)
    for t in range(3):
        _, state = one(order[t], state)
    flat = torch.cat([part[0] for part in state]).detach()

    def step(flat: torch.Tensor) -> torch.Tensor:
        _, new = one(order[3], tuple(part[None] for part in flat.split(5)))
        return torch.cat([part[0] for part in new])

    torch.testing.assert_close(dense, torch.autograd.functional.jacobian(step, flat))
    torch.testing.assert_close(
        jacobian.singular_values(3, count=3), torch.linalg.svdvals(dense)[:3], rtol=1e-5, atol=1e-12
    )
    assert lower.shape == (7, 1, 10)


def _layer_outputs(recurrent: Recurrent, inputs: torch.Tensor, layer: int, backward: bool) -> torch.Tensor:
    cell = recurrent.cells[layer * 2 + int(backward)]
    state, outputs = cell.initial_state(1, inputs), []
    for one in inputs.flip(0) if backward else inputs:
        output, state = cell(one, state)
        outputs.append(output)
    stacked = torch.stack(outputs)
    return stacked.flip(0) if backward else stacked


def test_a_contracting_and_a_chaotic_rnn_are_told_apart() -> None:
    torch.manual_seed(0)
    exponents = []
    for gain in (0.5, 3.0):
        recurrent = Recurrent("rnn", 1, 80).double()
        with torch.no_grad():
            recurrent.cells[0].weight_hh.normal_(std=gain / math.sqrt(80))
        inputs = torch.zeros(250, 1, 1).double()
        start = (torch.randn(1, 1, 80).double(),)
        exponents.append(LayerJacobian(recurrent, inputs, state=start).lyapunov_exponents(1, skip=100)[0])
    assert exponents[0] < -0.3
    assert exponents[1] > 0.1


def test_the_spectrum_of_the_recurrent_matrices_has_the_gates_names() -> None:
    recurrent = Recurrent("lstm", 3, 4)
    spectrum = recurrent_spectrum(recurrent)
    assert list(spectrum) == ["input gate", "forget gate", "candidate", "output gate"]
    expected = torch.linalg.eigvals(recurrent.cells[0].weight_hh[4:8].double()).detach().numpy()
    np.testing.assert_allclose(np.sort_complex(spectrum["forget gate"]), np.sort_complex(expected), atol=1e-9)
    with pytest.raises(OptionError, match="LinearRNN has no square"):
        recurrent_spectrum(Recurrent(LinearRNN, 2, 2))


def test_a_span_outside_the_sequence_is_refused() -> None:
    jacobian = LayerJacobian(Recurrent("rnn", 2, 3), torch.randn(4, 1, 2))
    with pytest.raises(OptionError, match=r"\[2, 5\)"):
        jacobian.singular_values(2, 5)
    with pytest.raises(OptionError, match="skip"):
        jacobian.lyapunov_exponents(1, skip=4)


def test_a_jacobian_that_is_not_finite_is_said() -> None:
    network: Any = Recurrent("rnn", 2, 3, activation="relu")
    with torch.no_grad():
        network.cells[0].weight_hh.fill_(3e38)
    jacobian = LayerJacobian(network, torch.ones(2, 1, 2))
    with pytest.raises(NotANumberError, match="the Jacobian of step 1 is not finite"):
        jacobian.singular_values(1)
