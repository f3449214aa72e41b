"""Recurrent under torch.compile and torch.autocast, and on the meta device: as torch.nn's layers are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cells.test_cells import VARIANTS
from throughtime import Recurrent


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("T", [0, 1, 5])
def test_the_meta_device_gives_shapes(name: str, options: dict[str, Any], T: int) -> None:
    real = Recurrent(name, 3, 4, 2, bidirectional=True, **options)
    with torch.device("meta"):
        recurrent = Recurrent(name, 3, 4, 2, bidirectional=True, **options)
    mask = torch.ones(T, 2, dtype=torch.bool)
    for lengths in ({}, {"lengths": [T, 0]}, {"mask": mask}, {"mask": mask.to("meta")}):
        outputs, state = recurrent(torch.empty(T, 2, 3, device="meta"), **lengths)
        expected, expected_state = real(torch.zeros(T, 2, 3))
        assert outputs.is_meta and all(part.is_meta for part in state)
        assert [part.shape for part in (outputs, *state)] == [
            part.shape for part in (expected, *expected_state)
        ]


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_autocast_gives_torchs_types_for_any_number_of_steps(name: str) -> None:
    ours, theirs = Recurrent(name, 3, 4), getattr(nn, name.upper())(3, 4)
    for T in (1, 2, 5):
        inputs = torch.randn(T, 2, 3)
        with torch.autocast("cpu", torch.bfloat16):
            outputs, state = ours(inputs)
            expected, final = theirs(inputs)
        final = final if name == "lstm" else (final,)
        assert [part.dtype for part in (outputs, *state)] == [part.dtype for part in (expected, *final)]


class Readout(nn.Module):
    """A network around a recurrence."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent, self.linear = recurrent, nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(torch.relu(self.recurrent(inputs)[0]))


@pytest.mark.parametrize("options", [{}, {"layer_norm": True, "zoneout": 0.1}])
def test_compiling_leaves_a_recurrence_as_it_is(options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    graphs = []

    def keep(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    model, inputs = Readout(Recurrent("lstm", 3, 4, **options)).eval(), torch.randn(300, 2, 3)
    outputs = torch.compile(model, backend=keep)(inputs)
    torch.testing.assert_close(outputs, model(inputs))
    outputs.sum().backward()
    # The readout is one graph; the 300 steps are not in it.
    assert [len(graph.graph.nodes) for graph in graphs] == [pytest.approx(6, abs=2)]


def test_training_a_compiled_lstm_works_where_inputs_need_no_gradient() -> None:
    torch._dynamo.reset()
    recurrent, inputs = Recurrent("lstm", 3, 4), torch.randn(5, 2, 3)
    torch.compile(recurrent, backend="aot_eager")(inputs)[0].sum().backward()
    found = [parameter.grad for parameter in recurrent.parameters()]
    recurrent.zero_grad()
    recurrent(inputs)[0].sum().backward()
    assert all(
        torch.equal(*pair) for pair in zip(found, (p.grad for p in recurrent.parameters()), strict=True)
    )
