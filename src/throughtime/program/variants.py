"""A step with what `Recurrent` lays around it: zoneout, and steps that do not count."""

from __future__ import annotations

from collections.abc import Sequence

from throughtime.program.building import Builder, function_of
from throughtime.program.operations import Type
from throughtime.program.program import Function, Operand, state_names

DRAW, COUNTS = "draw.", "counts"


def with_zoneout(step: Function, rates: Sequence[float], draws: bool) -> Function:
    """Keep shares of the old state.

    Args:
        step: projected, state -> output, new state.
        rates: for each tensor of the state the probability that a unit keeps its old value.
        draws: the step reads numbers of [0, 1) as "draw.k", and a unit below the rate keeps its value;
            otherwise each keeps its mean.
    """
    built, outputs = _rebuilt(step)
    names = state_names(len(rates))
    new: list[Operand] = []
    for part, (name, rate, value) in enumerate(zip(names, rates, outputs[1:], strict=True)):
        if draws:
            drawn = built.add_input(f"{DRAW}{part}", built.shape(name))
            new.append(built.add("where", built.add("less", drawn, rate), name, value))
        elif rate:
            new.append(built.add("add", value, built.add("mul", built.add("sub", name, value), rate)))
        else:
            new.append(value)
    # A cell whose output is its hidden state gives out the hidden state that goes on.
    output = new[0] if outputs[0] == outputs[1] else outputs[0]
    return _function(built, [output, *new])


def with_counts(step: Function) -> Function:
    """Where "counts", (B, 1), is 0, the output is 0 and the state stays."""
    built, outputs = _rebuilt(step)
    counts = built.add("less", 0.0, built.add_input(COUNTS, ("B", 1)))
    names = state_names(len(outputs) - 1)
    new = [built.add("where", counts, value, name) for name, value in zip(names, outputs[1:], strict=True)]
    return _function(built, [built.add("where", counts, outputs[0], 0.0), *new])


def _rebuilt(step: Function) -> tuple[Builder, list[Operand]]:
    built = Builder(step.inputs, step.weights)
    names: dict[Operand, Operand] = {}
    for node in step.nodes:
        operands = [names.get(operand, operand) for operand in node.operands]
        names[node.name] = built.add(node.operation, *operands, **node.attributes)
    return built, [names.get(operand, operand) for operand in step.outputs]


def _function(built: Builder, outputs: list[Operand]) -> Function:
    inputs: dict[str, Type] = built.inputs
    return function_of(built.nodes.values(), inputs, built.weights, outputs)
