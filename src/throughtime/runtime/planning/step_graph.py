"""The values of a step in an order in which they can be computed, each once."""

from __future__ import annotations

from typing import Any

from throughtime.runtime.planning.layout import LANES
from throughtime.runtime.planning.lowering import Step
from throughtime.runtime.planning.rows import (
    Concat,
    Input,
    Lane,
    Product,
    Value,
    base,
    bottom_up,
    key,
    reads,
    with_operands,
)


class StepGraph:
    """The values of a step in an order in which they can be computed, each once.

    Attributes:
        order: all of them.
        only_lanes: products that lanes alone read, element by element.
    """

    def __init__(self, step: Step) -> None:
        self.order: list[Value] = []
        self._same: dict[Any, Value] = {}
        self._done: dict[int, Value] = {}
        self._alive: list[Value] = []  # so that no id is given twice
        self._of_state: dict[Value, bool] = {}
        self.inputs = self._unique(step.inputs)
        self.old = [self._unique(value) for value in step.old]
        self.state = [self._unique(value) for value in step.state]
        self.output = self._unique(step.output)
        self._copy_inputs()
        read_by_others = {
            base(operand)
            for value in self.order
            for operand, aligned in reads(value)
            if not (isinstance(value, Lane) and aligned and operand is base(operand))
        }
        read_by_others |= {self.output} | {value for value in self.state}
        self.only_lanes = {v for v in self.order if isinstance(v, Product)} - read_by_others

    def depends_on_state(self, value: Value) -> bool:
        """Whether it waits for the old state."""
        return self._of_state[value]

    def _unique(self, value: Value) -> Value:
        """The value, or the one that was found before and computes the same."""
        return bottom_up(value, self._done, self._alive, self._keep)

    def _keep(self, value: Value) -> Value:
        rebuilt = with_operands(value, [self._done[id(o)] for o, _ in reads(value)])
        if isinstance(rebuilt, Product) and not _fits_blocks(rebuilt):
            # Rows of another number than a block has: each segment by itself, then side by side.
            bias, at, pieces = rebuilt.bias, 0, []
            for segment in rebuilt.segments:
                rows = len(segment.matrix)
                mine = None if bias is None else bias[at : at + rows]
                pieces.append(self._add(Product(rows, (segment,), mine)))
                at += rows
            rebuilt = Concat(rebuilt.size, tuple(pieces))
        return self._add(rebuilt)

    def _add(self, value: Value) -> Value:
        identity = key(value)
        if identity in self._same:
            return self._same[identity]
        self._same[identity] = value
        self.order.append(value)
        self._of_state[value] = (isinstance(value, Input) and value.name != "inputs") or any(
            self._of_state[operand] for operand, _ in reads(value)
        )
        return value

    def _copy_inputs(self) -> None:
        """What waits for the state reads a copy of the inputs, which lies where the projections lie."""
        copy = Lane(self.inputs.size, "copy", (self.inputs,))
        changed: dict[Value, Value] = {self.inputs: copy}
        order: list[Value] = []
        used = False
        for value in self.order:
            if not self._of_state[value] or isinstance(value, Input):
                order.append(value)
                continue
            operands = [changed.get(o, o) for o, _ in reads(value)]
            new = with_operands(value, operands)
            if new is not value:
                changed[value] = new
                used = used or any(o is copy for o in operands)
                self._of_state[new] = True
            order.append(new)
        self.state = [changed.get(value, value) for value in self.state]
        self.output = changed.get(self.output, self.output)
        if used or self.output is copy or copy in self.state:
            self._of_state[copy] = False
            order.insert(order.index(self.inputs) + 1, copy)
        self.order = order


def _fits_blocks(product: Product) -> bool:
    """Whether the segments of a product begin where blocks of a packed matrix may begin."""
    # A product by itself is packed in blocks of two groups of 16 rows.
    return all(len(segment.matrix) % (2 * LANES) == 0 for segment in product.segments[:-1])
