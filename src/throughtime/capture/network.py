"""From a network's PyTorch definition to its program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.capture.cell import capture_cell
from throughtime.capture.convert import cannot, capture
from throughtime.cells import CELLS, Cell, State
from throughtime.errors import OptionError, RunError
from throughtime.models.functions import Definition
from throughtime.program import CellProgram, Type
from throughtime.program.network import NamedFunction, NetworkProgram, Port, Recurrence
from throughtime.recurrent import Recurrent

_NAMES = {cell: name for name, cell in CELLS.items()}
# The options of a cell that do not show in its tensors.
_OPTIONS = {"rnn": ("activation",), "gru": ("reset_after",)}


@torch.library.custom_op("throughtime::recurrence", mutates_args=())
def _scan(
    inputs: Tensor,
    state: list[Tensor],
    lengths: Tensor | None,
    name: str,
    output_size: int,
    state_sizes: list[int],
    rows: int,
) -> list[Tensor]:
    """A whole recurrence as one operator; it is traced, and never run."""
    raise NotImplementedError


@_scan.register_fake
def _(
    inputs: Tensor,
    state: list[Tensor],
    lengths: Tensor | None,
    name: str,
    output_size: int,
    state_sizes: list[int],
    rows: int,
) -> list[Tensor]:
    T, B = inputs.shape[:2]
    return [inputs.new_empty(T, B, output_size), *(inputs.new_empty(rows, B, size) for size in state_sizes)]


def capture_network(model: Any, options: Mapping[str, Any] | None = None) -> NetworkProgram:
    """The program of a network, in evaluation mode.

    Args:
        model: a module with `functions`.
        options: of config.toml, to be kept with the program.
    Raises:
        OptionError: it does something that a program cannot say (the message names the line).
    """
    recurrents = {name: module for name, module in model.named_modules() if isinstance(module, Recurrent)}
    training = model.training
    model.eval()
    try:
        cells: dict[str, CellProgram] = {}
        known: dict[str, CellProgram] = {}
        for name, recurrent in recurrents.items():
            for number, cell in enumerate(recurrent.cells):
                assert isinstance(cell, Cell)
                # Cells of the same class, options and sizes compute the same.
                key = _identity(cell)
                if key not in known:
                    known[key] = capture_cell(cell)
                cells[f"{name}.cells.{number}"] = known[key]
        with _traced_as_one(recurrents):
            functions = {name: _function(model, one) for name, one in model.functions().items()}
        found = NetworkProgram(
            functions,
            {name: _recurrence(name, one) for name, one in recurrents.items()},
            cells,
            (),
            options or {},
        )
        read = found.weights
        others = tuple(name for name in model.state_dict() if name not in read)
        return replace(found, others=others).check()
    except RunError as error:
        raise OptionError(cannot(type(model).__name__, "", str(error))) from None
    finally:
        model.train(training)


def _identity(cell: Cell) -> str:
    shapes = [(name, tuple(tensor.shape)) for name, tensor in cell.state_dict().items()]
    own = {name: value for name, value in vars(cell).items() if not name.startswith("_")}
    return repr((type(cell), cell, shapes, own))


def _function(model: nn.Module, definition: Definition) -> NamedFunction:
    inputs = {port.name: Type(port.dtype, port.shape) for port in definition.inputs}
    function = capture(model, lambda *tensors: tuple(definition.call(*tensors)), inputs, is_own=True)
    types = map(function.type_of, function.outputs)
    outputs = tuple(
        Port(name, type.dtype, type.shape, meaning)
        for (name, meaning), type in zip(definition.outputs.items(), types, strict=True)
    )
    return NamedFunction(function, definition.inputs, outputs)


def _recurrence(name: str, recurrent: Recurrent) -> Recurrence:
    cell = recurrent.cells[0]
    kind = _NAMES.get(type(cell), type(cell).__name__)  # type: ignore[arg-type]
    return Recurrence(
        name,
        kind,
        recurrent.num_layers,
        recurrent.directions,
        recurrent.zoneout or (),
        recurrent.initial is not None,
        {option: getattr(cell, option) for option in _OPTIONS.get(kind, ())},
    )


@contextmanager
def _traced_as_one(recurrents: Mapping[str, Recurrent]) -> Iterator[None]:
    """Let a trace see each recurrence as one operator."""
    for name, recurrent in recurrents.items():
        recurrent.forward = _forward_of(name, recurrent)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for recurrent in recurrents.values():
            del recurrent.forward


def _forward_of(name: str, recurrent: Recurrent) -> Any:
    def forward(
        inputs: Tensor, state: State | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        if recurrent.batch_first:
            raise OptionError(f"{name} has the batch first: give it the time first in what is captured")
        outputs, *new = torch.ops.throughtime.recurrence(
            inputs,
            list(state or ()),
            lengths,
            name,
            recurrent.output_size,
            list(recurrent.state_sizes),
            len(recurrent.cells),
        )
        return outputs, tuple(new)

    return forward
