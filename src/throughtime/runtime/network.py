"""A network's program run natively: packed matrices, our recurrences, NumPy between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import CheckpointError, RunError
from throughtime.program.network import NamedFunction, NetworkProgram, Recurrence
from throughtime.program.operations import OPERATIONS, count
from throughtime.program.program import WEIGHT, Function, Node, Operand
from throughtime.program.reference import resolved
from throughtime.runtime.cnn import Convolution, DepthwiseConvolution
from throughtime.runtime.layers import FP32, Compute, Linear, Recurrent
from throughtime.runtime.weights import Weights

Array = NDArray[Any]
# Of one value: what an honest network never needs, and a hostile file must not take.
_MOST_ELEMENTS = 1 << 31


class Network:
    """A network by its functions, NumPy in and NumPy out.

    Example:
        network = Network(program, read_weights("runs/reviews/model.safetensors"))
        network("sequence", {"tokens": tokens, "lengths": lengths})["logits"]

    Args:
        program: what it computes.
        weights: its tensors, which have to be exactly those that the program reads.
        compute: how matrices are kept and multiplied.
    Attributes:
        functions: with their ports, by name.
        recurrences: that its scans carry, by name.
    Raises:
        CheckpointError: a tensor is missing, left over, not finite or of another shape.
    """

    def __init__(self, program: NetworkProgram, weights: Weights, compute: Compute = FP32) -> None:
        self.functions: Mapping[str, NamedFunction] = program.functions
        check_weights(program, weights)
        weights.programs = dict(program.cells)
        self.recurrences = {
            name: _recurrent(recurrence, weights, compute) for name, recurrence in program.recurrences.items()
        }
        self._folded = _Folded(weights, compute)
        self._plans: dict[str, _Plan] = {}

    def __call__(self, function: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute a function.

        Args:
            function: its name.
            inputs: by the names of its ports; each free size is the same wherever its letter stands.
        Returns:
            The outputs by the names of their ports.
        Raises:
            ValueError: an input has another shape than its port.
            RunError: a token is none of the vocabulary, or a value would not fit into memory.
        """
        if function not in self._plans:
            self._plans[function] = _Plan(function, self.functions[function], self.recurrences, self._folded)
        try:
            return self._plans[function](inputs)
        except IndexError:
            raise RunError(f"{function}: a number lies outside of the table that it chooses from") from None


def check_weights(program: NetworkProgram, weights: Weights) -> None:
    """Raise CheckpointError unless the tensors are exactly those that a program reads."""
    read = program.weights
    for name, type in read.items():
        weights.expect(name, [int(side) for side in type.shape])
    weights.refuse_others(("",), {*read, *program.others})


def _recurrent(recurrence: Recurrence, weights: Weights, compute: Compute) -> Recurrent:
    rates = set(recurrence.zoneout) or {0.0}
    if len(rates) > 1:
        raise CheckpointError(f"{weights.name}: the native backend has one zoneout for all of a state")
    return Recurrent(
        weights,
        f"{recurrence.name}.",
        recurrence.kind,
        layers=recurrence.layers,
        bidirectional=recurrence.directions == 2,
        zoneout=rates.pop(),
        precision=compute.precision,
        threads=compute.threads,
        **recurrence.options,
    )


class _Folded:
    """What depends on weights alone: computed once, and packed once, for all functions."""

    def __init__(self, weights: Weights, compute: Compute) -> None:
        self._weights = weights
        self._compute = compute
        self._kept: dict[str, Array] = {}
        self._packed: dict[Any, Callable[[Array], Array]] = {}

    def weight(self, name: str, keep: bool) -> Array:
        """A tensor; it is kept where functions read it, and not where it is only packed."""
        if name in self._kept:
            return self._kept[name]
        array = self._weights[name]
        if keep:
            self._kept[name] = array
        return array

    def linear(self, key: Any, weight: Array, bias: Array | None) -> Callable[[Array], Array]:
        if key not in self._packed:
            self._packed[key] = Linear(weight, bias, self._compute.precision, self._compute.threads)
        return self._packed[key]

    def convolution(
        self, key: Any, weight: Array, bias: Array | None, attributes: Mapping[str, Any]
    ) -> Callable[[Array], Array]:
        """Of images (N, C, H, W), whose channels lie last in memory from one convolution to the next."""
        stride, padding = attributes["stride"], attributes["padding"]
        if key not in self._packed:
            layer: Callable[[Array], Array]
            if attributes["groups"] == 1:
                layer = Convolution(weight, bias, stride, padding, self._compute)
            else:
                shift = np.zeros(len(weight), np.float32) if bias is None else bias
                layer = DepthwiseConvolution(weight, shift, stride, padding)
            self._packed[key] = lambda x: layer(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return self._packed[key]


@dataclass(frozen=True)
class _Step:
    """One node: what it computes from which values, and which of these nobody needs after it."""

    compute: Callable[..., Any]
    operands: tuple[str | Array, ...]
    results: tuple[str, ...]
    over: tuple[str, ...]
    sides: tuple[int | str, ...] | None = None


class _Plan:
    """A function made ready: what only weights decide is done, matrices are packed, lifetimes are known."""

    def __init__(
        self, name: str, named: NamedFunction, recurrences: Mapping[str, Recurrent], folded: _Folded
    ) -> None:
        self._name, self._named, self._folded = name, named, folded
        self._recurrences = recurrences
        function = named.function
        self._fixed: dict[str, Array] = {}
        self._letters = sorted(
            {side for port in named.inputs for side in port.shape if isinstance(side, str)}
        )
        self._sizes_seen: set[tuple[int, ...]] = set()
        remaining = [node for node in function.nodes if not self._fold(function, node)]
        last: dict[str, int] = {}
        for number, node in enumerate(remaining):
            last |= {operand: number for operand in node.operands if isinstance(operand, str)}
        kept = {operand for operand in function.outputs if isinstance(operand, str)}
        self._steps = []
        for number, node in enumerate(remaining):
            over = tuple(
                operand
                for operand in {o for o in node.operands if isinstance(o, str)}
                if last[operand] == number and operand not in kept and not self._is_fixed(operand)
            )
            self._steps.append(self._step(function, node, over))

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        sizes: dict[str, int] = {}
        values: dict[str, Array] = {}
        for port in self._named.inputs:
            array = np.asarray(inputs[port.name], port.dtype)
            for found, side in zip(array.shape, port.shape, strict=False):
                wanted = sizes.setdefault(side, found) if isinstance(side, str) else side
                if found != wanted:
                    break
            else:
                if array.ndim == len(port.shape):
                    values[port.name] = array
                    continue
            raise ValueError(f"{port.name} has the shape {array.shape}, expected {port.shape}")
        self._check_sizes(sizes)
        with np.errstate(all="ignore"):  # infinities and NaN go on; what is shown is checked
            for step in self._steps:
                operands = [values[one] if isinstance(one, str) else one for one in step.operands]
                if step.sides is None:
                    found = step.compute(*operands)
                else:
                    found = step.compute(*operands, tuple(resolved(side, sizes) for side in step.sides))
                if len(step.results) == 1:
                    values[step.results[0]] = found
                else:
                    values.update(zip(step.results, found, strict=True))
                for name in step.over:
                    del values[name]
        outputs = zip(self._named.outputs, self._named.function.outputs, strict=True)
        return {port.name: np.asarray(self._value(operand, values)) for port, operand in outputs}

    def _value(self, operand: Operand, values: Mapping[str, Array]) -> Array:
        if isinstance(operand, str) and operand in values:
            return values[operand]
        return self._constant(operand)

    def _check_sizes(self, sizes: Mapping[str, int]) -> None:
        """Refuse what no value may be as large as, before memory is taken."""
        key = tuple(sizes[letter] for letter in self._letters)
        if key in self._sizes_seen:
            return
        for value, type in self._named.function.types.items():
            whole, letters = count(type.shape)
            for letter in letters:
                whole *= sizes.get(letter, 1)
            if whole > _MOST_ELEMENTS:
                raise RunError(f"{self._name}: {value!r:.40} would hold {whole:,} numbers for {dict(sizes)}")
        self._sizes_seen.add(key)

    # ---- what is done once

    def _is_fixed(self, operand: Operand) -> bool:
        return not isinstance(operand, str) or operand.startswith(WEIGHT) or operand in self._fixed

    def _constant(self, operand: Operand, keep: bool = False) -> Array:
        if not isinstance(operand, str):
            return np.float32(operand)  # type: ignore[return-value]
        if operand.startswith(WEIGHT):
            return self._folded.weight(operand.removeprefix(WEIGHT), keep)
        return self._fixed[operand]

    def _fold(self, function: Function, node: Node) -> bool:
        """Compute a node that only weights decide; whether it was one."""
        sides = node.attributes.get("shape", ())
        if not all(map(self._is_fixed, node.operands)) or any(isinstance(side, str) for side in sides):
            return False
        with np.errstate(all="ignore"):
            found = OPERATIONS[node.operation].compute(*map(self._constant, node.operands), **node.attributes)
        self._fixed[node.name] = found
        return True

    def _step(self, function: Function, node: Node, over: tuple[str, ...]) -> _Step:
        operation, attributes = node.operation, dict(node.attributes)
        if operation in ("linear", "conv2d") and all(map(self._is_fixed, node.operands[1:])):
            weight, *more = map(self._constant, node.operands[1:])
            bias = more[0] if more else None
            key: tuple[Any, ...] = tuple(map(self._key, node.operands[1:]))
            if operation == "conv2d":
                key = (*key, repr(sorted(attributes.items())))
                layer = self._folded.convolution(key, weight, bias, attributes)
            else:
                layer = self._folded.linear(key, weight, bias)
            return _Step(layer, (self._slot(node.operands[0], node, function),), (node.name,), over)
        operands = tuple(self._slot(operand, node, function) for operand in node.operands)
        if operation == "scan":
            parts = len(attributes["state_sizes"])
            names = (node.name, *(f"{node.name}.{part}" for part in range(parts)))
            scan = _scan(self._recurrences[attributes["recurrence"]], attributes["lengths"])
            return _Step(scan, operands, names, over)
        if "shape" in attributes:
            return _Step(_SHAPED[operation], operands, (node.name,), over, tuple(attributes["shape"]))
        compute = _OWN.get(operation, OPERATIONS[operation].compute)
        if attributes:
            plain = compute
            compute = lambda *given: plain(*given, **attributes)  # noqa: E731
        return _Step(compute, operands, (node.name,), over)

    def _key(self, operand: Operand | None) -> Any:
        """Names one constant among those of all functions."""
        is_weight = isinstance(operand, str) and operand.startswith(WEIGHT)
        return operand if is_weight else (self._name, operand)

    def _slot(self, operand: Operand, node: Node, function: Function) -> str | Array:
        if isinstance(operand, str) and not self._is_fixed(operand):
            return operand
        if isinstance(operand, str):
            return self._constant(operand, keep=True)
        types = {function.type_of(one).dtype for one in node.operands}
        return np.int64(operand) if "int64" in types and "float32" not in types else np.float32(operand)  # type: ignore[return-value]


def _scan(recurrent: Recurrent, has_lengths: bool) -> Callable[..., Sequence[Array]]:
    def scan(inputs: Array, *rest: Array) -> Sequence[Array]:
        lengths = rest[-1] if has_lengths else None
        state = rest[: len(rest) - has_lengths]
        outputs, after = recurrent(inputs, tuple(state) or None, lengths)
        return outputs, *after

    return scan


def _layer_norm(x: Array, *scales: Array, epsilon: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    result = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(epsilon))
    if scales:
        result *= scales[0]
    if len(scales) == 2:
        result += scales[1]
    return result


# What the reference computes more exactly, or more plainly, than is fast.
_OWN: dict[str, Callable[..., Array]] = {"layer_norm": _layer_norm}
_SHAPED: dict[str, Callable[..., Array]] = {
    "reshape": lambda x, shape: x.reshape(shape),
    "expand": lambda x, shape: np.broadcast_to(x, shape),
    "range": lambda shape: np.arange(*shape),
}
