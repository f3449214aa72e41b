"""Closed-form facts about gradients through time, on our cells and through the inspector.

The facts are those of gradient_facts.py in the folder of published expectations, by its numbers; facts 1 to 3
and 6b, 6c are in tests/inspection.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from throughtime import Recurrent
from throughtime.cells.cell import GatedCell
from throughtime.inspection import LayerJacobian, gradient_flow
from throughtime.training.trainer import clip_gradients

T, H = 60, 8


def layer(cell: str, inputs: int = 3, **options: Any) -> tuple[Recurrent, GatedCell]:
    torch.manual_seed(0)
    recurrent = Recurrent(cell, inputs, H, **options).double()
    return recurrent, recurrent.cells[0]  # type: ignore[return-value]


def gradient_at_start(recurrent: Recurrent, inputs: torch.Tensor, g: torch.Tensor, part: int) -> torch.Tensor:
    """d(state . g)/d(initial state) of one part of the state, and the part itself at the end."""
    state = tuple(p.detach().requires_grad_() for p in recurrent.initial_state(1, inputs))
    _, final = recurrent(inputs, state)
    return torch.autograd.grad((final[part][0, 0] * g).sum(), state[part])[0][0, 0]


def test_4b_a_tanh_rnn_multiplies_the_jacobians_of_its_steps() -> None:
    recurrent, cell = layer("rnn", H)
    with torch.no_grad():
        cell.weight_hh.normal_(std=0.8 / math.sqrt(H))
    inputs, g = torch.randn(T, 1, H).double(), torch.randn(H).double()
    jacobian = LayerJacobian(recurrent, inputs)
    outputs, _ = recurrent(inputs)
    product = torch.eye(H, dtype=torch.double)
    for t in range(T):
        expected = torch.diag(1 - outputs[t, 0].detach() ** 2) @ cell.weight_hh.detach()
        torch.testing.assert_close(jacobian.dense(t), expected)
        product = expected @ product
    torch.testing.assert_close(gradient_at_start(recurrent, inputs, g, 0), product.T @ g)


def test_5_an_irnn_keeps_the_gradient_of_non_negative_inputs_exactly() -> None:
    recurrent, cell = layer("rnn", H, activation="relu")
    with torch.no_grad():
        cell.weight_ih.copy_(torch.eye(H))
        cell.weight_hh.copy_(torch.eye(H))
        cell.bias_ih.zero_(), cell.bias_hh.zero_()  # type: ignore[union-attr]
    inputs = torch.rand(T, 2, H).double()
    outputs, _ = recurrent(inputs)
    torch.testing.assert_close(outputs[-1], inputs.sum(0))
    flow = gradient_flow(recurrent, inputs)
    np.testing.assert_allclose(flow.layers[0].curve, 1, rtol=1e-12)
    assert flow.verdict() == "healthy"


@pytest.mark.parametrize("bias", [0.0, 1.0, math.log(T - 1)])
def test_6a_an_lstm_of_zeros_forgets_by_the_sigmoid_of_its_bias(bias: float) -> None:
    recurrent, cell = layer("lstm")
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[H : 2 * H] = bias  # type: ignore[index]
    g = torch.randn(H).double()
    found = gradient_at_start(recurrent, torch.randn(T, 1, 3).double(), g, 1)
    torch.testing.assert_close(found, (1 / (1 + math.exp(-bias))) ** T * g)


def test_7a_a_gru_without_recurrent_weights_keeps_the_product_of_its_update_gates() -> None:
    recurrent, cell = layer("gru")
    with torch.no_grad():
        cell.weight_hh.zero_()
    inputs, g = torch.randn(T, 1, 3).double(), torch.randn(H).double()
    gates = inputs[:, 0] @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh
    kept = torch.sigmoid(gates[:, H : 2 * H]).prod(0).detach()
    torch.testing.assert_close(gradient_at_start(recurrent, inputs, g, 0), kept * g)


@pytest.mark.parametrize("reset_after", [True, False])
def test_7b_a_saturated_update_gate_keeps_state_and_gradient_exactly(reset_after: bool) -> None:
    recurrent, cell = layer("gru", reset_after=reset_after)
    with torch.no_grad():
        cell.weight_hh[H : 2 * H] = 0
        cell.weight_ih[H : 2 * H] = 0
        cell.bias_ih[H : 2 * H] = 100.0  # type: ignore[index]
    inputs, g = torch.randn(T, 1, 3).double(), torch.randn(H).double()
    start = torch.randn(1, 1, H).double()
    # PyTorch writes n + z (h - n), which rounds.
    torch.testing.assert_close(recurrent(inputs, (start,))[1][0], start, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradient_at_start(recurrent, inputs, g, 0), g)
    flow = gradient_flow(recurrent, inputs)
    np.testing.assert_allclose(flow.layers[0].curve, 1, rtol=1e-9)


def test_10_clipping_scales_by_exactly_threshold_over_norm() -> None:
    model = torch.nn.Linear(2, 2, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert clip_gradients(model, max_norm=1.0, max_value=0) == 5.0
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.8], [0.0, 0.0]]), rtol=0, atol=1e-7)


def test_11_zero_logits_lose_ln_v() -> None:
    from throughtime.models.softmax_loss import softmax_loss

    logits = torch.zeros(7, 1, 11, requires_grad=True)
    loss = softmax_loss(logits, torch.arange(7)[:, None])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(11))
    assert logits.grad is not None
    assert logits.grad.sum().item() == pytest.approx(0, abs=1e-7)
    assert logits.grad[0, 0, 0].item() == pytest.approx((1 / 11 - 1) / 7)
