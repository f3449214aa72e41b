"""The native executor's plan of a cell: where every number lies, and what is done between two barriers.

A step is cut into phases; a barrier of all threads parts them. In a phase the threads share out the units of
each lane group: for its units a thread multiplies the rows of the products and runs the instructions that follow
on them, in registers. What another unit may read goes to an arena and waits for the next phase. Work on whole
rows (norms, sums, elements in another order) is shared out by slots.

Everything that does not depend on the state is computed apart, for many steps at once, into an arena of its own
(`project`); a step then reads it (`step`), or computes both at once (`fused`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.program.program import CellProgram
from throughtime.runtime.lowering import (
    Array,
    Concat,
    Constant,
    Gather,
    Input,
    Lane,
    Normalise,
    Product,
    Reduce,
    Segment,
    Slice,
    Step,
    Value,
    join,
    lower,
    take,
)

# Rows of a packed group of matrices, and floats that the widest instruction reads.
LANES = 16
# Matrices that one pass over their blocks multiplies: what the kernels have registers for.
_MOST_TOGETHER = 4

# Where an operand lies: as in native/program.h.
REGISTER, PROJECTED, SCRATCH, CONSTANT, INPUT, STATE = range(6)

LANE_OPERATIONS = (
    *("copy", "neg", "abs", "exp", "log", "sqrt", "sigmoid", "tanh", "relu", "softplus", "erf"),
    *("add", "sub", "mul", "div", "max", "min", "less", "less_equal", "equal", "and", "or", "not"),
    *("where", "multiply_add"),
)
_CODES = {name: code for code, name in enumerate(LANE_OPERATIONS)}
COPY, GATHER, SUM, MAX, NORMALISE = range(5)


@dataclass(frozen=True)
class Place:
    """Where a row lies.

    Args:
        base: `PROJECTED` and so on.
        offset: in floats.
        stride: from one block of 16 elements to the next; 16 where they lie beside each other.
    """

    base: int
    offset: int
    stride: int = LANES


@dataclass
class Group:
    """Products that read the same rows and share one pass over their blocks.

    Args:
        products: up to four of one width.
        place: of the first; block b of product g lies at b * stride + g * 16 behind it.
    """

    products: list[Product]
    place: Place


@dataclass
class LaneGroup:
    """What the threads share out by units in one phase."""

    size: int
    products: list[int] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    instructions: list[list[int]] = field(default_factory=list)
    registers: int = 0


@dataclass
class Phase:
    """What lies between two barriers."""

    sources: list[int] = field(default_factory=list)
    groups: dict[int, LaneGroup] = field(default_factory=dict)
    rows: list[list[int]] = field(default_factory=list)


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
        self._step = _Graph(lower(cell, weights, zoneout))
        self._group_products()
        self.schedules = {name: self._schedule(name) for name in ("project", "step", "fused")}
        self.output = self._output_place()

    # ---- memory

    def _arena(self, value: Value) -> int:
        return SCRATCH if self._step.depends_on_state(value) else PROJECTED

    def _reserve(self, base: int, floats: int) -> Place:
        place = Place(base, self.floats[base])
        self.floats[base] += -(-floats // (2 * LANES)) * 2 * LANES
        return place

    def _stored(self, value: Value) -> Place:
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

    def _place(self, value: Value) -> Place:
        """Where a value that is no register lies."""
        if isinstance(value, Constant):
            return self._constant(value.array)
        if isinstance(value, Input):
            base = INPUT if value.name == "inputs" else STATE + int(value.name.removeprefix("state."))
            return Place(base, 0)
        if isinstance(value, Slice):
            place = self._place(value.source)
            return Place(place.base, place.offset + value.start, place.stride)
        if isinstance(value, Product):
            number, member = self._group_of[value]
            place = self.groups[number].place
            return Place(place.base, place.offset + member * LANES, place.stride)
        return self._stored(value)

    def _source(self, value: Value, start: int, size: int) -> int:
        """The number of a row that products read."""
        place = self._place(value)
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
        return self._place(value)

    def as_dictionary(self) -> dict[str, Any]:
        """What `_native.Program` takes."""
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
        schedules = {name: [self._phase_numbers(phase) for phase in phases] for name, phases in self.schedules.items()}
        return {
            "input_size": self.input_size,
            "state_sizes": list(self.state_sizes),
            "output_size": self.output_size,
            "output": _numbers(self.output),
            "projected_floats": self.floats[PROJECTED],
            "scratch_floats": self.floats[SCRATCH],
            "constants": self.constants,
            "index": self.index,
            "sources": [(_numbers(place), size) for place, size in self.sources],
            "products": products,
            **schedules,
        }

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
        phases: list[Phase] = []

        def phase(number: int) -> Phase:
            while len(phases) <= number:
                phases.append(Phase())
            return phases[number]

        for value in mine:
            here = phase(phase_of[value])
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
        stores = {} if name == "project" else self._state_stores(phase_of)
        for number in {at for at, _ in stores.values()}:
            phase(number)
        kept = self._kept(name, mine, phase_of, stores)
        for number, one in enumerate(phases):
            for part, (at, value) in stores.items():
                if at == number:
                    one.groups.setdefault(value.size, LaneGroup(value.size))
            for group in one.groups.values():
                wanted = [(part, v) for part, (at, v) in stores.items() if (at, v.size) == (number, group.size)]
                _Instructions(self, group, kept, wanted).emit()
        return phases

    def _phase(self, value: Value, phase_of: Mapping[Value, int]) -> int:
        """The first phase in which what a value reads is there."""
        first = 0
        for operand, aligned in _reads(value):
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
        last = max(phase_of.values(), default=0)
        for part, (new, old) in enumerate(zip(self._step.state, self._step.old, strict=True)):
            at = max(phase_of.get(_base(new), 0), 0)
            if not (isinstance(new, (Lane, Product)) and new.size == old.size):
                at += not isinstance(new, (Constant, Input))
            for value, when in phase_of.items():
                for operand, aligned in _reads(value):
                    if _base(operand) is not old:
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
        name: str,
        mine: list[Value],
        phase_of: Mapping[Value, int],
        stores: Mapping[int, tuple[int, Value]],
    ) -> set[Value]:
        """The lanes whose values somebody reads who has not their registers."""
        kept: set[Value] = set()
        own = set(mine)
        for value in self._step.order:
            for operand, aligned in _reads(value):
                base = _base(operand)
                if not isinstance(base, Lane) or base not in own:
                    continue
                near = (
                    value in own
                    and isinstance(value, Lane)
                    and aligned
                    and operand is base
                    and base.size == value.size
                    and phase_of[base] == phase_of[value]
                )
                if not near:
                    kept.add(base)
        for at, value in stores.values():
            base = _base(value)
            if isinstance(base, Lane) and base in own and (phase_of[base] != at or value is not base):
                kept.add(base)
        output = _base(self._step.output)
        if isinstance(output, Lane) and output in own and not any(self._step.output is v for v in self._step.state):
            kept.add(output)
        return kept

    def _row_work(self, value: Value) -> list[list[int]]:
        """Work on a whole row: kind, operand, result, counts and one number more."""
        place = self._stored(value)
        if isinstance(value, Concat):
            work, at = [], 0
            for piece in value.pieces:
                source = self._place(piece)
                size = piece.size
                work.append([COPY, source.base, source.offset, source.stride, place.base, place.offset + at, size, 1, 0])
                at += size
            return work
        if isinstance(value, Gather):
            source = self._place(value.source)
            start = len(self.index)
            self.index += value.index.tolist()
            where = [source.base, source.offset, source.stride, place.base, place.offset]
            return [[GATHER, *where, value.size, 1, start]]
        assert isinstance(value, (Reduce, Normalise))
        source = self._place(value.source)
        where = [source.base, source.offset, source.stride, place.base, place.offset]
        if isinstance(value, Normalise):
            epsilon = self._constant(np.array([value.epsilon], np.float32))
            return [[NORMALISE, *where, value.size // value.length, value.length, epsilon.offset]]
        return [[SUM if value.kind == "sum" else MAX, *where, value.size, value.length, 0]]


class _Instructions:
    """The instructions of one lane group in one phase.

    Args:
        plan: what knows where values lie.
        group: gets the instructions.
        kept: lanes whose values have to be stored.
        stores: (part, value): what becomes the new state here.
    """

    def __init__(
        self, plan: Plan, group: LaneGroup, kept: set[Value], stores: list[tuple[int, Value]]
    ) -> None:
        self._plan, self._group, self._kept, self._stores = plan, group, kept, stores
        self._registers: dict[Value, int] = {}
        self._free: list[int] = []
        self._inside = set(group.lanes)
        self._uses: dict[Value, int] = {}
        self._fused: dict[Value, Lane] = {}
        for lane in group.lanes:
            for operand in lane.operands:
                self._uses[operand] = self._uses.get(operand, 0) + 1
        for _, value in stores:
            self._uses[value] = self._uses.get(value, 0) + 1

    def emit(self) -> None:
        """Write the group's instructions."""
        self._fuse()
        for lane in self._group.lanes:
            if lane in self._fused:
                continue
            operation, operands = lane.operation, lane.operands
            product = next((o for o in operands if o in self._fused), None) if operation == "add" else None
            if product is not None:
                other = operands[1] if operands[0] is product else operands[0]
                operation, operands = "multiply_add", (*self._fused[product].operands, other)
            places = [self._operand(operand) for operand in operands]
            for operand in operands:
                self._release(operand)
            if self._uses.get(lane, 0):
                number = self._free.pop() if self._free else self._new_register()
                self._registers[lane] = number
                target = Place(REGISTER, number)
            else:
                target = self._plan._stored(lane)
            self._add(operation, target, *places)
            if lane in self._kept and target.base == REGISTER:
                self._add("copy", self._plan._stored(lane), target)
        for part, value in self._stores:
            self._add("copy", Place(STATE + part, 0), self._operand(value))
        self._group.registers = max(self._group.registers, 1)

    def _fuse(self) -> None:
        """Products that one sum alone reads become part of it."""
        for lane in self._group.lanes:
            if lane.operation != "add":
                continue
            for operand in lane.operands:
                if (
                    isinstance(operand, Lane)
                    and operand in self._inside
                    and operand.operation == "mul"
                    and operand not in self._kept
                    and self._uses[operand] == 1
                    and operand.size == lane.size
                ):
                    self._fused[operand] = operand
                    # The sum reads what the product would have read.
                    break

    def _operand(self, value: Value) -> Place:
        if value in self._registers:
            return Place(REGISTER, self._registers[value])
        return self._plan._place(value)

    def _release(self, value: Value) -> None:
        if value in self._registers:
            self._uses[value] -= 1
            if not self._uses[value]:
                self._free.append(self._registers.pop(value))

    def _new_register(self) -> int:
        self._group.registers += 1
        return self._group.registers - 1

    def _add(self, operation: str, target: Place, *operands: Place) -> None:
        places = [target, *operands, *[Place(CONSTANT, 0, 0)] * (3 - len(operands))]
        numbers = [number for place in places for number in (place.base, place.offset, place.stride)]
        self._group.instructions.append([_CODES[operation], *numbers])


class _Graph:
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
            _base(operand)
            for value in self.order
            for operand, aligned in _reads(value)
            if not (isinstance(value, Lane) and aligned and operand is _base(operand))
        }
        read_by_others |= {self.output} | {value for value in self.state}
        self.only_lanes = {v for v in self.order if isinstance(v, Product)} - read_by_others

    def depends_on_state(self, value: Value) -> bool:
        """Whether it waits for the old state."""
        return self._of_state[value]

    def _unique(self, value: Value) -> Value:
        """The value, or the one that was found before and computes the same."""
        if id(value) in self._done:
            return self._done[id(value)]
        self._alive.append(value)
        stack = [value]
        while stack:
            top = stack[-1]
            waiting = [o for o, _ in _reads(top) if id(o) not in self._done]
            if waiting:
                stack += waiting
                self._alive += waiting
                continue
            stack.pop()
            if id(top) not in self._done:
                self._done[id(top)] = self._keep(top)
        return self._done[id(value)]

    def _keep(self, value: Value) -> Value:
        rebuilt = _with_operands(value, [self._done[id(o)] for o, _ in _reads(value)])
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
        key = _key(value)
        if key in self._same:
            return self._same[key]
        self._same[key] = value
        self.order.append(value)
        self._of_state[value] = (isinstance(value, Input) and value.name != "inputs") or any(
            self._of_state[operand] for operand, _ in _reads(value)
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
            operands = [changed.get(o, o) for o, _ in _reads(value)]
            new = _with_operands(value, operands)
            if new is not value:
                changed[value] = new
                used = used or any(o is copy for o in operands)
                self._of_state[new] = True
            order.append(new)
        for name in ("state",):
            setattr(self, name, [changed.get(v, v) if v is not self.inputs else copy for v in getattr(self, name)])
        output = self.output
        self.output = changed.get(output, output)
        if used or self.output is copy or copy in self.state:
            self._of_state[copy] = False
            order.insert(order.index(self.inputs) + 1, copy)
        self.order = order


def _numbers(place: Place) -> tuple[int, int, int]:
    return place.base, place.offset, place.stride


def _base(value: Value) -> Value:
    while isinstance(value, Slice):
        value = value.source
    return value


def _reads(value: Value) -> list[tuple[Value, bool]]:
    """What a value is computed from, and whether element by element."""
    if isinstance(value, Lane):
        return [(operand, True) for operand in value.operands]
    if isinstance(value, Product):
        return [(segment.source, False) for segment in value.segments]
    if isinstance(value, Concat):
        return [(piece, False) for piece in value.pieces]
    if isinstance(value, (Slice, Gather, Reduce, Normalise)):
        return [(value.source, False)]
    return []


def _with_operands(value: Value, operands: list[Value]) -> Value:
    """The same computation of other values."""
    if all(new is old for new, (old, _) in zip(operands, _reads(value), strict=True)):
        return value
    if isinstance(value, Lane):
        return Lane(value.size, value.operation, tuple(operands))
    if isinstance(value, Product):
        segments = tuple(
            Segment(new, segment.start, segment.matrix)
            for new, segment in zip(operands, value.segments, strict=True)
        )
        return Product(value.size, segments, value.bias)
    if isinstance(value, Concat):
        return Concat(value.size, tuple(operands))
    (source,) = operands
    if isinstance(value, Slice):
        return Slice(value.size, source, value.start)
    if isinstance(value, Gather):
        return Gather(value.size, source, value.index)
    if isinstance(value, Reduce):
        return Reduce(value.size, value.kind, source, value.length)
    assert isinstance(value, Normalise)
    return Normalise(value.size, source, value.length, value.epsilon)


def _key(value: Value) -> Any:
    if isinstance(value, Constant):
        return ("constant", value.size, value.array.tobytes())
    if isinstance(value, Input):
        return ("input", value.name)
    operands = tuple(id(operand) for operand, _ in _reads(value))
    if isinstance(value, Lane):
        return ("lane", value.size, value.operation, operands)
    if isinstance(value, Slice):
        return ("slice", value.size, value.start, operands)
    if isinstance(value, Reduce):
        return ("reduce", value.size, value.kind, value.length, operands)
    if isinstance(value, Normalise):
        return ("normalise", value.size, value.length, value.epsilon, operands)
    return id(value)


def _fits_blocks(product: Product) -> bool:
    """Whether the segments of a product begin where blocks of a packed matrix may begin."""
    # A product by itself is packed in blocks of two groups of 16 rows.
    return all(len(segment.matrix) % (2 * LANES) == 0 for segment in product.segments[:-1])
