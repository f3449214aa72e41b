"""Gradient flow against closed forms, autograd by hand, and torch.nn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from throughtime import Cell, Recurrent
from throughtime.inspection import gradient_flow, total_gradient

T, H = 60, 8


class LinearRNN(Cell):
    """h_t = W h_{t-1} + x_t, whose gradient is a power of W."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.weight = nn.Parameter(torch.eye(hidden_size))

    def step(self, projected: torch.Tensor, state: Any) -> Any:
        h = projected + state[0] @ self.weight.T
        return h, (h,)


def linear(W: torch.Tensor) -> Recurrent:
    recurrent = Recurrent(LinearRNN, len(W), len(W)).double()
    with torch.no_grad():
        recurrent.cells[0].weight.copy_(W)
    return recurrent


def orthogonal(seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.linalg.qr(torch.randn(H, H, dtype=torch.double))[0]


def test_a_linear_rnn_multiplies_by_the_transposed_matrix_at_every_lag() -> None:
    torch.manual_seed(0)
    W = torch.randn(H, H, dtype=torch.double) / math.sqrt(H)
    g = torch.randn(H, dtype=torch.double)
    flow = gradient_flow(linear(W), torch.randn(T, 3, H).double(), loss=lambda last: last @ g)
    expected = [(torch.matrix_power(W.T, lag) @ g).norm().item() for lag in range(T)]
    for column in range(3):
        np.testing.assert_allclose(flow.layers[0].norms["h"][:, column], expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.9, 1.1])
def test_a_scaled_orthogonal_matrix_scales_the_norm_exactly(scale: float) -> None:
    flow = gradient_flow(linear(scale * orthogonal()), torch.randn(T, 4, H).double())
    layer = flow.layers[0]
    np.testing.assert_allclose(layer.curve, scale ** np.arange(T), rtol=1e-9)
    rate, low, high = layer.rate
    assert rate == pytest.approx(scale, rel=1e-9)
    assert low == pytest.approx(high, rel=1e-6)
    horizon = 300
    flow = gradient_flow(linear(scale * orthogonal()), torch.randn(horizon, 1, H).double())
    assert flow.verdict() == {1.0: "healthy", 0.9: "vanishing", 1.1: "exploding"}[scale]
    memory = math.floor(math.log(0.01) / math.log(0.9)) + 1 if scale == 0.9 else None
    assert flow.effective_memory == memory


def test_a_non_normal_matrix_grows_before_it_decays() -> None:
    a, b = 0.9, 5.0
    W = torch.tensor([[a, b], [0.0, a]], dtype=torch.double)
    g = torch.tensor([1.0, 0.0], dtype=torch.double)
    flow = gradient_flow(linear(W), torch.zeros(T, 1, 2).double(), loss=lambda last: last @ g)
    expected = [math.hypot(a**n, n * b * a ** (n - 1)) if n else 1.0 for n in range(T)]
    np.testing.assert_allclose(flow.layers[0].norms["h"][:, 0], expected, rtol=1e-9)
    assert abs(int(np.argmax(flow.layers[0].curve)) + 1 / math.log(a)) < 1.5


def test_an_lstm_with_open_forget_gates_keeps_the_cell_gradient() -> None:
    module = nn.LSTM(3, H).double()
    with torch.no_grad():
        module.weight_hh_l0.zero_()
        module.weight_ih_l0[H : 2 * H] = 0
        module.bias_ih_l0[H : 2 * H] = 100.0
    layer = gradient_flow(module, torch.randn(T, 2, 3).double()).layers[0]
    # dL/dc_t of the last step is o (1 - tanh^2 c) g, and it goes back unchanged.
    np.testing.assert_allclose(layer.norms["c"], np.broadcast_to(layer.norms["c"][0], (T, 2)), rtol=1e-9)
    assert layer.cell_share == pytest.approx(1.0)
    assert layer.verdict() == "healthy"


def test_without_recurrent_weights_the_cell_gradient_is_the_product_of_the_forget_gates() -> None:
    torch.manual_seed(1)
    module = nn.LSTM(3, H).double()
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    inputs = torch.randn(T, 1, 3, dtype=torch.double)
    layer = gradient_flow(module, inputs, loss=lambda last: last.sum(-1)).layers[0]
    gates = inputs[:, 0] @ module.weight_ih_l0.T + module.bias_ih_l0 + module.bias_hh_l0
    i, f, g, o = (gate.detach() for gate in gates.chunk(4, -1))
    c = torch.zeros(H, dtype=torch.double)
    for t in range(T):
        c = torch.sigmoid(f[t]) * c + torch.sigmoid(i[t]) * torch.tanh(g[t])
    gradient = torch.sigmoid(o[-1]) * (1 - torch.tanh(c) ** 2)
    for lag in range(T):
        assert layer.norms["c"][lag, 0] == pytest.approx(gradient.norm().item(), rel=1e-9)
        gradient = gradient * torch.sigmoid(f[T - 1 - lag])
    np.testing.assert_allclose(layer.cell_path, layer.norms["c"], rtol=1e-9)


def single_layers(module: Any) -> list[Any]:
    """The layers of a torch module as modules of one layer each."""
    layers = []
    for index in range(module.num_layers):
        layer = type(module)(module.input_size if index == 0 else 5, 5).double()
        layer.load_state_dict({key: getattr(module, key[:-1] + str(index)) for key in layer.state_dict()})
        layers.append(layer)
    return layers


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_every_layer_matches_autograd_by_hand(name: str) -> None:
    torch.manual_seed(2)
    module = getattr(nn, name)(3, 5, num_layers=2).double()
    inputs = torch.randn(7, 2, 3, dtype=torch.double)
    flow = gradient_flow(module, inputs, loss=lambda last: (last**2).sum(-1))
    assert [layer.name for layer in flow.layers] == ["layer 1", "layer 2"]
    cut = 3  # the state after three steps is a leaf, which the layer itself and the layer above read
    for index, found in enumerate(flow.layers):
        outputs, leaf = inputs, ()
        for number, layer in enumerate(single_layers(module)):
            if number != index:
                outputs, _ = layer(outputs)
                continue
            before, state = layer(outputs[:cut])
            leaf = tuple(p.detach().requires_grad_() for p in (state if name == "LSTM" else (state,)))
            after, _ = layer(outputs[cut:], leaf if name == "LSTM" else leaf[0])
            outputs = torch.cat([before[: cut - 1], leaf[0], after])
        (outputs[-1] ** 2).sum().backward()
        expected = [leaf[0].grad[0]]
        if name == "LSTM":
            h, c = (part.detach()[0] for part in leaf)
            expected.append(leaf[1].grad[0] + expected[0] * h / torch.tanh(c) * (1 - torch.tanh(c) ** 2))
        for key, gradient in zip(("h", "c"), expected, strict=False):
            np.testing.assert_allclose(found.norms[key][7 - cut], gradient.norm(dim=-1), rtol=1e-9)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_backward_direction_is_the_forward_one_on_reversed_inputs(name: str) -> None:
    torch.manual_seed(2)
    both, one = (getattr(nn, name)(3, 5, bidirectional=way).double() for way in (True, False))
    one.load_state_dict({key: getattr(both, key + "_reverse") for key in one.state_dict()})
    inputs = torch.randn(7, 2, 3, dtype=torch.double)
    readout = torch.randn(5, dtype=torch.double)
    flow = gradient_flow(both, inputs, loss=lambda last: last[:, 5:] @ readout)
    mirrored = gradient_flow(one, inputs.flip(0), loss=lambda last: last @ readout)
    assert [layer.name for layer in flow.layers] == ["layer 1", "layer 1 backward"]
    np.testing.assert_allclose(flow.layers[1].norms["h"], mirrored.layers[0].norms["h"], rtol=1e-9)


def test_the_total_gradient_sums_all_losses() -> None:
    W = 0.5 * torch.eye(H, dtype=torch.double)
    norms = total_gradient(linear(W), torch.zeros(6, 1, H).double(), lambda outputs: outputs.sum(-1))[0]
    # Losses at t, t+1, ...: 1 + 1/2 + 1/4 + ... in each of H units.
    expected = [math.sqrt(H) * sum(0.5**k for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(norms[:, 0], expected, rtol=1e-9)


def test_a_shared_torch_module_is_measured_as_it_is_now() -> None:
    module = nn.RNN(2, 3)
    inputs = torch.randn(5, 1, 2)
    before = gradient_flow(module, inputs).layers[0].curve
    with torch.no_grad():
        module.weight_hh_l0.mul_(0.1)
    assert gradient_flow(module, inputs).layers[0].curve[-1] < before[-1]


def test_one_step_is_enough() -> None:
    flow = gradient_flow(Recurrent("lstm", 2, 3), torch.randn(1, 2, 2))
    assert flow.layers[0].lags == 1
    assert flow.layers[0].rate == (0.0, 0.0, 0.0)
    assert flow.summary()[0]["lags_measured"] == 0


def test_a_notebook_shows_a_flow_as_a_table_and_a_picture() -> None:
    pytest.importorskip("matplotlib")
    flow = gradient_flow(nn.GRU(2, 3), torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(0)))
    shown = flow._repr_html_()
    assert "layer 1" in shown and "effective memory" in shown and "data:image/png;base64," in shown
    assert flow.figure()._repr_png_().startswith(b"\x89PNG")
