"""A derived gradient run by NumPy, step after step: the oracle of the training kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from throughtime.program.gradient import Training
from throughtime.program.operations import Array, Type
from throughtime.program.parts import Parts
from throughtime.program.reference import run


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
