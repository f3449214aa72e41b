"""Weights whose values are not known while a plan is made: arrays that say which elements they hold.

A matrix is a view of memory that nobody reads: its address and strides say where its elements lie, whatever
slices and turns it went through. A vector holds the numbers of its elements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program import Function
from throughtime.program.operations import Type
from throughtime.program.program import WEIGHT


class Elements:
    """Stand-ins for the weights of a function.

    Args:
        function: the program.
        names: of all weights, in the order in which the executor gets them.
        types: their types.
    Attributes:
        arrays: the stand-ins by name.
    """

    def __init__(self, function: Function, names: tuple[str, ...], types: Mapping[str, Type]) -> None:
        self._names = names
        self._memory: dict[str, NDArray[Any]] = {}
        self._starts: list[int] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        matrices = _matrices(function)
        start = 0
        for name in names:
            shape = tuple(side for side in types[name].shape if isinstance(side, int))
            size = math.prod(shape)
            self._starts.append(start)
            if name in matrices and size:
                # Never written and never read: it takes no memory.
                self._memory[name] = np.zeros(size, np.int8)
                self.arrays[name] = self._memory[name].reshape(shape)
            else:
                self.arrays[name] = np.arange(start, start + size, dtype=np.int64).reshape(shape)
            start += size

    def matrix(self, view: NDArray[Any]) -> tuple[int, int, int, int]:
        """Where a matrix lies: the number of its weight, the first element, and the steps to the next row and
        column.

        Raises:
            RunError: it is no view of one weight.
        """
        if view.dtype == np.int64:
            return self._counted(view)
        address = view.__array_interface__["data"][0]
        for number, name in enumerate(self._names):
            memory = self._memory.get(name)
            if memory is not None:
                first = memory.__array_interface__["data"][0]
                if first <= address < first + memory.size:
                    return number, address - first, view.strides[0], view.strides[1]
        raise RunError("a product's matrix is no part of one weight")

    def _counted(self, view: NDArray[Any]) -> tuple[int, int, int, int]:
        first = int(view[0, 0])
        down = int(view[1, 0]) - first if len(view) > 1 else 0
        right = int(view[0, 1]) - first if view.shape[1] > 1 else 0
        rows, columns = np.ogrid[: view.shape[0], : view.shape[1]]
        number, start = self._found(first)
        if not (view == first + rows * down + columns * right).all():
            raise RunError("a product's matrix is no part of one weight")
        return number, start, down, right

    def runs(self, vector: NDArray[Any]) -> list[tuple[int, int, int]]:
        """The elements of a vector as runs: the number of a weight, the first element, how many."""
        breaks = np.flatnonzero(np.diff(vector) != 1) + 1
        found = []
        for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(vector)], strict=True):
            number, start = self._found(int(vector[first]))
            found.append((number, start, last - first))
        return found

    def _found(self, element: int) -> tuple[int, int]:
        number = max(k for k, start in enumerate(self._starts) if start <= element)
        return number, element - self._starts[number]


def _matrices(function: Function) -> set[str]:
    """The weights that products alone read."""
    turned = {
        node.name: node.operands[0]
        for node in function.nodes
        if node.operation == "permute" and str(node.operands[0]).startswith(WEIGHT)
    }
    read: set[Any] = set()
    others: set[Any] = set()
    for node in function.nodes:
        for place, operand in enumerate(node.operands):
            weight = turned.get(str(operand), operand)
            if str(weight).startswith(WEIGHT) and node.name not in turned:
                (read if (node.operation, place) == ("linear", 1) else others).add(weight)
    return {str(weight).removeprefix(WEIGHT) for weight in read - others - set(function.outputs)}
