"""A captured program computes what the cell does; what has no program is refused with the user's line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.capture.cells import MinimalGatedUnit, every_cell
from throughtime.capture import capture_cell
from throughtime.cells import Cell, State
from throughtime.errors import OptionError
from throughtime.program import cell_from_json, cell_to_json
from throughtime.program.reference import initial_state, scan

CELLS = every_cell()


def weights_of(cell: Cell) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in cell.state_dict().items()}


@pytest.mark.parametrize("name", CELLS)
def test_the_reference_executor_computes_what_the_cell_does(name: str) -> None:
    cell = CELLS[name].double().eval()
    program, weights = capture_cell(cell), weights_of(cell)
    T, B = 6, 4
    inputs = torch.randn(T, B, cell.input_size, dtype=torch.double)
    state = cell.initial_state(B, inputs)
    for found, expected in zip(initial_state(program, weights, B), state, strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-7)
    found_outputs, found_state = scan(
        program, weights, inputs.numpy(), [part.detach().numpy() for part in state]
    )
    outputs = []
    with torch.no_grad():
        for projected in cell.project(inputs):
            output, state = cell.step(projected, state)
            outputs.append(output.numpy())
    np.testing.assert_allclose(found_outputs, np.stack(outputs), atol=1e-6, rtol=1e-6)
    for found, part in zip(found_state, state, strict=True):
        np.testing.assert_allclose(found, part.numpy(), atol=1e-6, rtol=1e-6)
    cell.float()


def test_a_program_is_the_same_after_a_journey_through_json() -> None:
    for cell in CELLS.values():
        program = capture_cell(cell)
        assert cell_from_json(json.loads(json.dumps(cell_to_json(program)))) == program


def test_capture_leaves_the_cell_in_training_mode() -> None:
    cell = MinimalGatedUnit(3, 4).train()
    capture_cell(cell)
    assert cell.training


class Branches(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        if h.sum() > 0:
            h = h * 2
        return h, (h,)


class Unknown(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = torch.fft.fft(h).real
        return h, (h,)


class Mixes(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = h - h.mean(0)
        return h, (h,)


class Draws(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = h + torch.rand_like(h)
        return h, (h,)


class LeavesTorch(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = torch.from_numpy(h.detach().numpy())
        return h, (h,)


class CountsRows(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        h = h.view(len(h), -1)
        return h, (h,)


class Shrinks(MinimalGatedUnit):
    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        (h,) = state
        return h, (h[:, :3],)


@pytest.mark.parametrize(
    ("cell", "line", "reason"),
    [
        (Branches, "if h.sum() > 0:", "use torch.where"),
        (Unknown, "h = torch.fft.fft(h).real", "fft_fft is not an operation"),
        (Mixes, "h = h - h.mean(0)", "mixes the sequences of a batch"),
        (Draws, "h = h + torch.rand_like(h)", "rand_like is not an operation"),
        (LeavesTorch, "h = torch.from_numpy(h.detach().numpy())", ""),
        (CountsRows, "", "use x.shape[0] or -1"),
        (Shrinks, "", "the new state.0 has another shape"),
    ],
)
def test_what_has_no_program_is_one_sentence_with_the_line(
    cell: type[Cell], line: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OptionError) as caught:
        capture_cell(cell(5, 7))
    message = str(caught.value)
    assert cell.__name__ in message and reason in message and "\n" not in message
    if line:
        assert "test_cell.py line" in message and line in message
    captured = capfd.readouterr()
    assert not captured.out and not captured.err
