"""The native executor's plan of a cell: where every number lies, and what is done between two barriers.

A step is cut into phases; a barrier of all threads parts them. In a phase the threads share out the units of
each lane group: for its units a thread multiplies the rows of the products and runs the instructions that
follow on them, in registers. What another unit may read goes to an arena and waits for the next phase. Work
on whole rows (norms, sums, elements in another order) is shared out by slots.

Everything that does not depend on the state is computed apart, for many steps at once, into an arena of its
own (`project`); a step then reads it (`step`), or computes both at once (`fused`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.program.program import CellProgram
from throughtime.runtime.planning.flat import FlatPlan
from throughtime.runtime.planning.instructions import Instructions
from throughtime.runtime.planning.layout import (
    CONSTANT,
    INPUT,
    LANES,
    PROJECTED,
    SCRATCH,
    STATE,
    Group,
    LaneGroup,
    Phase,
    Place,
)
from throughtime.runtime.planning.lowering import lower
from throughtime.runtime.planning.rows import (
    Array,
    Concat,
    Constant,
    Gather,
    Input,
    Lane,
    Normalise,
    Product,
    Reduce,
    Slice,
    Value,
    base,
    reads,
)
from throughtime.runtime.planning.step_graph import StepGraph

# Matrices that one pass over their blocks multiplies: what the kernels have registers for.
_MOST_TOGETHER = 4

# Work on whole rows: as in native/program.h.
COPY, GATHER, SUM, MAX, NORMALISE = range(5)


class Plan:
    """The plan of one cell.

    Args:
        cell: its program.
        weights: its weights by the names that they have in it.
        zoneout: for each tensor of the state the share of the old one that each step keeps.
    """

    def __init__(
        self, cell: CellProgram, weights: Mapping[str, NDArray[Any]], zoneout: Sequence[float] = ()
    ) -> None:
        self.input_size, self.state_sizes = cell.input_size, cell.state_sizes
        self.output_size = cell.output_size
        self._constants: list[Array] = []
        self._constant_places: dict[bytes, Place] = {}
        self._constant_floats = 0
        self.index: list[int] = []
        self.sources: list[tuple[Place, int]] = []
        self._source_numbers: dict[tuple[int, int, int], int] = {}
        self.floats = {PROJECTED: 0, SCRATCH: 0}
        self.groups: list[Group] = []
        self._group_of: dict[Product, tuple[int, int]] = {}
        self._places: dict[Value, Place] = {}
        self._step = StepGraph(lower(cell, weights, zoneout))
        self._group_products()
        self.schedules = {name: self._schedule(name) for name in ("project", "step", "fused")}
        self.output = self._output_place()

    # ---- memory

    def _arena(self, value: Value) -> int:
        return SCRATCH if self._step.depends_on_state(value) else PROJECTED

    def _reserve(self, arena: int, floats: int) -> Place:
        place = Place(arena, self.floats[arena])
        self.floats[arena] += -(-floats // (2 * LANES)) * 2 * LANES
        return place

    def stored(self, value: Value) -> Place:
        """Where a value lies that is kept in an arena."""
        if value not in self._places:
            self._places[value] = self._reserve(self._arena(value), value.size)
        return self._places[value]

    def _constant(self, array: Array) -> Place:
        spread = np.repeat(array, LANES) if array.size == 1 else array
        padded = np.zeros(-(-spread.size // LANES) * LANES, np.float32)
        padded[: spread.size] = spread
        key = padded.tobytes() + bytes([array.size == 1])
        if key not in self._constant_places:
            stride = 0 if array.size == 1 else LANES
            self._constant_places[key] = Place(CONSTANT, self._constant_floats, stride)
            self._constants.append(padded)
            self._constant_floats += padded.size
        return self._constant_places[key]

    @property
    def constants(self) -> Array:
        """All constants, one behind the other."""
        # Something stands at 0 for operands that an instruction does not have.
        return np.concatenate([*self._constants, np.zeros(LANES, np.float32)])

    def place(self, value: Value) -> Place:
        """Where a value that is no register lies."""
        if isinstance(value, Constant):
            return self._constant(value.array)
        if isinstance(value, Input):
            old = value.name != "inputs"
            return Place(STATE + int(value.name.removeprefix("state.")) if old else INPUT, 0)
        if isinstance(value, Slice):
            place = self.place(value.source)
            return Place(place.base, place.offset + value.start, place.stride)
        if isinstance(value, Product):
            number, member = self._group_of[value]
            place = self.groups[number].place
            return Place(place.base, place.offset + member * LANES, place.stride)
        return self.stored(value)

    def _source(self, value: Value, start: int, size: int) -> int:
        """The number of a row that products read."""
        place = self.place(value)
        key = (place.base, place.offset + start, size)
        if key not in self._source_numbers:
            self._source_numbers[key] = len(self.sources)
            self.sources.append((Place(place.base, place.offset + start), size))
        return self._source_numbers[key]

    def _group_products(self) -> None:
        together: dict[Any, list[Product]] = {}
        for value in self._step.order:
            if isinstance(value, Product):
                key: Any = tuple((id(s.source), s.start, s.matrix.shape) for s in value.segments)
                # What else than lanes reads must lie in one piece, and so by itself.
                together.setdefault(key if value in self._step.only_lanes else value, []).append(value)
        for products in together.values():
            while products:
                count = len(products) if len(products) <= _MOST_TOGETHER else min(3, len(products) - 2)
                mine, products = products[:count], products[count:]
                width = -(-mine[0].size // LANES) * LANES * count
                place = self._reserve(self._arena(mine[0]), width)
                self.groups.append(Group(mine, Place(place.base, place.offset, count * LANES)))
                for member, product in enumerate(mine):
                    self._group_of[product] = (len(self.groups) - 1, member)

    def _output_place(self) -> Place:
        value = self._step.output
        for part, new in enumerate(self._step.state):
            if value is new:
                return Place(STATE + part, 0)
        return self.place(value)

    def flat(self) -> FlatPlan:
        """For the native part: native/plans.cpp reads its parts in this order."""
        products = []
        for group in self.groups:
            first = group.products[0]
            segments, unit = [], 0
            for number, segment in enumerate(first.segments):
                matrices = [product.segments[number].matrix for product in group.products]
                source = self._source(segment.source, segment.start, segment.matrix.shape[1])
                segments.append((source, unit, np.ascontiguousarray(np.concatenate(matrices), np.float32)))
                unit += len(segment.matrix)
            bias = None
            if any(product.bias is not None for product in group.products):
                zeros = np.zeros(first.size, np.float32)
                biases = [zeros if product.bias is None else product.bias for product in group.products]
                bias = np.ascontiguousarray(np.stack(biases), np.float32)
            products.append((_numbers(group.place), first.size, segments, bias))
        schedules = {
            name: [self._phase_numbers(phase) for phase in phases] for name, phases in self.schedules.items()
        }
        return FlatPlan(
            [
                self.input_size,
                list(self.state_sizes),
                self.output_size,
                _numbers(self.output),
                self.floats[PROJECTED],
                self.floats[SCRATCH],
                self.constants,
                self.index,
                [(_numbers(place), size) for place, size in self.sources],
                products,
                schedules["project"],
                schedules["step"],
                schedules["fused"],
            ]
        )

    def _phase_numbers(self, phase: Phase) -> tuple[Any, ...]:
        groups = []
        for group in phase.groups.values():
            plain = any(len(self.groups[number].products) == 1 for number in group.products)
            instructions = np.array(group.instructions, np.int64).reshape(-1, 13)
            blocks = -(-group.size // LANES)
            groups.append((blocks, 2 if plain else 1, group.products, instructions, group.registers))
        return phase.sources, groups, np.array(phase.rows, np.int64).reshape(-1, 9)

    # ---- phases

    def _schedule(self, name: str) -> list[Phase]:
        graph = self._step
        mine = [
            value
            for value in graph.order
            if not isinstance(value, (Input, Constant, Slice))
            and (name == "fused" or graph.depends_on_state(value) == (name == "step"))
        ]
        phase_of: dict[Value, int] = {}
        for value in mine:
            phase_of[value] = self._phase(value, phase_of)
        stores = {} if name == "project" else self._state_stores(phase_of)
        last = max([*phase_of.values(), *(at for at, _ in stores.values())], default=-1)
        phases = [Phase() for _ in range(last + 1)]
        for value in mine:
            here = phases[phase_of[value]]
            if isinstance(value, Product):
                number, member = self._group_of[value]
                if member == 0:
                    here.groups.setdefault(value.size, LaneGroup(value.size)).products.append(number)
                for segment in value.segments:
                    source = self._source(segment.source, segment.start, segment.matrix.shape[1])
                    if source not in here.sources:
                        here.sources.append(source)
            elif isinstance(value, Lane):
                here.groups.setdefault(value.size, LaneGroup(value.size)).lanes.append(value)
            else:
                here.rows += self._row_work(value)
        kept = self._kept(mine, phase_of, stores)
        for number, one in enumerate(phases):
            for at, value in stores.values():
                if at == number:
                    one.groups.setdefault(value.size, LaneGroup(value.size))
            for group in one.groups.values():
                wanted = [
                    (part, v) for part, (at, v) in stores.items() if (at, v.size) == (number, group.size)
                ]
                Instructions(self.place, self.stored, group, kept, wanted).emit()
        return phases

    def _phase(self, value: Value, phase_of: Mapping[Value, int]) -> int:
        """The first phase in which what a value reads is there."""
        first = 0
        for operand, aligned in reads(value):
            while isinstance(operand, Slice):
                operand, aligned = operand.source, False
            before = phase_of.get(operand, -1)
            if before < 0:
                continue
            together = (
                isinstance(operand, (Lane, Product)) and isinstance(value, Lane) and aligned
                if isinstance(value, Lane)
                else not isinstance(operand, (Lane, Product)) and not isinstance(value, Product)
            )
            if isinstance(operand, (Lane, Product)) and operand.size != value.size:
                together = False
            first = max(first, before if together else before + 1)
        return first

    def _state_stores(self, phase_of: Mapping[Value, int]) -> dict[int, tuple[int, Value]]:
        """For each tensor of the state the phase in which its new value takes the old one's place.

        Not before everything that reads the old one has done so: in the same phase only what reads the very
        same elements, and products of the first phase, whose rows are made ready before it.
        """
        stores = {}
        for part, (new, old) in enumerate(zip(self._step.state, self._step.old, strict=True)):
            at = max(phase_of.get(base(new), 0), 0)
            if not (isinstance(new, (Lane, Product)) and new.size == old.size):
                at += not isinstance(new, (Constant, Input))
            for value, when in phase_of.items():
                for operand, aligned in reads(value):
                    if base(operand) is not old:
                        continue
                    free = (isinstance(value, Product) and when == 0) or (
                        isinstance(value, Lane) and operand is old and aligned
                    )
                    at = max(at, when if free else when + 1)
            if new is not old:
                stores[part] = (at, new)
        return stores

    def _kept(
        self,
        mine: list[Value],
        phase_of: Mapping[Value, int],
        stores: Mapping[int, tuple[int, Value]],
    ) -> set[Value]:
        """The lanes whose values somebody reads who does not have their registers."""
        kept: set[Value] = set()
        own = set(mine)
        for value in self._step.order:
            for operand, aligned in reads(value):
                read = base(operand)
                if not isinstance(read, Lane) or read not in own:
                    continue
                near = (
                    value in own
                    and isinstance(value, Lane)
                    and aligned
                    and operand is read
                    and read.size == value.size
                    and phase_of[read] == phase_of[value]
                )
                if not near:
                    kept.add(read)
        for at, value in stores.values():
            read = base(value)
            if isinstance(read, Lane) and read in own and (phase_of[read] != at or value is not read):
                kept.add(read)
        output = base(self._step.output)
        if (
            isinstance(output, Lane)
            and output in own
            and not any(self._step.output is v for v in self._step.state)
        ):
            kept.add(output)
        return kept

    def _row_work(self, value: Value) -> list[list[int]]:
        """Work on a whole row: kind, operand, result, counts and one number more."""
        place = self.stored(value)
        if isinstance(value, Concat):
            work, at = [], 0
            for piece in value.pieces:
                source = self.place(piece)
                size = piece.size
                work.append(
                    [
                        COPY,
                        source.base,
                        source.offset,
                        source.stride,
                        place.base,
                        place.offset + at,
                        size,
                        1,
                        0,
                    ]
                )
                at += size
            return work
        if isinstance(value, Gather):
            source = self.place(value.source)
            start = len(self.index)
            self.index += value.index.tolist()
            where = [source.base, source.offset, source.stride, place.base, place.offset]
            return [[GATHER, *where, value.size, 1, start]]
        assert isinstance(value, (Reduce, Normalise))
        source = self.place(value.source)
        where = [source.base, source.offset, source.stride, place.base, place.offset]
        if isinstance(value, Normalise):
            epsilon = self._constant(np.array([value.epsilon], np.float32))
            return [[NORMALISE, *where, value.size // value.length, value.length, epsilon.offset]]
        return [[SUM if value.kind == "sum" else MAX, *where, value.size, value.length, 0]]


def _numbers(place: Place) -> tuple[int, int, int]:
    return place.base, place.offset, place.stride
