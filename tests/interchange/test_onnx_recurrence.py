"""Recurrences as ONNX graphs, run by onnxruntime, against the cells' own equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from throughtime import Recurrent
from throughtime.config import RecurrenceConfig

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.interchange.graph import FLOAT, Graph  # noqa: E402
from throughtime.interchange.onnx_recurrence import OnnxRecurrence, lengths_of  # noqa: E402
from throughtime.models.functions import state_names  # noqa: E402
from throughtime.program.network import Port  # noqa: E402

I, H = 3, 5
CELLS: list[dict[str, Any]] = [
    {"cell": "rnn"},
    {"cell": "rnn", "activation": "relu"},
    {"cell": "gru"},
    {"cell": "gru", "reset_after": False},
    {"cell": "lstm"},
    {"cell": "lstm", "peephole": True},
    {"cell": "lstm", "projection": 2},
    {"cell": "lstm", "coupled": True},
    {"cell": "lstm", "layer_norm": True},
    {"cell": "lstm", "peephole": True, "projection": 2, "coupled": True, "layer_norm": True},
]
ZONEOUT: list[dict[str, Any]] = [
    {**cell, "zoneout": 0.3} for cell in (CELLS[1], CELLS[3], CELLS[4], CELLS[-1])
]


def name(options: dict[str, Any]) -> str:
    return "-".join(str(value) if key == "cell" else key for key, value in options.items())


class Alone(torch.nn.Module):
    """A network that is nothing but a recurrence."""

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        self.recurrent = recurrent

    def functions(self) -> dict[str, Any]:
        return {}


def build(
    options: dict[str, Any], layers: int, bidirectional: bool, bias: bool = True
) -> tuple[Recurrent, Callable[[Graph], OnnxRecurrence]]:
    """A recurrence with every weight drawn, norms and biases too; and what the export makes of it."""
    torch.manual_seed(0)
    config = RecurrenceConfig(hidden=H, layers=layers, **options)
    extra = {} if bias else {"bias": False}
    recurrent = Recurrent(
        config.cell, I, H, bidirectional=bidirectional, **{**config.recurrent_options(), **extra}
    ).eval()
    for parameter in recurrent.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    recurrent.kernel = "reference"
    alone = Alone(recurrent).eval()
    arrays = {key: value.numpy() for key, value in alone.state_dict().items()}
    program = capture_network(alone)
    return recurrent, lambda graph: OnnxRecurrence(graph, program, "recurrent", arrays)


def run(
    make: Callable[[Graph], OnnxRecurrence],
    inputs: dict[str, np.ndarray],
    with_state: bool,
    with_lengths: bool,
) -> list[np.ndarray]:
    graph = Graph()
    recurrence = make(graph)
    x = graph.input(Port("x", FLOAT, ("T", "B", I), "inputs"))
    rows, sizes = len(recurrence.cells), recurrence.state_sizes
    names = state_names(len(sizes))
    state, lengths = None, None
    if with_state:
        ports = zip(names, sizes, strict=True)
        state = [graph.input(Port(part, FLOAT, (rows, "B", size), "state")) for part, size in ports]
    if with_lengths:
        lengths = lengths_of(graph, graph.input(Port("lengths", "int64", ("B",), "lengths", "T")), x)
    outputs, final = recurrence.run(x, state, lengths)
    width = recurrence.output_size * recurrence.directions
    graph.output(outputs, Port("outputs", FLOAT, ("T", "B", width), "outputs"))
    for part, value, size in zip(names, final, sizes, strict=True):
        graph.output(value, Port(f"new_{part}", FLOAT, (rows, "B", size), "state"))
    session = onnxruntime.InferenceSession(graph.model("test").SerializeToString())
    return session.run(None, inputs)


def compare(
    options: dict[str, Any],
    T: int = 7,
    B: int = 3,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    with_state: bool = True,
    lengths: list[int] | None = None,
) -> None:
    recurrent, make = build(options, layers, bidirectional, bias)
    x = torch.randn(T, B, I)
    if lengths is not None:
        x[torch.arange(T)[:, None] >= torch.tensor(lengths)] = float("nan")
    inputs = {"x": x.numpy()}
    state = None
    if with_state:
        state = tuple(torch.randn(len(recurrent.cells), B, size) for size in recurrent.state_sizes)
        inputs |= {part: value.numpy() for part, value in zip(state_names(len(state)), state, strict=True)}
    if lengths is not None:
        inputs["lengths"] = np.array(lengths)
    with torch.inference_mode():
        outputs, final = recurrent(x, state, lengths)
    found = run(make, inputs, with_state, lengths is not None)
    for mine, expected in zip(found, (outputs, *final), strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("layers, bidirectional", [(1, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("options", CELLS + ZONEOUT, ids=name)
def test_a_sequence_gives_the_cells_numbers(
    options: dict[str, Any], layers: int, bidirectional: bool
) -> None:
    compare(options, layers=layers, bidirectional=bidirectional)
    compare(options, layers=layers, bidirectional=bidirectional, with_state=False)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("options", CELLS + ZONEOUT, ids=name)
def test_steps_past_a_length_do_not_count(options: dict[str, Any], bidirectional: bool) -> None:
    compare(options, layers=2, bidirectional=bidirectional, lengths=[7, 1, 5])


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("options", CELLS + ZONEOUT, ids=name)
def test_a_sequence_of_length_0_keeps_its_state(options: dict[str, Any], with_state: bool) -> None:
    compare(options, layers=2, bidirectional=True, with_state=with_state, lengths=[0, 7, 3])
    compare(options, layers=2, with_state=with_state, lengths=[0, 0, 0])


@pytest.mark.parametrize("T, B", [(1, 1), (1, 3), (5, 1)])
@pytest.mark.parametrize("options", CELLS + ZONEOUT, ids=name)
def test_one_step_and_one_row_are_sizes_like_others(options: dict[str, Any], T: int, B: int) -> None:
    compare(options, T=T, B=B, layers=2)
    compare(options, T=T, B=B, lengths=[T, 1, 1][:B])


@pytest.mark.parametrize("options", CELLS, ids=name)
def test_cells_may_lack_biases(options: dict[str, Any]) -> None:
    compare(options, bias=False)
    compare({**options, "zoneout": 0.2}, bias=False)


def test_onnx_own_operators_are_used_where_they_say_the_same() -> None:
    found = {name(options): build(options, 1, False)[1](Graph()).cells[0].is_standard for options in CELLS}
    assert [key for key, standard in found.items() if not standard] == [
        "lstm-projection",
        "lstm-coupled",
        "lstm-layer_norm",
        "lstm-peephole-projection-coupled-layer_norm",
    ]
