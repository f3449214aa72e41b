"""Runs programs in NumPy, one node after the other: the oracle for every other way to run one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from throughtime.program.network import NetworkProgram, Recurrence
from throughtime.program.operations import OPERATIONS, Array
from throughtime.program.program import WEIGHT, CellProgram, Function, Operand


def run(
    function: Function,
    inputs: Mapping[str, Array],
    weights: Mapping[str, Array],
    scan: Callable[..., Sequence[Array]] | None = None,
) -> list[Array]:
    """Compute a function.

    Args:
        function: the program.
        inputs: its inputs by name, of the types that it declares; each free size is the same wherever its
            name stands.
        weights: its weights by name.
        scan: computes the nodes that are scans, as `scan_of` does.
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
    floats = [value for value in values.values() if value.dtype.kind == "f"]
    dtype = np.result_type(*floats) if floats else np.dtype(np.float32)

    def value_of(operand: Operand, kind: Any = dtype) -> Array:
        return values[operand] if isinstance(operand, str) else np.asarray(operand, kind)

    with np.errstate(all="ignore"):  # infinities and NaN go on as they do in torch
        for node in function.nodes:
            attributes = dict(node.attributes)
            if "shape" in attributes:
                attributes["shape"] = tuple(resolved(side, sizes) for side in attributes["shape"])
            types = [function.type_of(operand).dtype for operand in node.operands]
            kind = np.int64 if "int64" in types and "float32" not in types else dtype
            operands = [value_of(operand, kind) for operand in node.operands]
            if node.operation == "scan" and scan is not None:
                for number, result in enumerate(scan(*operands, **attributes)):
                    values[node.name if number == 0 else f"{node.name}.{number - 1}"] = result
            else:
                values[node.name] = OPERATIONS[node.operation].compute(*operands, **attributes)
    return [value_of(operand) for operand in function.outputs]


def run_network(
    network: NetworkProgram, name: str, inputs: Mapping[str, Array], weights: Mapping[str, Array]
) -> dict[str, Array]:
    """Compute a function of a network.

    Args:
        network: the program.
        name: of the function.
        inputs: by the names of its ports.
        weights: by name.
    Returns:
        The outputs by the names of their ports.
    """
    found = network.functions[name]
    results = run(found.function, inputs, weights, partial(_scan_of, network, weights))
    return {port.name: result for port, result in zip(found.outputs, results, strict=True)}


def _scan_of(
    network: NetworkProgram,
    weights: Mapping[str, Array],
    *operands: Array,
    recurrence: str,
    lengths: bool,
    **_: Any,
) -> list[Array]:
    """All layers and directions of a recurrence: the outputs, and the state after the last step."""
    layout = network.recurrences[recurrence]
    outputs, state = operands[0], list(operands[1 : len(operands) - lengths])
    counted = operands[-1] if lengths else None
    finals: list[tuple[Array, ...]] = []
    for layer in range(layout.layers):
        both = []
        for direction in range(layout.directions):
            number = layer * layout.directions + direction
            cell, own = network.cells[layout.cell(number)], _under(weights, f"{layout.cell(number)}.")
            begin = (
                tuple(part[number] for part in state)
                if state
                else _first_state(layout, cell, own, weights, number, outputs.shape[1])
            )
            found, final = scan(cell, own, outputs, begin, counted, direction == 1, layout.zoneout or None)
            both.append(found)
            finals.append(final)
        outputs = np.concatenate(both, -1)
    return [outputs, *(np.stack(parts) for parts in zip(*finals, strict=True))]


def _first_state(
    layout: Recurrence,
    cell: CellProgram,
    own: Mapping[str, Array],
    weights: Mapping[str, Array],
    number: int,
    batch_size: int,
) -> tuple[Array, ...]:
    if not layout.learned_state:
        return initial_state(cell, own, batch_size)
    parts = [weights[layout.initial(part)][number] for part in range(len(cell.state_sizes))]
    return tuple(np.tile(part, (batch_size, 1)) for part in parts)


def _under(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}


def scan(
    cell: CellProgram,
    weights: Mapping[str, Array],
    inputs: Array,
    state: Sequence[Array],
    lengths: Array | None = None,
    backward: bool = False,
    zoneout: Sequence[float] | None = None,
) -> tuple[Array, tuple[Array, ...]]:
    """Carry a cell over a batch of sequences.

    Args:
        cell: its program.
        weights: its weights by the names that they have in it.
        inputs: (T, B, I).
        state: for each tensor of the state (B, S).
        lengths: (B,) whole numbers in [0, T]: where a sequence is over, its state stays and its output is 0.
        backward: from the last step to the first.
        zoneout: for each tensor of the state, how much of its old value a unit keeps (the mean of what it
            does in training: Krueger et al. 2017).
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
        if zoneout is not None:
            shown = cell.step.outputs[0] == cell.step.outputs[1]
            new = [n + rate * (old - n) for n, old, rate in zip(new, state, zoneout, strict=True)]
            output = new[0] if shown else output
        counts = np.ones((B, 1), bool) if lengths is None else (t < np.asarray(lengths))[:, None]
        outputs[t] = np.where(counts, output, 0)
        state = tuple(np.where(counts, n, old) for n, old in zip(new, state, strict=True))
    return outputs, state


def initial_state(cell: CellProgram, weights: Mapping[str, Array], batch_size: int) -> tuple[Array, ...]:
    """The state before the first step: for each tensor of the state (B, S)."""
    inputs = np.zeros((batch_size, cell.input_size), np.float32)
    return tuple(run(cell.initial, {"inputs": inputs}, weights))


def resolved(side: int | str, sizes: Mapping[str, int]) -> int:
    """The size that a side such as 7, "B" or "B*7" has."""
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
