"""Programs run by NumPy, one node after the other: the oracle that every other way to run one is held to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from throughtime.program.gradient import Training
from throughtime.program.operations import OPERATIONS, Array, Type
from throughtime.program.parts import Parts
from throughtime.program.program import WEIGHT, CellProgram, Function, Operand


@dataclass(frozen=True)
class Gradients:
    """What a scan gives, and its gradients.

    Args:
        outputs: (T, B, O).
        final: for each tensor of the state (B, S).
        streams: gradients of what runs ahead of the scan, (T, B, N) by name.
        state: of the state before the first step.
        weights: of the fixed tensors, by name.
    """

    outputs: Array
    final: tuple[Array, ...]
    streams: Mapping[str, Array]
    state: tuple[Array, ...]
    weights: Mapping[str, Array]


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
    floats = [value for value in values.values() if value.dtype != np.bool_]
    dtype = np.result_type(*floats) if floats else np.float32

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


def scan_gradients(
    training: Training,
    weights: Mapping[str, Array],
    projected: Array,
    state: Sequence[Array],
    output_gradients: Array,
    state_gradients: Sequence[Array],
    others: Mapping[str, Array] | None = None,
    backward: bool = False,
) -> Gradients:
    """Run a step forward over a batch of sequences, and then backward through time.

    Args:
        training: what `derive` made of a cell's step.
        weights: the cell's weights by the names that they have in it.
        projected: (T, B, P).
        state: for each tensor of the state (B, S).
        output_gradients: (T, B, O).
        state_gradients: of the state after the last step, (B, S).
        others: what a step reads beside `projected`, (T, B, N) by name.
        backward: from the last step to the first.
    """
    T, B, _ = projected.shape
    parts = training.parts
    fixed = dict(zip(parts.fixed_names, run(parts.fixed, {}, weights), strict=True))
    ahead = run(parts.ahead, {"projected": projected.reshape(T * B, -1)}, fixed)
    given = dict(others or {})
    own = [name for name in training.streams if name not in given]
    streams = {**given, **{name: a.reshape(T, B, -1) for name, a in zip(own, ahead, strict=True)}}
    order = list(reversed(range(T)) if backward else range(T))
    old = dict(zip(training.states, state, strict=True))
    outputs: dict[int, Array] = {}
    rows: dict[int, dict[str, Array]] = {}
    for t in order:
        inputs = {**{name: value[t] for name, value in streams.items()}, **old}
        output, *values = run(training.forward, inputs, fixed)
        new = dict(zip(training.states, values, strict=False))
        kept = dict(zip(training.kept, values[len(new) :], strict=True))
        rows[t] = {
            **inputs,
            "output": output,
            **{f"new.{name}": value for name, value in new.items()},
            **kept,
        }
        outputs[t], old = output, new
    gradients = {
        f"gradient.{name}": value for name, value in zip(training.states, state_gradients, strict=True)
    }
    carried = {
        name: np.zeros((B, *found.shape[1:]), projected.dtype)  # type: ignore[arg-type]
        for name, found in training.backward.inputs.items()
        if name.startswith("sum.")
    }
    results: list[list[Array]] = []
    for t in reversed(order):
        news = {f"gradient.new.{name}": gradients[f"gradient.{name}"] for name in training.states}
        inputs = {**rows[t], **news, **carried, "gradient.output": output_gradients[t]}
        found = run(training.backward, {name: inputs[name] for name in training.backward.inputs}, fixed)
        named = dict(zip(training.gradients, found, strict=True))
        gradients = {f"gradient.{name}": named[f"gradient.{name}"] for name in training.states}
        carried = {name: named[name] for name in carried}
        results.append(found)
    stacked = [np.stack(values[::-1] if not backward else values) for values in zip(*results, strict=True)]
    of_weights = {
        name: np.zeros([int(side) for side in found.shape]) for name, found in _fixed_types(parts).items()
    }
    for product in training.products:
        gradient = stacked[product.gradients]
        factor = np.stack([rows[t][product.rows] for t in range(T)])
        shape = of_weights[product.weight].shape
        of_weights[product.weight] += gradient.reshape(-1, shape[0]).T @ factor.reshape(-1, shape[1])
    for one in training.sums:
        total = results[-1][one.output].sum(0) if one.carried else stacked[one.output].sum((0, 1))
        of_weights[one.weight] += total.reshape(of_weights[one.weight].shape)
    of_streams = {name: stacked[training.gradients.index(f"gradient.{name}")] for name in own}
    return Gradients(
        np.stack([outputs[t] for t in range(T)]),
        tuple(old[name] for name in training.states),
        of_streams,
        tuple(gradients[f"gradient.{name}"] for name in training.states),
        of_weights,
    )


def _fixed_types(parts: Parts) -> dict[str, Type]:
    return {
        name: parts.fixed.type_of(operand)
        for name, operand in zip(parts.fixed_names, parts.fixed.outputs, strict=True)
    }


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
