"""Gates: set by hand, they are found where they were set; and the cells' own equations agree with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from throughtime import Cell, Recurrent
from throughtime.cells import State
from throughtime.errors import OptionError
from throughtime.inspection import gate_statistics


def test_a_gate_set_by_its_bias_is_found_there() -> None:
    module = nn.LSTM(2, 4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.bias_ih_l0[4:8] = torch.tensor([math.log(9), math.log(99), -10.0, 10.0])  # forget gate
    gates, units = gate_statistics(module, torch.randn(5, 3, 2))
    assert [gate.gate for gate in gates] == ["input gate", "forget gate", "candidate", "output gate"]
    forget = gates[1]
    np.testing.assert_allclose(forget.unit_means[:2], [0.9, 0.99], rtol=1e-5)
    assert forget.time_scales is not None
    np.testing.assert_allclose(forget.time_scales[:2], [-1 / math.log(0.9), -1 / math.log(0.99)], rtol=1e-3)
    assert forget.shut == 0.25
    assert forget.open == pytest.approx(0.5, abs=0.26)  # 0.9 itself lies on the edge
    assert gates[0].mean == 0.5
    assert gates[0].histogram[25] == 1.0
    assert gates[2].low == -1.0
    assert gates[2].shut is None
    # A candidate of zero never moves the cell state: every unit is dead.
    assert (units[0].dead, units[0].saturated, units[0].units) == (4, 0, 4)


def test_a_saturated_unit_is_counted() -> None:
    module = nn.RNN(1, 3)
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.tensor([[9.0], [0.1], [0.0]]))
        module.weight_hh_l0.zero_()
        module.bias_ih_l0.zero_(), module.bias_hh_l0.zero_()
    inputs = torch.where(torch.rand(50, 2, 1) < 0.5, -1.0, 1.0)
    gates, units = gate_statistics(module, inputs)
    assert gates == []
    assert (units[0].dead, units[0].saturated) == (1, 1)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {}),
        ("lstm", {"coupled": True, "peephole": True}),
        ("lstm", {"layer_norm": True, "projection": 3}),
        ("gru", {}),
        ("gru", {"reset_after": False}),
    ],
)
def test_the_gates_explain_the_step(cell: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    one = Recurrent(cell, 4, 5, **options).double().cells[0]
    projected = one.project(torch.randn(3, 4).double())
    state = tuple(torch.randn(3, size).double() for size in one.state_sizes)
    gates = one.gates(projected, state)
    _, new = one.step(projected, state)
    if cell == "gru":
        z, n = gates["update gate"], gates["candidate"]
        torch.testing.assert_close(new[0], (1 - z) * n + z * state[0])
    else:
        f, i, g = gates["forget gate"], gates["input gate"], gates["candidate"]
        torch.testing.assert_close(new[1], f * state[1] + i * g)
        if options.get("coupled"):
            torch.testing.assert_close(f, 1 - i)


class Declares(Cell):
    """A user's cell; what it says of its gates is given."""

    said: object = None

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))

    def step(self, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        return state[0] + projected.sum(), state

    def gates(self, projected: torch.Tensor, state: State) -> dict[str, torch.Tensor]:
        return self.said  # type: ignore[return-value]


def test_gates_of_ones_own_have_the_range_that_they_need_or_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recurrent = Recurrent(Declares, 2, 3)
    monkeypatch.setattr(Declares, "said", {"wide": torch.tensor([[-2.0, 0.0, 5.0]])})
    (gate,), _ = gate_statistics(recurrent, torch.ones(4, 1, 2))
    assert (gate.low, gate.high, gate.shut) == (-2.0, 5.0, None)
    assert gate.histogram.sum() == pytest.approx(1)
    for said in (torch.ones(1, 3), {"gate": 0.5}, None):
        monkeypatch.setattr(Declares, "said", said)
        with pytest.raises(OptionError, match=r"Declares\.gates has to return a dictionary"):
            gate_statistics(recurrent, torch.ones(4, 1, 2))
