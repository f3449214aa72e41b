"""From a cell's PyTorch definition to its program."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.capture.convert import cannot, capture
from throughtime.cells import Cell
from throughtime.errors import OptionError, RunError
from throughtime.program import CellProgram, Function, Type
from throughtime.program.program import state_names

_OWN = "throughtime.cells."
# Rows of a state that are made to see its sizes.
_ROWS = 2


def capture_cell(cell: Cell) -> CellProgram:
    """The program of a cell, in evaluation mode.

    Raises:
        OptionError: the cell does something that a program cannot say (the message names the line).
    """
    training = cell.training
    cell.eval()
    try:
        initial = capture(
            cell, lambda x: tuple(cell.initial_state(x.shape[0], x)), _inputs(cell), _is_own(cell)
        )
        return CellProgram(initial, capture_projection(cell), capture_step(cell)).check()
    except RunError as error:
        raise OptionError(cannot(type(cell).__name__, "", str(error))) from None
    finally:
        cell.train(training)


def capture_projection(cell: Cell) -> Function:
    """A cell's `project`, in the mode in which the cell is.

    Raises:
        OptionError: as `capture_step`.
    """
    return capture(cell, lambda x: (cell.project(x),), _inputs(cell), _is_own(cell))


def capture_step(cell: Cell) -> Function:
    """A cell's `step`, in the mode in which the cell is.

    Raises:
        OptionError: as `capture_cell`; in training also where the step draws random numbers.
    """
    like = next(cell.parameters(), torch.zeros(()))
    inputs = like.new_zeros(_ROWS, cell.input_size)
    with torch.no_grad():
        try:
            state, projected = cell.initial_state(_ROWS, inputs), cell.project(inputs)
        except Exception as error:  # whatever the user's own code raises
            raise OptionError(cannot(type(cell).__name__, "", str(error).partition("\n")[0])) from error

    def outputs(x: Tensor, *old: Tensor) -> tuple[Tensor, ...]:
        output, new = cell.checked_step(x, old)
        return output, *new

    given = dict(zip(("projected", *state_names(len(state))), (projected, *state), strict=True))
    types = {name: Type("float32", ("B", *value.shape[1:])) for name, value in given.items()}
    return capture(cell, outputs, types, _is_own(cell))


def _inputs(cell: Cell) -> dict[str, Type]:
    return {"inputs": Type("float32", ("B", cell.input_size))}


def _is_own(cell: Cell) -> bool:
    return type(cell).__module__.startswith(_OWN)
