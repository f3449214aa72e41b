"""From a cell's PyTorch definition to its program."""

from __future__ import annotations

from torch import Tensor

from throughtime.capture.convert import cannot, capture
from throughtime.cells import Cell
from throughtime.errors import OptionError, RunError
from throughtime.program import CellProgram, Type
from throughtime.program.program import state_names

_OWN = "throughtime.cells."


def capture_cell(cell: Cell) -> CellProgram:
    """The program of a cell, in evaluation mode.

    Raises:
        OptionError: the cell does something that a program cannot say (the message names the line).
    """
    inputs = {"inputs": Type("float32", ("B", cell.input_size))}
    is_own = type(cell).__module__.startswith(_OWN)
    training = cell.training
    cell.eval()
    try:
        initial = capture(cell, lambda x: tuple(cell.initial_state(x.shape[0], x)), inputs, is_own)
        project = capture(cell, lambda x: (cell.project(x),), inputs, is_own)
        names = state_names(len(initial.outputs))

        def outputs(x: Tensor, *old: Tensor) -> tuple[Tensor, ...]:
            output, new = cell.step(x, old)
            return output, *new

        states = zip(names, map(initial.type_of, initial.outputs), strict=True)
        step = capture(
            cell, outputs, {"projected": project.type_of(project.outputs[0]), **dict(states)}, is_own
        )
        return CellProgram(initial, project, step).check()
    except RunError as error:
        raise OptionError(cannot(type(cell).__name__, "", str(error))) from None
    finally:
        cell.train(training)
