"""A network's program: named functions, the recurrences that their scans carry, and these one's cells.

```
recurrence encoder: 1 layer, 2 directions, cells encoder.cells.0 and encoder.cells.1
function encoder (source int64 (S, B), lengths int64 (B,))
    words = take(@source_embedding.weight, source)
    outputs = scan(words, lengths, recurrence=encoder)
    ...
    returns values, keys, h, c
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program.operations import Type
from throughtime.program.program import (
    CellProgram,
    Function,
    cell_from_json,
    cell_to_json,
    function_from_json,
    function_to_json,
    is_name,
    read_list,
    read_table,
    read_types,
)

# Functions, recurrences and cells of a network: far more of each than any has.
_MOST = 1_000
_OPTIONS = {"activation": str, "reset_after": bool}


@dataclass(frozen=True)
class Port:
    """An input or an output of a function.

    Args:
        name: of the value.
        dtype: "float32", "int64" or "uint8".
        shape: sizes; a letter is a size that may differ from call to call.
        meaning: in a few words.
        below: of whole numbers: they lie in [0, below). A letter stands for that axis: lengths in [1, T].
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str = ""
    below: int | str | None = None

    @property
    def width(self) -> int | str:
        """The last of the sizes.

        Raises:
            RunError: there is none, as no network has it.
        """
        if not self.shape:
            raise RunError(f"the network's program is damaged: {self.name!r:.60} has no size")
        return self.shape[-1]

    def axis(self, letter: str) -> int:
        """Which of the sizes a letter stands for.

        Raises:
            RunError: none of them.
        """
        if letter not in self.shape:
            raise RunError(f"the network's program is damaged: {self.name!r:.60} has no size {letter}")
        return self.shape.index(letter)

    def describe(self) -> dict[str, Any]:
        """As JSON can hold it."""
        known = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape), "meaning": self.meaning}
        if self.below is None:
            return known
        low, high = (1, self.below) if isinstance(self.below, str) else (0, self.below - 1)
        return {**known, "range": [low, high]}


@dataclass(frozen=True)
class NamedFunction:
    """A function with what its values are.

    Args:
        function: the nodes.
        inputs, outputs: one port each.
    """

    function: Function
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def output(self, name: str) -> Port:
        """The port of an output."""
        return next(port for port in self.outputs if port.name == name)


class Functions(Protocol):
    """What computes a network's functions: natively, with torch, or by the reference."""

    @property
    def functions(self) -> Mapping[str, Any]:
        """What knows its input ports as `inputs`, by name."""
        ...

    def __call__(self, function: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute a function: arrays by the names of its ports."""
        ...


@dataclass(frozen=True)
class Recurrence:
    """The cells that a scan carries through time.

    Args:
        name: under which its weights lie.
        kind: "rnn", "lstm" or "gru"; any other is known by its cells' programs alone.
        layers: L.
        directions: D, 1 or 2.
        zoneout: for each tensor of the state, how much of its old value a unit keeps; empty is nothing.
        learned_state: the state before the first step is among the weights.
        options: of the kind: activation, reset_after.
    """

    name: str
    kind: str
    layers: int = 1
    directions: int = 1
    zoneout: tuple[float, ...] = ()
    learned_state: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def cell(self, number: int) -> str:
        """The name of a cell, layer by layer, forward before backward."""
        return f"{self.name}.cells.{number}"

    def initial(self, part: int) -> str:
        """The name of a tensor of the learned state."""
        return f"{self.name}.initial.{part}"


@dataclass(frozen=True)
class NetworkProgram:
    """All that is known of a network but its weights.

    Args:
        functions: by name.
        recurrences: by name.
        cells: by name, as `Recurrence.cell` gives it.
        others: names of tensors that lie beside the weights and that no function reads: a second name of one
            that is shared, a counter of training.
        options: of config.toml that the program was captured with.
    """

    functions: Mapping[str, NamedFunction]
    recurrences: Mapping[str, Recurrence]
    cells: Mapping[str, CellProgram]
    others: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, Type]:
        """The types of all weights that are read, by name."""
        found: dict[str, Type] = {}
        for named in self.functions.values():
            found |= named.function.weights
        for name, cell in self.cells.items():
            for function in cell.functions.values():
                found |= {f"{name}.{own}": type for own, type in function.weights.items()}
        for recurrence in self.recurrences.values():
            if recurrence.learned_state:
                rows = recurrence.layers * recurrence.directions
                sizes = self.cells[recurrence.cell(0)].state_sizes
                for part, size in enumerate(sizes):
                    found[recurrence.initial(part)] = Type("float32", (rows, size))
        return found

    def check(self) -> NetworkProgram:
        """The program, if its parts fit each other.

        Raises:
            RunError: they do not (the message says what).
        """
        for recurrence in self.recurrences.values():
            self._check_cells(recurrence)
        for name, named in self.functions.items():
            for node in named.function.nodes:
                if node.operation == "scan":
                    self._check_scan(name, named.function.type_of(node.operands[0]), node.attributes)
            found = [named.function.type_of(operand) for operand in named.function.outputs]
            declared = [Type(port.dtype, port.shape) for port in named.outputs]
            if found != declared:
                raise RunError(f"{name}: its outputs are {found}, and its ports {declared}"[:300])
        return self

    def _check_cells(self, recurrence: Recurrence) -> None:
        names = [recurrence.cell(number) for number in range(recurrence.layers * recurrence.directions)]
        if missing := [name for name in names if name not in self.cells]:
            raise RunError(f"the recurrence {recurrence.name!r} has no cell {missing[0]!r}")
        cells = [self.cells[name] for name in names]
        first = cells[0]
        for number, cell in enumerate(cells):
            below = cells[number - recurrence.directions] if number >= recurrence.directions else None
            wanted = first.input_size if below is None else below.output_size * recurrence.directions
            if (cell.input_size, cell.state_sizes, cell.output_size) != (
                wanted,
                first.state_sizes,
                first.output_size,
            ):
                raise RunError(f"{names[number]} has other sizes than the cells beside it")
        if recurrence.zoneout and len(recurrence.zoneout) != len(first.state_sizes):
            raise RunError(f"the recurrence {recurrence.name!r} has more or fewer zoneout rates than states")

    def _check_scan(self, function: str, inputs: Type, attributes: Mapping[str, Any]) -> None:
        recurrence = self.recurrences.get(attributes["recurrence"])
        if recurrence is None:
            raise RunError(f"{function}: there is no recurrence {attributes['recurrence']!r:.60}")
        first = self.cells[recurrence.cell(0)]
        found = (inputs.shape[2], attributes["output_size"], attributes["state_sizes"], attributes["rows"])
        wanted = (
            first.input_size,
            first.output_size * recurrence.directions,
            list(first.state_sizes),
            recurrence.layers * recurrence.directions,
        )
        if found != wanted:
            raise RunError(
                f"{function}: a scan of {recurrence.name!r} has the sizes {found}, expected {wanted}"
            )


# ---- as JSON


def network_to_json(network: NetworkProgram) -> dict[str, Any]:
    """What `network_from_json` reads."""
    weights = {
        name: type for named in network.functions.values() for name, type in named.function.weights.items()
    }
    return {
        "weights": {name: [type.dtype, list(type.shape)] for name, type in weights.items()},
        "functions": {
            name: {
                **function_to_json(named.function),
                "ports": [[_port_to_json(port) for port in side] for side in (named.inputs, named.outputs)],
            }
            for name, named in network.functions.items()
        },
        "recurrences": {
            name: [
                one.kind,
                one.layers,
                one.directions,
                list(one.zoneout),
                one.learned_state,
                dict(one.options),
            ]
            for name, one in network.recurrences.items()
        },
        "cells": {name: cell_to_json(cell) for name, cell in network.cells.items()},
        "others": list(network.others),
        "options": dict(network.options),
    }


def network_from_json(given: Any) -> NetworkProgram:
    """A network that `network_to_json` wrote.

    Raises:
        RunError: it is no such thing (the message says what is wrong).
    """
    names = ("weights", "functions", "recurrences", "cells", "others", "options")
    given = read_table(given, "a network", names)
    weights = read_types(given["weights"], "weights")
    if any(isinstance(side, str) for type in weights.values() for side in type.shape):
        raise RunError("a weight has a free size")
    for name in ("functions", "recurrences", "cells", "options"):
        if (
            not isinstance(given[name], dict)
            or len(given[name]) > _MOST
            or not all(map(is_name, given[name]))
        ):
            raise RunError(f"{name} is no table, or too long a one")
    others = read_list(given["others"], "others", _MOST)
    if not all(map(is_name, others)):
        raise RunError("others are not names")
    return NetworkProgram(
        {name: _function(entry, name, weights) for name, entry in given["functions"].items()},
        {name: _recurrence(entry, name) for name, entry in given["recurrences"].items()},
        {name: cell_from_json(entry) for name, entry in given["cells"].items()},
        tuple(others),
        given["options"],
    ).check()


def _function(given: Any, name: str, weights: Mapping[str, Type]) -> NamedFunction:
    given = read_table(given, name, ("inputs", "nodes", "outputs", "ports"))
    sides = read_list(given.pop("ports"), f"{name}: ports", 2)
    if len(sides) != 2:
        raise RunError(f"{name}: ports are not those of inputs and of outputs")
    inputs, outputs = (tuple(_port(port, name) for port in read_list(side, name, 64)) for side in sides)
    function = function_from_json(given, name, weights)
    if {port.name: Type(port.dtype, port.shape) for port in inputs} != function.inputs:
        raise RunError(f"{name}: its ports are not its inputs")
    if len(outputs) != len(function.outputs) or len({port.name for port in outputs}) < len(outputs):
        raise RunError(f"{name}: its ports are not its outputs")
    return NamedFunction(function, inputs, outputs)


def _port_to_json(port: Port) -> list[Any]:
    return [port.name, port.dtype, list(port.shape), port.meaning, port.below]


def _port(given: Any, function: str) -> Port:
    entry = read_list(given, f"{function}: a port", 5)
    if len(entry) != 5 or not is_name(entry[0]) or not is_name(entry[3]):
        raise RunError(f"{function}: a port is not [name, dtype, shape, meaning, below]")
    type = read_types({entry[0]: entry[1:3]}, function)[entry[0]]
    below = entry[4]
    is_size = isinstance(below, int) and not isinstance(below, bool) and 0 < below < 1 << 40
    if not (
        below is None
        or is_size
        or below in type.shape
        or (isinstance(below, str) and re.fullmatch("[A-Z]", below))
    ):
        raise RunError(f"{function}: the port {entry[0]!r} lies below {below!r:.40}")
    return Port(entry[0], type.dtype, type.shape, entry[3], below)


def _recurrence(given: Any, name: str) -> Recurrence:
    what = f"the recurrence {name!r}"
    entry = read_list(given, what, 6)
    if len(entry) != 6 or not is_name(entry[0]) or not isinstance(entry[4], bool):
        raise RunError(f"{what} is not [kind, layers, directions, zoneout, learned state, options]")
    layers, directions = entry[1:3]
    if type(layers) is not int or not 1 <= layers <= _MOST or directions not in (1, 2):
        raise RunError(f"{what} has {layers!r:.20} layers and {directions!r:.20} directions")
    zoneout = read_list(entry[3], what, 16)
    if not all(isinstance(rate, (int, float)) and 0 <= rate <= 1 for rate in zoneout):
        raise RunError(f"{what} has the zoneout {zoneout!r:.60}")
    options = entry[5]
    if not isinstance(options, dict) or any(
        name not in _OPTIONS or not isinstance(value, _OPTIONS[name]) for name, value in options.items()
    ):
        raise RunError(f"{what} has the options {options!r:.60}")
    return Recurrence(name, entry[0], layers, directions, tuple(zoneout), entry[4], options)
