"""Lanes as instructions on registers."""

from __future__ import annotations

from collections.abc import Callable

from throughtime.runtime.planning.layout import CONSTANT, LANE_OPERATIONS, REGISTER, STATE, LaneGroup, Place
from throughtime.runtime.planning.rows import Lane, Value

_CODES = {name: code for code, name in enumerate(LANE_OPERATIONS)}


class Instructions:
    """The instructions of one lane group in one phase.

    Args:
        place: where a value lies that is no register.
        stored: where a value lies that is kept for others.
        group: gets the instructions.
        kept: lanes whose values have to be stored.
        stores: (part, value): what becomes the new state here.
    """

    def __init__(
        self,
        place: Callable[[Value], Place],
        stored: Callable[[Value], Place],
        group: LaneGroup,
        kept: set[Value],
        stores: list[tuple[int, Value]],
    ) -> None:
        self._place, self._stored = place, stored
        self._group, self._kept, self._stores = group, kept, stores
        self._registers: dict[Value, int] = {}
        self._free: list[int] = []
        self._inside = set(group.lanes)
        self._uses: dict[Value, int] = {}
        self._fused: set[Value] = set()
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
            if operation == "add" and any(operand in self._fused for operand in operands):
                product, other = sorted(operands, key=lambda operand: operand not in self._fused)
                assert isinstance(product, Lane)
                operation, operands = "multiply_add", (*product.operands, other)
            places = [self._operand(operand) for operand in operands]
            for operand in operands:
                self._release(operand)
            if self._uses.get(lane, 0):
                number = self._free.pop() if self._free else self._new_register()
                self._registers[lane] = number
                target = Place(REGISTER, number)
            else:
                target = self._stored(lane)
            self._add(operation, target, *places)
            if lane in self._kept and target.base == REGISTER:
                self._add("copy", self._stored(lane), target)
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
                    and lane.operands[0] is not lane.operands[1]
                ):
                    self._fused.add(operand)
                    break

    def _operand(self, value: Value) -> Place:
        if value in self._registers:
            return Place(REGISTER, self._registers[value])
        return self._place(value)

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
