"""The native executor's plan of a step that is trained: forward or backward, over a batch.

Every value is a matrix of rows, one a sequence; it lies in a tensor of the caller, in scratch memory, or,
within one pass over the units, in a register. The work is cut into phases, which barriers part: in a phase of
units (even numbers) each thread takes its share of the units for all sequences, multiplies them, and runs the
instructions on them; in a phase of rows (odd numbers) it takes its share of the sequences, so that whole rows
can be summed. Weights are known by their places only: an executor packs them once a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from throughtime.errors import RunError
from throughtime.program import Function
from throughtime.program.operations import OPERATIONS, Type
from throughtime.runtime.planning.flat import FlatPlan
from throughtime.runtime.planning.layout import LANES
from throughtime.runtime.planning.lowering import Row, run_on_rows
from throughtime.runtime.planning.rows import (
    Concat,
    Constant,
    Gather,
    Input,
    Lane,
    Product,
    Reduce,
    Segment,
    Slice,
    Stored,
    Value,
    bottom_up,
    key,
    reads,
    with_operands,
)
from throughtime.runtime.planning.training_lanes import (
    CONSTANT,
    FIRST,
    SCRATCH,
    Emitter,
    LaneRun,
    Place,
    program_of,
)
from throughtime.runtime.planning.weights import Elements

# What work on rows is, as in native/training.h.
LANES_OF_ROWS, SUM, MAX, GATHER = range(4)
# Rows of 16 that a pass multiplies together: what the kernels have registers for.
_MOST_TOGETHER = 4
# kTileFloats.
_TILE = 256
# Operations on whole rows.
_OF_ROWS = frozenset(("sum", "mean", "amax", "amin", "softmax"))


@dataclass
class Group:
    """Products of one shape that read the same rows.

    Args:
        products: up to four.
        places: of their results.
    """

    products: list[Product]
    places: list[Place]


@dataclass
class Phase:
    """What lies between two barriers; `rows` where it is shared out by sequences."""

    groups: list[int] = field(default_factory=list)
    units: dict[int, LaneRun] = field(default_factory=dict)
    rows: list[LaneRun | Value] = field(default_factory=list)


class TrainingPlan:
    """The plan of one function.

    Args:
        function: forward or backward step of `throughtime.program.gradient`.
        names: of its weights, in the order in which the executor gets them.
        types: theirs.
    Raises:
        RunError: an operation has no form for single rows.
    """

    def __init__(self, function: Function, names: tuple[str, ...], types: Mapping[str, Type]) -> None:
        self._elements = Elements(function, names, types)
        self.inputs = {name: _width(found) for name, found in function.inputs.items()}
        self.outputs = [_width(function.type_of(operand)) for operand in function.outputs]
        self._bases = {name: FIRST + number for number, name in enumerate(self.inputs)}
        rows = run_on_rows(
            function,
            {name: Row(Input(width, name), ("B", width)) for name, width in self.inputs.items()},
            self._elements.arrays,
            stored=_whole(function),
        )
        if not all(isinstance(row, Row) for row in rows):
            raise RunError("a step gives something that is no row")
        self._order: list[Value] = []
        self._same: dict[Any, Value] = {}
        self._done: dict[int, Value] = {}
        self._alive: list[Value] = []
        self._places: dict[Value, Place] = {}
        self._scratch = 0
        self._constants: list[tuple[np.ndarray[Any, Any] | None, list[tuple[int, int, int]]]] = []
        self._constant_places: dict[bytes, Place] = {}
        self._constant_floats = 0
        self._copies: list[tuple[Lane, Place]] = []
        self._index: list[int] = []
        results = [self._unique(row.value) for row in rows if isinstance(row, Row)]
        self._place_results(results)
        self._find_phases()
        self._group_products()
        self.phases = self._schedule()

    # ---- each value once

    def _unique(self, value: Value) -> Value:
        return bottom_up(value, self._done, self._alive, self._keep)

    def _keep(self, value: Value) -> Value:
        rebuilt = with_operands(value, [self._done[id(o)] for o, _ in reads(value)])
        if isinstance(rebuilt, Product):
            if rebuilt.bias is not None:
                raise RunError("a product has a bias of its own")
            if any(len(segment.matrix) % (2 * LANES) for segment in rebuilt.segments[:-1]):
                # Segments that do not begin where a block may: each by itself, then beside each other.
                pieces = [self._add(Product(len(s.matrix), (s,), None)) for s in rebuilt.segments]
                rebuilt = Concat(rebuilt.size, tuple(pieces))
        if isinstance(rebuilt, Concat):
            # Each piece is a lane of its own, which can be written in its place.
            rebuilt = Concat(rebuilt.size, tuple(self._own_lane(piece) for piece in rebuilt.pieces))
        if isinstance(rebuilt, Stored) and isinstance(rebuilt.source, (Lane, Product)):
            return rebuilt.source  # it lies in one piece by itself
        return self._add(rebuilt)

    def _own_lane(self, value: Value) -> Value:
        if isinstance(value, Lane):
            return value
        return self._add(Lane(value.size, "copy", (value,)))

    def _add(self, value: Value) -> Value:
        identity = _key(value)
        if identity not in self._same:
            self._same[identity] = value
            self._alive.append(value)
            self._order.append(value)
            self._done[id(value)] = value
        return self._same[identity]

    # ---- where values lie

    def _reserve(self, size: int) -> Place:
        stride = -(-size // (2 * LANES)) * 2 * LANES
        place = Place(SCRATCH, self._scratch, 0, stride)
        self._scratch += stride
        return place

    def _place_results(self, results: Sequence[Value]) -> None:
        """Outputs are written where they belong; what is wanted twice, or is no lane, is copied."""
        for number, (value, width) in enumerate(zip(results, self.outputs, strict=True)):
            place = Place(FIRST + len(self.inputs) + number, stride=width, exact=True)
            if not self._claim(value, place):
                copy = Lane(value.size, "copy", (value,))
                self._alive.append(copy)
                self._order.append(copy)
                self._places[copy] = place
        for value in self._order:
            if isinstance(value, (Concat, Stored)) and value not in self._places:
                place = self._reserve(value.size)
                self._claim(value, Place(SCRATCH, place.block, 0, place.stride, exact=True))

    def _claim(self, value: Value, place: Place) -> bool:
        """Have a value written at a place; false where it cannot be, or has another."""
        if value in self._places or isinstance(value, (Input, Constant, Slice, Product, Gather, Reduce)):
            return False
        self._places[value] = place
        if isinstance(value, Stored):
            if not self._claim(value.source, place):
                self._copy_to(value.source, place)
        elif isinstance(value, Concat):
            at = 0
            for piece in value.pieces:
                mine = Place(place.base, place.block, place.start + at, place.stride, exact=True)
                if not self._claim(piece, mine):
                    self._copy_to(piece, mine)
                at += piece.size
        return True

    def _copy_to(self, value: Value, place: Place) -> None:
        """A copy of a value at a place, made as soon as the value is there."""
        copy = Lane(value.size, "copy", (value,))
        self._alive.append(copy)
        self._places[copy] = place
        self._copies.append((copy, place))
        self._order.append(copy)

    def _constant(self, array: np.ndarray[Any, Any]) -> Place:
        name = array.tobytes() + str(array.dtype).encode()
        if name not in self._constant_places:
            runs = self._elements.runs(array) if array.dtype == np.int64 else []
            self._constants.append((None if runs else array.astype(np.float32), runs))
            step = 0 if array.size == 1 else 1
            self._constant_places[name] = Place(CONSTANT, 0, self._constant_floats, 0, step)
            self._constant_floats += _padded(array.size)
        return self._constant_places[name]

    def _place(self, value: Value) -> Place:
        if isinstance(value, Constant):
            return self._constant(value.array)
        if isinstance(value, Input):
            return Place(self._bases[value.name], stride=value.size, exact=True)
        if isinstance(value, Slice):
            place = self._place(value.source)
            return Place(place.base, place.block, place.start + value.start, place.stride, place.step, True)
        if isinstance(value, Gather) and _repeats(value):
            place = self._place(value.source)
            return Place(place.base, place.block, place.start + int(value.index[0]), place.stride, 0, True)
        if value not in self._places:
            self._places[value] = self._reserve(value.size)
        return self._places[value]

    # ---- when values are computed

    def _find_phases(self) -> None:
        self._phase: dict[Value, int] = {}
        # Copies read what may come after them in the order: those wait for the end of the pass.
        done: set[int] = set()
        waiting = list(self._order)
        order: list[Value] = []
        while waiting:
            later = []
            for value in waiting:
                if all(id(o) in done or isinstance(o, (Input, Constant)) for o in self._reads(value)):
                    self._phase[value] = self._phase_of(value)
                    done.add(id(value))
                    order.append(value)
                else:
                    later.append(value)
            if len(later) == len(waiting):
                raise RunError("a step waits for itself")
            waiting = later
        self._order = order

    def _reads(self, value: Value) -> list[Value]:
        """What has to be there: of what lies in one piece also the copies that were made into it."""
        found = [operand for operand, _ in reads(value)]
        if isinstance(value, (Concat, Stored)):
            mine = self._places[value]
            size = value.size
            found += [
                copy
                for copy, place in self._copies
                if (place.base, place.block) == (mine.base, mine.block)
                and mine.start <= place.start < mine.start + max(size, 1)
            ]
        return found

    def _phase_of(self, value: Value) -> int:
        if isinstance(value, (Input, Constant)):
            return -1
        if isinstance(value, (Concat, Stored)):
            return max((self._phase.get(o, -1) for o in self._reads(value)), default=-1)
        if isinstance(value, Slice) or (isinstance(value, Gather) and _repeats(value)):
            return self._phase.get(value.source, -1)
        if isinstance(value, Product):
            last = max((self._phase.get(s.source, -1) for s in value.segments), default=-1)
            return last + 2 - last % 2 if last >= 0 else 0
        if isinstance(value, (Gather, Reduce)):
            last = self._phase.get(value.source, -1)
            return 1 if last < 0 else last + 1 - last % 2
        by_units, by_rows = 0, 1
        for operand, _ in reads(value):
            at = self._phase.get(operand, -1)
            if at < 0:
                continue
            aligned = isinstance(operand, (Lane, Product)) and operand.size == value.size
            by_units = max(by_units, at if at % 2 == 0 and aligned else at + 2 - at % 2)
            by_rows = max(by_rows, at + 1 - at % 2)
        return min(by_units, by_rows)

    def _group_products(self) -> None:
        together: dict[Any, list[Product]] = {}
        for value in self._order:
            if isinstance(value, Product):
                shape = tuple((id(s.source), s.start, s.matrix.shape) for s in value.segments)
                together.setdefault((self._phase[value], shape), []).append(value)
        self.groups: list[Group] = []
        self._group_of: dict[Value, int] = {}
        for products in together.values():
            while products:
                count = len(products) if len(products) <= _MOST_TOGETHER else min(3, len(products) - 2)
                mine, products = products[:count], products[count:]
                for product in mine:
                    self._group_of[product] = len(self.groups)
                self.groups.append(Group(mine, [self._place(product) for product in mine]))

    def _schedule(self) -> list[Phase]:
        phases = [Phase() for _ in range(max(self._phase.values(), default=-1) + 1)]
        for value in self._order:
            at = self._phase[value]
            if isinstance(value, Product):
                number = self._group_of[value]
                phases[at].units.setdefault(value.size, LaneRun(value.size))
                if number not in phases[at].groups:
                    phases[at].groups.append(number)
            elif isinstance(value, Lane) and at % 2 == 0:
                phases[at].units.setdefault(value.size, LaneRun(value.size)).lanes.append(value)
            elif isinstance(value, Lane):
                rows = phases[at].rows
                last = rows[-1] if rows else None
                if not isinstance(last, LaneRun) or last.size != value.size:
                    last = LaneRun(value.size)
                    rows.append(last)
                last.lanes.append(value)
            elif isinstance(value, Reduce) or (isinstance(value, Gather) and not _repeats(value)):
                phases[at].rows.append(value)
        runs = [run for one in phases for run in one.units.values()]
        runs += [run for one in phases for run in one.rows if isinstance(run, LaneRun)]
        run_of = {lane: run for run in runs for lane in run.lanes}
        near: dict[Value, bool] = {}
        for value in self._order:
            for operand, _ in reads(value):
                if isinstance(operand, Lane):
                    same = isinstance(value, Lane) and run_of.get(value) is run_of[operand]
                    near[operand] = near.get(operand, True) and same
        for run in runs:
            Emitter(self, run, {lane for lane in run.lanes if not near.get(lane, False)}).emit()
        return phases

    def place_of(self, value: Value) -> Place:
        """Where a value lies that is no register."""
        return self._place(value)

    def has_place(self, value: Value) -> bool:
        """Whether a value is to be written somewhere."""
        return value in self._places

    # ---- for the executor

    def flat(self) -> FlatPlan:
        """For the native part: native/plans.cpp reads its parts in this order."""
        phases = []
        for one in self.phases:
            units = [
                (
                    run.size,
                    [g for g in one.groups if self.groups[g].products[0].size == run.size],
                    *program_of(run),
                )
                for run in one.units.values()
            ]
            rows = [self._row_work(work) for work in one.rows]
            if units or rows:
                phases.append((units, rows))
        groups = []
        for group in self.groups:
            segments, unit = [], 0
            for number, segment in enumerate(group.products[0].segments):
                place = self._place(segment.source)
                source = Place(place.base, place.block, place.start + segment.start, place.stride, exact=True)
                matrices = [self._elements.matrix(p.segments[number].matrix) for p in group.products]
                rows, columns = segment.matrix.shape
                if place.step != 1:
                    raise RunError("a product of one number as many times")
                segments.append((tuple(source.numbers), unit, rows, columns, [tuple(m) for m in matrices]))
                unit += rows
            groups.append((unit, segments, [tuple(place.numbers) for place in group.places]))
        at, constants = 0, []
        for values, runs in self._constants:
            size = len(values) if values is not None else sum(count for _, _, count in runs)
            constants.append((at, values, [tuple(run) for run in runs]))
            at += _padded(size)
        return FlatPlan(
            [
                list(self.inputs.values()),
                self.outputs,
                self._scratch,
                constants,
                self._constant_floats + _TILE,
                groups,
                phases,
                self._index,
            ]
        )

    def _row_work(self, work: LaneRun | Value) -> tuple[Any, ...]:
        none = np.zeros((0, 25), np.int64)
        if isinstance(work, LaneRun):
            instructions, registers = program_of(work)
            nowhere = tuple(Place(CONSTANT).numbers)
            return LANES_OF_ROWS, work.size, instructions, registers, nowhere, nowhere, 0, 0
        assert isinstance(work, (Reduce, Gather))
        source, target = tuple(self._place(work.source).numbers), tuple(self._place(work).numbers)
        if isinstance(work, Reduce):
            kind = SUM if work.kind == "sum" else MAX
            return kind, work.size, none, 1, source, target, work.length, 0
        start = len(self._index)
        self._index += work.index.tolist()
        return GATHER, work.size, none, 1, source, target, 1, start


def _repeats(value: Gather) -> bool:
    """Whether it is one element for as many as are wanted."""
    return bool((value.index == value.index[0]).all())


def _whole(function: Function) -> set[str]:
    """The values that are wanted in one piece: outputs, and what whole rows are summed from."""
    summed: set[str] = set()
    for node in reversed(function.nodes):
        if node.operation in _OF_ROWS or (node.name in summed and OPERATIONS[node.operation].pointwise):
            summed |= {operand for operand in node.operands if isinstance(operand, str)}
    return summed | {operand for operand in function.outputs if isinstance(operand, str)}


def _padded(size: int) -> int:
    """Floats that a constant takes: one number stands there as often as a tile has elements."""
    return _TILE if size == 1 else -(-size // LANES) * LANES


def _width(found: Type) -> int:
    assert len(found.shape) == 2 and isinstance(found.shape[1], int)
    return found.shape[1]


def _key(value: Value) -> Any:
    if isinstance(value, Product):
        parts = [(id(s.source), s.start, _address(s)) for s in value.segments]
        return ("product", value.size, tuple(parts))
    if isinstance(value, Constant):
        return ("constant", value.size, str(value.array.dtype), value.array.tobytes())
    if isinstance(value, Gather):
        return ("gather", id(value.source), value.index.tobytes())
    if isinstance(value, Concat):
        return ("concat", tuple(id(piece) for piece in value.pieces))
    return key(value)


def _address(segment: Segment) -> Any:
    view = segment.matrix
    return view.__array_interface__["data"][0], view.shape, view.strides
