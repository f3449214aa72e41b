"""A layer over a whole chunk in one call of the native part, as operators that autograd knows.

`throughtime::scan` runs a step that `throughtime.program.gradient` derived, forward over all steps, and
keeps what its gradient needs; `throughtime::scan_backward` goes back through time. Both are called with the
number of a plan (`Plan`), as an operator takes tensors and numbers only.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime import _native
from throughtime.errors import OptionError
from throughtime.kernels import products
from throughtime.program import Function, Type
from throughtime.program.building import function_of
from throughtime.program.gradient import Training
from throughtime.program.program import Operand
from throughtime.runtime.planning.flat import FlatPlan
from throughtime.runtime.planning.training import TrainingPlan

_LINE = 16


class Plan:
    """A derived step, planned for the native part.

    Args:
        training: the step.
        isa: the instruction set; "" is the widest.
        precision: of the products: fp32 or bf16. Sums, states and all the rest are float32.
    Attributes:
        number: what the operators call it by.
    """

    def __init__(self, training: Training, isa: str = "", precision: str = "fp32") -> None:
        self.training, self.precision = training, precision
        parts = training.parts
        types = [parts.fixed.type_of(operand) for operand in parts.fixed.outputs]
        self.weight_types = dict(zip(parts.fixed_names, types, strict=True))
        forward = training.forward
        # Where each of the step's results lies: some are the same.
        self.slots: list[Operand] = list(dict.fromkeys(forward.outputs))
        self.widths = [_width(forward.type_of(operand)) for operand in self.slots]
        states = len(training.states)
        self.state_slots = [self.slots.index(operand) for operand in forward.outputs[1 : 1 + states]]
        kept = [self.slots.index(operand) for operand in forward.outputs[1 + states :]]
        self.named_slots = {
            "output": 0,
            **{f"new.{name}": slot for name, slot in zip(training.states, self.state_slots, strict=True)},
            **dict(zip(training.kept, kept, strict=True)),
        }
        once = function_of(forward.nodes, forward.inputs, forward.weights, self.slots)
        self.forward, self.backward = (
            _native.TrainingStep(flat.numbers, flat.arrays, isa, precision)
            for flat in (self.flat(once), self.flat(training.backward))
        )
        # Looked up once: a call of a small chunk takes less than a millisecond.
        self.streams, self.states = training.streams, training.states
        self.backward_inputs = [(name, _width(found)) for name, found in training.backward.inputs.items()]
        self.backward_outputs = [
            (name, _width(training.backward.type_of(operand)))
            for name, operand in zip(training.gradients, training.backward.outputs, strict=True)
        ]
        self.carried = {
            name: width for name, width in self.backward_outputs if name in training.backward.inputs
        } | {f"gradient.{name}": _width(forward.inputs[name]) for name in self.states}
        self.weight_numbers = {name: number for number, name in enumerate(parts.fixed_names)}
        self.number = len(PLANS)
        PLANS.append(self)

    def flat(self, function: Function) -> FlatPlan:
        """The plan of the step forward or backward, as the native part takes it."""
        return TrainingPlan(function, self.training.parts.fixed_names, self.weight_types).flat()

    def room(self, T: int, B: int) -> tuple[list[int], int]:
        """Where the slots behind the first begin in what is kept, in floats, and how many it takes."""
        starts, at = [0], 0
        for width in self.widths[1:]:
            starts.append(at)
            at += -(-T * B * width // _LINE) * _LINE
        return starts, at


PLANS: list[Plan] = []
# The native part counts what lives when it is unloaded.
atexit.register(PLANS.clear)


def _width(found: Type) -> int:
    width = found.shape[1]
    assert isinstance(width, int)
    return width


class _Sequences:
    """Where the inputs and outputs of a step lie at each step: rows for the native part."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []

    def every(self, address: int, stride: int) -> None:
        """One matrix a step."""
        self.rows.append((address, stride, 0, 0, 0))

    def before(self, address: int, stride: int, shift: int, outside: Tensor) -> None:
        """That of the step before, `shift` steps away, or `outside` where there is none."""
        self.rows.append((address, stride, shift, outside.data_ptr(), 0))

    def turns(self, one: Tensor, other: Tensor) -> None:
        """Two matrices that take turns."""
        self.rows.append((one.data_ptr(), 0, 0, 0, other.data_ptr()))

    def array(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array(self.rows, np.int64).reshape(-1, 5)


def scan(
    streams: list[Tensor], state: list[Tensor], weights: list[Tensor], plan: int, backward: bool, keep: bool
) -> list[Tensor]:
    """The outputs (T, B, O), the state after the last step, and, with `keep`, what the gradient needs."""
    mine = PLANS[plan]
    T, B = streams[0].shape[:2]
    streams, weights = [one.contiguous() for one in streams], [one.contiguous() for one in weights]
    state = [one.contiguous() for one in state]
    outputs = products.new(T, B, mine.widths[0])
    starts, floats = mine.room(T, B)
    kept = products.new(floats if keep else 0)
    slots = [outputs]
    for slot, width in enumerate(mine.widths[1:], 1):
        # Without a gradient a value lives until the next step: the new state beside the old one.
        slots.append(_slot(mine, kept, starts, slot, T, B) if keep else products.new(2, B, width))
    found = _Sequences()
    of_stream = dict(zip(mine.streams, streams, strict=True))
    of_state = dict(zip(mine.states, zip(mine.state_slots, state, strict=True), strict=True))
    for name in mine.training.forward.inputs:
        if name in of_stream:
            found.every(of_stream[name].data_ptr(), B * of_stream[name].shape[2])
            continue
        slot, initial = of_state[name]
        if keep or slot == 0:
            found.before(slots[slot].data_ptr(), B * mine.widths[slot], 1 if backward else -1, initial)
        else:
            slots[slot][1].copy_(initial)
            found.turns(slots[slot][1], slots[slot][0])
    for slot, width in enumerate(mine.widths):
        if keep or slot == 0:
            found.every(slots[slot].data_ptr(), B * width)
        else:
            found.turns(slots[slot][0], slots[slot][1])
    mine.forward.run(
        [weight.data_ptr() for weight in weights], found.array(), T, B, backward, torch.get_num_threads()
    )
    last = 0 if backward else T - 1
    finals = []
    for slot in mine.state_slots:
        finals.append(slots[slot][last if keep or slot == 0 else (T - 1) % 2].clone())
    return [outputs, *finals, kept]


def _slot(plan: Plan, kept: Tensor, starts: list[int], slot: int, T: int, B: int) -> Tensor:
    width = plan.widths[slot]
    return kept[starts[slot] : starts[slot] + T * B * width].view(T, B, width)


def scan_backward(
    gradients: list[Tensor],
    streams: list[Tensor],
    state: list[Tensor],
    weights: list[Tensor],
    outputs: Tensor,
    kept: Tensor,
    plan: int,
    backward: bool,
) -> list[Tensor]:
    """The gradients of streams, state and weights from those of the outputs and of the last state."""
    mine = PLANS[plan]
    T, B = streams[0].shape[:2]
    streams, weights = [one.contiguous() for one in streams], [one.contiguous() for one in weights]
    state = [one.contiguous() for one in state]
    gradients = [one.contiguous() for one in gradients]
    starts, _ = mine.room(T, B)
    slots = [outputs, *(_slot(mine, kept, starts, slot, T, B) for slot in range(1, len(mine.widths)))]
    carried = _carried(mine, B, gradients[1:])
    found = _Sequences()
    of_stream = dict(zip(mine.streams, streams, strict=True))
    for name, width in mine.backward_inputs:
        if name in of_stream:
            found.every(of_stream[name].data_ptr(), B * width)
        elif name in mine.states:
            part = mine.states.index(name)
            whole = slots[mine.state_slots[part]]
            found.before(whole.data_ptr(), B * width, 1 if backward else -1, state[part])
        elif name in mine.named_slots:
            found.every(slots[mine.named_slots[name]].data_ptr(), B * width)
        elif name == "gradient.output":
            found.every(gradients[0].data_ptr(), B * width)
        else:
            pair = carried[name.replace("gradient.new.", "gradient.")]
            found.turns(pair[0], pair[1])
    results: list[Tensor] = []
    for name, width in mine.backward_outputs:
        if name in carried:
            pair = carried[name]
            found.turns(pair[1], pair[0])
            results.append(pair[T % 2])
        else:
            results.append(products.new(T, B, width))
            found.every(results[-1].data_ptr(), B * width)
    mine.backward.run(
        [weight.data_ptr() for weight in weights], found.array(), T, B, not backward, torch.get_num_threads()
    )
    of_weights = _of_weights(mine, results, streams, state, weights, slots, backward)
    by_name = {name: result for (name, _), result in zip(mine.backward_outputs, results, strict=True) if name}
    of_streams = [
        by_name[f"gradient.{name}"] if f"gradient.{name}" in by_name else torch.zeros_like(stream)
        for name, stream in of_stream.items()
    ]
    return [*of_streams, *(by_name[f"gradient.{name}"] for name in mine.states), *of_weights]


def _carried(plan: Plan, B: int, of_state: list[Tensor]) -> dict[str, Tensor]:
    """Pairs of matrices (2, B, N) that take turns, with what the scan begins with in the first."""
    memory = products.new(2 * B * sum(plan.carried.values()))
    pairs, at = {}, 0
    given = {f"gradient.{name}": one for name, one in zip(plan.states, of_state, strict=True)}
    for name, width in plan.carried.items():
        pairs[name] = memory[at : at + 2 * B * width].view(2, B, width)
        at += 2 * B * width
        if name in given:
            pairs[name][0].copy_(given[name])
        else:
            pairs[name][0].zero_()
    return pairs


def _of_weights(
    plan: Plan,
    results: list[Tensor],
    streams: list[Tensor],
    state: list[Tensor],
    weights: list[Tensor],
    slots: list[Tensor],
    backward: bool,
) -> list[Tensor]:
    """The gradients of the fixed tensors, from what the scan backward gave for all steps."""
    found: list[Tensor | None] = [None] * len(weights)

    def add(weight: str, gradient: Tensor) -> None:
        number = plan.weight_numbers[weight]
        before = found[number]
        gradient = gradient.reshape(weights[number].shape)
        found[number] = gradient if before is None else before + gradient

    for product in plan.training.products:
        gradient = results[product.gradients]
        rows, columns = weights[plan.weight_numbers[product.weight]].shape
        if product.rows in plan.states:
            part = plan.states.index(product.rows)
            add(
                product.weight,
                _shifted(
                    gradient,
                    slots[plan.state_slots[part]],
                    state[part],
                    (rows, columns),
                    backward,
                    plan.precision,
                ),
            )
            continue
        if product.rows in plan.named_slots:
            multiplied = slots[plan.named_slots[product.rows]]
        else:
            multiplied = streams[plan.streams.index(product.rows)]
        multiplied = multiplied.reshape(-1, columns)
        add(product.weight, products.of_weight(gradient.view(-1, rows), multiplied, plan.precision))
    for one in plan.training.sums:
        add(one.weight, results[one.output].flatten(0, -2).sum(0))
    return [
        torch.zeros_like(weight) if one is None else one for one, weight in zip(found, weights, strict=True)
    ]


def _shifted(
    gradient: Tensor,
    states: Tensor,
    initial: Tensor,
    shape: tuple[int, int],
    backward: bool,
    precision: str,
) -> Tensor:
    """The gradient of a matrix that the state before each step was multiplied with."""
    T, (rows, columns) = len(gradient), shape
    first = gradient[T - 1 if backward else 0].view(-1, rows)
    if T == 1:
        return products.of_weight(first, initial.view(-1, columns), precision)
    later = gradient[: T - 1] if backward else gradient[1:]
    before = states[1:] if backward else states[: T - 1]
    total = products.of_weight(later.view(-1, rows), before.reshape(-1, columns), precision)
    if precision == "bf16":
        return products.rounded(first.t(), initial.view(-1, columns).t(), to=total)
    return total.addmm_(first.t(), initial.view(-1, columns))


# Defined by hand and not with `torch.library.custom_op`, whose checks take 0.2 ms a call: as long as forward
# and backward of a small chunk.
_LIBRARY = torch.library.Library("throughtime", "DEF")
_LIBRARY.define(
    "scan(Tensor[] streams, Tensor[] state, Tensor[] weights, int plan, bool backward, bool keep) -> Tensor[]"
)
_LIBRARY.define(
    "scan_backward(Tensor[] gradients, Tensor[] streams, Tensor[] state, Tensor[] weights, Tensor outputs, "
    "Tensor kept, int plan, bool backward) -> Tensor[]"
)
_LIBRARY.impl("scan", scan, "CPU")
_LIBRARY.impl("scan_backward", scan_backward, "CPU")


@torch.library.register_fake("throughtime::scan", lib=_LIBRARY)
def _(
    streams: list[Tensor], state: list[Tensor], weights: list[Tensor], plan: int, backward: bool, keep: bool
) -> list[Tensor]:
    T, B = streams[0].shape[:2]
    outputs = streams[0].new_empty(T, B, PLANS[plan].widths[0])
    finals = [torch.empty_like(one) for one in state]
    return [outputs, *finals, streams[0].new_empty(PLANS[plan].room(T, B)[1] if keep else 0)]


@torch.library.register_fake("throughtime::scan_backward", lib=_LIBRARY)
def _(
    gradients: list[Tensor], streams: list[Tensor], state: list[Tensor], weights: list[Tensor], *_: Any
) -> list[Tensor]:
    return [torch.empty_like(one) for one in (*streams, *state, *weights)]


class _Scan(torch.autograd.Function):
    """The derivative of `throughtime::scan`."""

    @staticmethod
    def forward(ctx: Any, plan: int, backward: bool, counts: tuple[int, int, int], *tensors: Tensor) -> Any:
        streams, state, weights = _parted(tensors, counts)
        ctx.plan, ctx.backward, ctx.counts = plan, backward, counts
        with torch._C._AutoDispatchBelowAutograd():
            outputs, *finals, kept = torch.ops.throughtime.scan(streams, state, weights, plan, backward, True)
        ctx.save_for_backward(*tensors, outputs, kept)
        ctx.mark_non_differentiable(kept)
        ctx.set_materialize_grads(False)
        return outputs, *finals, kept

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        *tensors, outputs, kept = ctx.saved_tensors
        streams, state, weights = _parted(tensors, ctx.counts)
        given = [
            torch.zeros_like(like) if one is None else one
            for one, like in zip(gradients[:-1], [outputs, *state], strict=True)
        ]
        found = torch.ops.throughtime.scan_backward(
            given, streams, state, weights, outputs, kept, ctx.plan, ctx.backward
        )
        return None, None, None, *found


class _NoSecondDerivative(torch.autograd.Function):
    """`throughtime::scan_backward` under autograd: it runs, and has no derivative of its own."""

    @staticmethod
    def forward(ctx: Any, plan: int, backward: bool, counts: tuple[int, ...], *tensors: Tensor) -> Any:
        gradients, streams, state, weights, (outputs, kept) = _parted(tensors, counts)
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(
                torch.ops.throughtime.scan_backward(
                    gradients, streams, state, weights, outputs, kept, plan, backward
                )
            )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        raise OptionError(
            "kernel 'native' has no second derivatives: use Recurrent(kernel='reference') where you need them"
        )


def _parted(tensors: Sequence[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    parts, at = [], 0
    for count in counts:
        parts.append(list(tensors[at : at + count]))
        at += count
    return parts


def _scan_under_autograd(
    streams: list[Tensor], state: list[Tensor], weights: list[Tensor], plan: int, backward: bool, keep: bool
) -> list[Tensor]:
    if not keep:
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.throughtime.scan(streams, state, weights, plan, backward, False)
    counts = len(streams), len(state), len(weights)
    return list(_Scan.apply(plan, backward, counts, *streams, *state, *weights))  # type: ignore[arg-type]


def _scan_backward_under_autograd(
    gradients: list[Tensor],
    streams: list[Tensor],
    state: list[Tensor],
    weights: list[Tensor],
    outputs: Tensor,
    kept: Tensor,
    plan: int,
    backward: bool,
) -> list[Tensor]:
    tensors = [*gradients, *streams, *state, *weights, outputs, kept]
    counts = len(gradients), len(streams), len(state), len(weights), 2
    if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
        return list(_NoSecondDerivative.apply(plan, backward, counts, *tensors))  # type: ignore[arg-type]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.throughtime.scan_backward(
            gradients, streams, state, weights, outputs, kept, plan, backward
        )


_LIBRARY.impl("scan", _scan_under_autograd, "Autograd")
_LIBRARY.impl("scan_backward", _scan_backward_under_autograd, "Autograd")


def run_chunk(
    plan: Plan, streams: list[Tensor], state: list[Tensor], weights: list[Tensor], backward: bool
) -> tuple[Tensor, list[Tensor]]:
    """Run a planned step over a chunk, under autograd.

    Args:
        plan: the step.
        streams: (T, B, N) for each of the plan's, float32 on the CPU; T and B above 0.
        state: (B, S) for each tensor of the state.
        weights: the fixed tensors, in the order of `Parts.fixed_names`.
        backward: from the last step to the first.
    Returns:
        The outputs (T, B, O), and the state after the last step.
    """
    keep = torch.is_grad_enabled() and any(one.requires_grad for one in (*streams, *state, *weights))
    outputs, *finals, _ = torch.ops.throughtime.scan(streams, state, weights, plan.number, backward, keep)
    return outputs, finals
