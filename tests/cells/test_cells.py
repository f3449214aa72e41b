"""Each cell: against torch.nn, against its own equation written out, and by numerical gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from throughtime.cells import CELLS, GRU, LSTM, RNN, Cell
from throughtime.errors import OptionError

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"activation": "relu"}),
    ("rnn", {"bias": False}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("gru", {"reset_after": False, "bias": False}),
    ("lstm", {}),
    ("lstm", {"bias": False}),
    ("lstm", {"peephole": True}),
    ("lstm", {"projection": 3}),
    ("lstm", {"coupled": True}),
    ("lstm", {"layer_norm": True}),
    ("lstm", {"forget_bias": 1.0}),
    ("lstm", {"peephole": True, "projection": 2, "coupled": True, "layer_norm": True, "forget_bias": 2.0}),
]


def make(name: str, options: dict[str, Any], inputs: int = 3, hidden: int = 4) -> Cell:
    torch.manual_seed(0)
    return CELLS[name](inputs, hidden, **options).double()


def draw_state(cell: Cell, batch: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(batch, size, dtype=torch.double) for size in cell.state_sizes)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_gradients_agree_with_finite_differences(name: str, options: dict[str, Any], batch: int) -> None:
    cell = make(name, options)
    inputs = torch.randn(batch, 3, dtype=torch.double, requires_grad=True)
    state = tuple(part.requires_grad_() for part in draw_state(cell, batch))
    parameters = dict(cell.named_parameters())

    def step(inputs: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state, values = rest[: len(cell.state_sizes)], rest[len(cell.state_sizes) :]
        output, new = torch.func.functional_call(
            cell, dict(zip(parameters, values, strict=True)), (inputs, state)
        )
        return output, *new

    assert torch.autograd.gradcheck(step, (inputs, *state, *parameters.values()))


TORCH_CELLS = [
    ("rnn", {"activation": "tanh"}, lambda i, h: torch.nn.RNNCell(i, h)),
    ("rnn", {"activation": "relu"}, lambda i, h: torch.nn.RNNCell(i, h, nonlinearity="relu")),
    ("gru", {}, lambda i, h: torch.nn.GRUCell(i, h)),
    ("lstm", {}, lambda i, h: torch.nn.LSTMCell(i, h)),
]


@pytest.mark.parametrize(("name", "options", "peer"), TORCH_CELLS)
def test_a_step_equals_torchs_cell(name: str, options: dict[str, Any], peer: Any) -> None:
    cell, other = make(name, options, 5, 7), peer(5, 7).double()
    cell.load_state_dict(other.state_dict())
    inputs, state = torch.randn(3, 5, dtype=torch.double), draw_state(cell, 3)
    expected = other(inputs, state if name == "lstm" else state[0])
    _, found = cell(inputs, state)
    for one, two in zip(found, expected if name == "lstm" else (expected,), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("name", "options", "peer"), TORCH_CELLS)
def test_the_same_seed_draws_torchs_weights(name: str, options: dict[str, Any], peer: Any) -> None:
    torch.manual_seed(5)
    cell = CELLS[name](5, 7, **options)
    torch.manual_seed(5)
    other = peer(5, 7)
    for key, value in other.state_dict().items():
        assert torch.equal(cell.state_dict()[key], value)


def test_lstm_with_every_option_follows_its_equations() -> None:
    cell = make("lstm", {"peephole": True, "projection": 2, "layer_norm": True})
    assert isinstance(cell, LSTM)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    x, (h, c) = torch.randn(3, 3, dtype=torch.double), draw_state(cell, 3)
    gates = F.layer_norm(x @ cell.weight_ih.T, (16,), cell.norm_ih.weight)
    gates = gates + F.layer_norm(h @ cell.weight_hh.T, (16,), cell.norm_hh.weight)
    gates = gates + cell.bias_ih + cell.bias_hh
    i = torch.sigmoid(gates[:, 0:4] + cell.weight_peephole[0] * c)
    f = torch.sigmoid(gates[:, 4:8] + cell.weight_peephole[1] * c)
    new_c = f * c + i * torch.tanh(gates[:, 8:12])
    o = torch.sigmoid(gates[:, 12:16] + cell.weight_peephole[2] * new_c)
    normed = F.layer_norm(new_c, (4,), cell.norm_cell.weight, cell.norm_cell.bias)
    new_h = (o * torch.tanh(normed)) @ cell.weight_hr.T
    _, (found_h, found_c) = cell(x, (h, c))
    torch.testing.assert_close(found_h, new_h)
    torch.testing.assert_close(found_c, new_c)


def test_coupled_lstm_forgets_what_it_does_not_write() -> None:
    cell = make("lstm", {"coupled": True, "peephole": True})
    assert isinstance(cell, LSTM)
    assert cell.weight_ih.shape == (12, 3)
    assert cell.weight_peephole.shape == (2, 4)
    x, (h, c) = torch.randn(2, 3, dtype=torch.double), draw_state(cell, 2)
    gates = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih + cell.bias_hh
    i = torch.sigmoid(gates[:, 0:4] + cell.weight_peephole[0] * c)
    new_c = (1 - i) * c + i * torch.tanh(gates[:, 4:8])
    o = torch.sigmoid(gates[:, 8:12] + cell.weight_peephole[1] * new_c)
    _, (found_h, found_c) = cell(x, (h, c))
    torch.testing.assert_close(found_c, new_c)
    torch.testing.assert_close(found_h, o * torch.tanh(new_c))


def test_gru_of_the_paper_resets_before_the_product() -> None:
    cell = make("gru", {"reset_after": False})
    x, (h,) = torch.randn(2, 3, dtype=torch.double), draw_state(cell, 2)
    W, U, b, c = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    r = torch.sigmoid(x @ W[0:4].T + b[0:4] + h @ U[0:4].T + c[0:4])
    z = torch.sigmoid(x @ W[4:8].T + b[4:8] + h @ U[4:8].T + c[4:8])
    n = torch.tanh(x @ W[8:12].T + b[8:12] + (r * h) @ U[8:12].T + c[8:12])
    _, (found,) = cell(x, (h,))
    torch.testing.assert_close(found, (1 - z) * n + z * h)


@pytest.mark.parametrize("coupled", [False, True])
def test_forget_bias_sets_the_forget_gate_at_rest(coupled: bool) -> None:
    cell = LSTM(3, 4, forget_bias=1.5, coupled=coupled)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_ih[8:] = -100  # coupled: the output gate; otherwise the candidate and the output gate
        cell.bias_ih[4:8].add_(0 if not coupled else float("nan"))
    if coupled:
        with torch.no_grad():
            cell.bias_ih[4:8] = 0  # the candidate: tanh(0) = 0, so c_t = f c_{t-1}
            cell.bias_hh[4:8] = 0
    else:
        with torch.no_grad():
            cell.bias_ih[8:12] = 0
            cell.bias_hh[8:12] = 0
    _, (_, c) = cell(torch.randn(2, 3), (torch.zeros(2, 4), torch.ones(2, 4)))
    torch.testing.assert_close(c, torch.sigmoid(torch.tensor(1.5)).expand(2, 4))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="projection must be 0 .none. or below hidden_size 4, not 4"):
        LSTM(3, 4, projection=4)
    with pytest.raises(OptionError, match="forget_bias needs biases"):
        LSTM(3, 4, bias=False, forget_bias=1.0)
    with pytest.raises(OptionError, match="forget_bias is 1e[+]39, more than 32 bits hold"):
        LSTM(3, 4, forget_bias=1e39)
    for rounds in (-1, 1000, 2.5):
        with pytest.raises(OptionError, match=f"rounds must be a whole number from 0 to 100, not {rounds}"):
            CELLS["mogrifier"](3, 4, rounds=rounds)
    with pytest.raises(OptionError, match="use tanh or relu"):
        RNN(3, 4, activation="sigmoid")  # type: ignore[arg-type]
    assert GRU(3, 4).output_size == 4
