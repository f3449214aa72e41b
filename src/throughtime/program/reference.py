"""Runs programs in NumPy, one node after the other: the oracle for every other way to run one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from throughtime.program.operations import OPERATIONS, Array
from throughtime.program.program import WEIGHT, CellProgram, Function, Operand


def run(function: Function, inputs: Mapping[str, Array], weights: Mapping[str, Array]) -> list[Array]:
    """Compute a function.

    Args:
        function: the program.
        inputs: its inputs by name, of the types that it declares; each free size is the same wherever its
            name stands.
        weights: its weights by name.
    Returns:
        The outputs.
    Raises:
        ValueError: an input or a weight has another shape than the function declares.
    """
    sizes: dict[str, int] = {}
    values: dict[str, Array] = {}
    for name, declared in function.inputs.items():
        values[name] = _checked(name, inputs[name], declared.shape, sizes)
    for name, declared in function.weights.items():
        values[f"{WEIGHT}{name}"] = _checked(name, weights[name], declared.shape, sizes)
    dtype = np.result_type(*(value for value in values.values() if value.dtype != np.bool_))

    def value_of(operand: Operand) -> Array:
        return values[operand] if isinstance(operand, str) else np.asarray(operand, dtype)

    with np.errstate(all="ignore"):  # infinities and NaN go on as they do in torch
        for node in function.nodes:
            attributes = dict(node.attributes)
            if "shape" in attributes:
                attributes["shape"] = tuple(_resolved(side, sizes) for side in attributes["shape"])
            operands = map(value_of, node.operands)
            values[node.name] = OPERATIONS[node.operation].compute(*operands, **attributes)
    return [value_of(operand) for operand in function.outputs]


def scan(
    cell: CellProgram,
    weights: Mapping[str, Array],
    inputs: Array,
    state: Sequence[Array],
    lengths: Array | None = None,
    backward: bool = False,
) -> tuple[Array, tuple[Array, ...]]:
    """Carry a cell over a batch of sequences.

    Args:
        cell: its program.
        weights: its weights by the names that they have in it.
        inputs: (T, B, I).
        state: for each tensor of the state (B, S).
        lengths: (B,) whole numbers in [0, T]: where a sequence is over, its state stays and its output is 0.
        backward: from the last step to the first.
    Returns:
        The outputs (T, B, O), and the state after the last step.
    """
    T, B, I = inputs.shape
    (flat,) = run(cell.project, {"inputs": inputs.reshape(T * B, I)}, weights)
    projected = flat.reshape(T, B, -1)
    state = tuple(state)
    outputs = np.zeros((T, B, cell.output_size), inputs.dtype)
    for t in reversed(range(T)) if backward else range(T):
        step = {"projected": projected[t], **{f"state.{part}": old for part, old in enumerate(state)}}
        output, *new = run(cell.step, step, weights)
        counts = np.ones((B, 1), bool) if lengths is None else (t < np.asarray(lengths))[:, None]
        outputs[t] = np.where(counts, output, 0)
        state = tuple(np.where(counts, n, old) for n, old in zip(new, state, strict=True))
    return outputs, state


def initial_state(cell: CellProgram, weights: Mapping[str, Array], batch_size: int) -> tuple[Array, ...]:
    """The state before the first step: for each tensor of the state (B, S)."""
    inputs = np.zeros((batch_size, cell.input_size), np.float32)
    return tuple(run(cell.initial, {"inputs": inputs}, weights))


def _resolved(side: int | str, sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[part] if part in sizes else int(part) for part in str(side).split("*"))


def _checked(name: str, value: Array, shape: tuple[int | str, ...], sizes: dict[str, int]) -> Array:
    value = np.asarray(value)
    if len(value.shape) == len(shape):
        for found, declared in zip(value.shape, shape, strict=True):
            if isinstance(declared, str):
                declared = sizes.setdefault(declared, found)
            if found != declared:
                break
        else:
            return value
    raise ValueError(f"{name} has the shape {value.shape}, expected {shape}")
