"""Runs of lanes in training: where their operands lie, and the instructions that compute them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from throughtime.runtime.planning.layout import LANE_OPERATIONS
from throughtime.runtime.planning.rows import Lane, Value

# Where an operand lies, as in native/training.h: inputs and then outputs follow.
REGISTER, SCRATCH, CONSTANT, FIRST = range(4)
_CODES = {name: code for code, name in enumerate(LANE_OPERATIONS)}


@dataclass(frozen=True)
class Place:
    """Where the rows of a value lie.

    Args:
        base: REGISTER, SCRATCH, CONSTANT, or FIRST and the number of an input or output.
        block: floats of a sequence's scratch memory before it: the batch's are `block` times as many.
        start: floats after that.
        stride: floats from one row to the next; 0 is one row for all.
        step: 1, or 0 where one number stands for as many as are wanted.
        exact: whether what lies behind it belongs to others.
    """

    base: int
    block: int = 0
    start: int = 0
    stride: int = 0
    step: int = 1
    exact: bool = False

    @property
    def numbers(self) -> list[int]:
        return [self.base, self.block, self.start, self.stride, self.step, int(self.exact)]


@dataclass
class LaneRun:
    """Lanes of one size that run as one program."""

    size: int
    lanes: list[Lane] = field(default_factory=list)
    instructions: list[list[int]] = field(default_factory=list)
    registers: int = 0


class Places(Protocol):
    """What an emitter has to know of a plan."""

    def place_of(self, value: Value) -> Place:
        """Where a value lies that is no register."""
        ...

    def has_place(self, value: Value) -> bool:
        """Whether a value is to be written somewhere."""
        ...


class Emitter:
    """The instructions of a run of lanes.

    Args:
        plan: says where values lie.
        run: gets the instructions.
        kept: lanes that others read than those of the run.
    """

    def __init__(self, plan: Places, run: LaneRun, kept: set[Lane]) -> None:
        self._plan, self._run, self._kept = plan, run, kept
        self._uses: dict[Value, int] = {}
        for lane in run.lanes:
            for operand in lane.operands:
                self._uses[operand] = self._uses.get(operand, 0) + 1
        self._registers: dict[Value, int] = {}
        self._free: list[int] = []

    def emit(self) -> None:
        fused = self._fused()
        for lane in self._run.lanes:
            if lane in fused:
                continue
            operation, operands = lane.operation, lane.operands
            if operation == "add" and any(operand in fused for operand in operands):
                product, other = sorted(operands, key=lambda operand: operand not in fused)
                assert isinstance(product, Lane)
                operation, operands = "multiply_add", (*product.operands, other)
            places = [self._operand(operand) for operand in operands]
            for operand in operands:
                self._release(operand)
            if lane in self._kept or self._plan.has_place(lane):
                target = self._plan.place_of(lane)
            else:
                number = self._free.pop() if self._free else self._new()
                self._registers[lane] = number
                target = Place(REGISTER, 0, number)
            numbers = [n for place in (target, *places) for n in place.numbers]
            numbers += Place(CONSTANT, step=0).numbers * (3 - len(places))
            self._run.instructions.append([_CODES[operation], *numbers])
        self._run.registers = max(self._run.registers, 1)

    def _fused(self) -> set[Value]:
        """Products that one sum alone reads become part of it."""
        fused: set[Value] = set()
        inside = set(self._run.lanes)
        for lane in self._run.lanes:
            if lane.operation != "add" or lane.operands[0] is lane.operands[1]:
                continue
            for operand in lane.operands:
                if (
                    isinstance(operand, Lane)
                    and operand in inside
                    and operand.operation == "mul"
                    and operand not in self._kept
                    and not self._plan.has_place(operand)
                    and self._uses[operand] == 1
                ):
                    fused.add(operand)
                    break
        return fused

    def _new(self) -> int:
        self._run.registers += 1
        return self._run.registers - 1

    def _operand(self, value: Value) -> Place:
        if value in self._registers:
            return Place(REGISTER, 0, self._registers[value])
        return self._plan.place_of(value)

    def _release(self, value: Value) -> None:
        if value in self._registers:
            self._uses[value] -= 1
            if not self._uses[value]:
                self._free.append(self._registers.pop(value))


def program_of(run: LaneRun) -> tuple[Any, int]:
    """A run's instructions as numbers, and how many registers they need."""
    return np.array(run.instructions, np.int64).reshape(-1, 25), max(run.registers, 1)
