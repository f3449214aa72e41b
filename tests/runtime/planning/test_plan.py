"""The native executor against the reference: every cell, precision, instruction set, batch, thread count."""

from __future__ import annotations

import numpy as np
import pytest

from tests.capture.cells import every_cell
from throughtime import _native
from throughtime.capture import capture_cell
from throughtime.program.reference import initial_state, scan
from throughtime.runtime.planning.plan import Plan

CELLS = every_cell()
# How far a step may be from fp32: bf16 keeps 8 bits of each weight and input, int8 at most 7.
CLOSE = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.25}


@pytest.mark.parametrize("name", CELLS)
def test_native_programs_compute_what_the_reference_does(name: str) -> None:
    cell = CELLS[name]
    program = capture_cell(cell)
    weights = {key: tensor.detach().numpy() for key, tensor in cell.state_dict().items()}
    plan = Plan(program, weights).flat()
    random = np.random.default_rng(0)
    T, B = 5, 11
    inputs = random.normal(size=(T, B, program.input_size)).astype(np.float32)
    state = [
        (part + 0.1 * random.normal(size=part.shape)).astype(np.float32)
        for part in initial_state(program, weights, B)
    ]
    expected, expected_state = scan(program, weights, inputs, state)
    for precision, tolerance in CLOSE.items():
        for isa in _native.available_isas().split():
            native = _native.Layer.of_plan(plan.numbers, plan.arrays, precision, isa)
            outputs, final = native.scan(inputs, state, None, False, 1)
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(outputs / scale, expected / scale, atol=tolerance)
            if precision == "fp32":
                for found, part in zip(final, expected_state, strict=True):
                    np.testing.assert_allclose(found, part, atol=tolerance, rtol=1e-4)
            for threads in (1, 2, 3):
                again, _ = native.scan(inputs, state, None, False, threads)
                assert np.array_equal(again, outputs), (precision, isa, threads)
            for rows in (1, 2):
                some = np.ascontiguousarray(inputs[:, :rows])
                mine = [np.ascontiguousarray(part[:rows]) for part in state]
                few, _ = native.scan(some, mine, None, False, 2)
                assert np.array_equal(few, outputs[:, :rows]), (precision, isa, rows)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm with all", "learned start"])
def test_zoneout_moves_each_unit_by_its_share(name: str) -> None:
    cell = CELLS[name]
    program = capture_cell(cell)
    weights = {key: tensor.detach().numpy() for key, tensor in cell.state_dict().items()}
    rates = [0.1, 0.3][: len(program.state_sizes)]
    plan = Plan(program, weights, rates).flat()
    native = _native.Layer.of_plan(plan.numbers, plan.arrays)
    inputs = np.random.default_rng(0).normal(size=(1, 3, program.input_size)).astype(np.float32)
    state = [np.full((3, size), 0.5, np.float32) for size in program.state_sizes]
    _, plain = scan(program, weights, inputs, state)
    outputs, found = native.scan(inputs, state, None, False, 1)
    for new, old, part, rate in zip(plain, state, found, rates, strict=True):
        np.testing.assert_allclose(part, new + rate * (old - new), atol=1e-5)
    if name != "learned start":
        np.testing.assert_array_equal(outputs[0], found[0])


@pytest.mark.parametrize("name", ["mogrifier", "slstm of odd heads", "learned start"])
def test_lengths_and_the_backward_direction_are_the_references(name: str) -> None:
    cell = CELLS[name]
    program = capture_cell(cell)
    weights = {key: tensor.detach().numpy() for key, tensor in cell.state_dict().items()}
    plan = Plan(program, weights).flat()
    native = _native.Layer.of_plan(plan.numbers, plan.arrays)
    inputs = np.random.default_rng(0).normal(size=(6, 4, program.input_size)).astype(np.float32)
    state = [np.asarray(part, np.float32) for part in initial_state(program, weights, 4)]
    lengths = np.array([6, 0, 1, 4])
    for backward in (False, True):
        expected, expected_state = scan(program, weights, inputs, state, lengths, backward)
        outputs, found = native.scan(inputs, state, lengths, backward, 2)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        for part, other in zip(found, expected_state, strict=True):
            np.testing.assert_allclose(part, other, atol=1e-5)
