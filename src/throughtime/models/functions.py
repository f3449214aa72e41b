"""What a network can be asked for: its functions by name, with the meaning of every input and output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.program.network import Port
from throughtime.recurrent import Recurrent


@dataclass(frozen=True)
class Definition:
    """A function of a network as PyTorch has it: what everything else that runs the network comes from.

    Args:
        call: of tensors, in the order of `inputs`.
        inputs: their ports.
        outputs: name and meaning of each tensor that `call` returns.
    """

    call: Callable[..., Sequence[Tensor]]
    inputs: tuple[Port, ...]
    outputs: Mapping[str, str]


class Network(Protocol):
    """A module that says what it can be asked for."""

    def functions(self) -> dict[str, Definition]:
        """Its functions by name."""
        ...


def state_names(parts: int) -> tuple[str, ...]:
    """What the tensors of a state are called: h and c as everybody does, and the rest by their numbers."""
    return ("h", "c", *(f"state_{number}" for number in range(2, parts)))[:parts]


def state_ports(recurrent: Recurrent, axes: tuple[str, ...] = ("B",)) -> tuple[Port, ...]:
    """The state of all layers as inputs, (L * D, B, S) each."""
    return tuple(
        Port(name, "float32", (len(recurrent.cells), *axes, size), _meaning(name))
        for name, size in zip(state_names(len(recurrent.state_sizes)), recurrent.state_sizes, strict=True)
    )


def state_outputs(recurrent: Recurrent, prefix: str = "new_") -> dict[str, str]:
    """The state of all layers as outputs: with a prefix, that after the last step."""
    after = " after the last step" if prefix else ""
    names = state_names(len(recurrent.state_sizes))
    return {f"{prefix}{name}": _meaning(name) + after for name in names}


def _meaning(name: str) -> str:
    known = {"h": "hidden state of each layer", "c": "cell state of each layer"}
    return known.get(name, f"{name} of each layer")


class TorchNetwork:
    """A network by its functions, NumPy in and NumPy out, as `throughtime.runtime.Network` is one.

    Args:
        model: it is put in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._device = next(model.eval().parameters()).device
        self.functions: dict[str, Definition] = model.functions()

    @torch.inference_mode()
    def __call__(self, function: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute a function: arrays by the names of its ports; floats come back as float32."""
        definition = self.functions[function]
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[port.name])) for port in definition.inputs]
        found = definition.call(*(tensor.to(self._device) for tensor in tensors))
        arrays = (part.float() if part.is_floating_point() else part for part in found)
        return {name: part.cpu().numpy() for name, part in zip(definition.outputs, arrays, strict=True)}


def begin_of(recurrents: Sequence[Recurrent], ports: Sequence[Port]) -> Definition:
    """The state before the first step.

    Args:
        recurrents: whose.
        ports: the names of its tensors.
    """

    def begin(rows: Tensor) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        for recurrent in recurrents:
            like = next(recurrent.parameters())
            found += recurrent.initial_state(rows.shape[0], like)
        return tuple(found)

    rows = Port("rows", "int64", ("B",), "any number for each sequence", 1)
    return Definition(begin, (rows,), {port.name: f"{port.meaning} before the first step" for port in ports})
