"""From a cell's PyTorch definition to its program.

torch.export traces the cell with a free batch size into ATen's operators; each becomes one or a few
operations of `throughtime.program`. What has no place in a program is refused with the line of the user's
file.
"""

from __future__ import annotations

import io
import linecache
import logging
import math
import operator
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from throughtime.capture import aten
from throughtime.cells import Cell
from throughtime.errors import OptionError, RunError
from throughtime.program import CellProgram, Function, Node, Type
from throughtime.program.program import WEIGHT, Operand, state_names, weights_read

# Neither 0 nor 1, which a trace would take for fixed sizes.
_BATCH = 3
_TORCH = Path(torch.__file__).parent


def capture_cell(cell: Cell) -> CellProgram:
    """The program of a cell, in evaluation mode.

    Raises:
        OptionError: the cell does something that a program cannot say (the message names the line).
    """
    reference = next(cell.parameters(), torch.zeros(()))
    inputs = reference.new_zeros(_BATCH, cell.input_size)
    training = cell.training
    cell.eval()
    try:
        initial = _capture(cell, lambda x: tuple(cell.initial_state(x.shape[0], x)), {"inputs": inputs})
        project = _capture(cell, lambda x: (cell.project(x),), {"inputs": inputs})
        return CellProgram(initial, project, _step(cell, inputs)).check()
    except RunError as error:
        raise OptionError(_cannot(cell, "", str(error))) from None
    finally:
        cell.train(training)


def capture_step(cell: Cell) -> Function:
    """A cell's `step`, in the mode in which the cell is.

    Raises:
        OptionError: as `capture_cell`; in training also where the step draws random numbers.
    """
    reference = next(cell.parameters(), torch.zeros(()))
    return _step(cell, reference.new_zeros(_BATCH, cell.input_size))


def capture_projection(cell: Cell) -> Function:
    """A cell's `project`, in the mode in which the cell is.

    Raises:
        OptionError: as `capture_step`.
    """
    reference = next(cell.parameters(), torch.zeros(()))
    inputs = reference.new_zeros(_BATCH, cell.input_size)
    return _capture(cell, lambda x: (cell.project(x),), {"inputs": inputs})


def _step(cell: Cell, inputs: Tensor) -> Function:
    with torch.no_grad():
        state = cell.initial_state(_BATCH, inputs)
        projected = cell.project(inputs)
    names = state_names(len(state))

    def outputs(x: Tensor, *old: Tensor) -> tuple[Tensor, ...]:
        output, new = cell.step(x, old)
        return output, *new

    return _capture(cell, outputs, {"projected": projected, **dict(zip(names, state, strict=True))})


class _Wrapped(nn.Module):
    """A function of a cell as a module, which torch.export takes."""

    def __init__(self, cell: nn.Module, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.cell = cell
        self._function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


class _Lines(TorchFunctionMode):
    """Remembers from which line of whose file each function of torch was first called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, str] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "").strip("_")
        if name not in self.calls:
            frame = sys._getframe(1)
            while frame.f_back is not None and not _is_users(frame.f_code.co_filename):
                frame = frame.f_back
            self.calls[name] = _shown(frame.f_code.co_filename, frame.f_lineno)
        return function(*args, **(kwargs or {}))


def _is_users(path: str) -> bool:
    return _TORCH not in Path(path).parents and path != __file__


def _shown(path: str, line: int) -> str:
    text = linecache.getline(path, line).strip()
    return f"{path} line {line}{f' (`{text}`)' if text else ''}"


def _raised_at(error: BaseException) -> str:
    """The innermost line of the user's that an error went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return _shown(frames[-1].filename, frames[-1].lineno or 0) if frames else ""


def _capture(cell: Cell, function: Callable[..., tuple[Tensor, ...]], inputs: dict[str, Tensor]) -> Function:
    rows = torch.export.Dim("B")
    lines = _Lines()
    module = _Wrapped(cell, function).train(cell.training)
    try:
        with lines, torch.no_grad(), _quiet():
            exported = torch.export.export(
                module,
                tuple(inputs.values()),
                dynamic_shapes={"inputs": tuple({0: rows} for _ in inputs)},
                strict=False,
            )
    except Exception as error:  # whatever torch, or the user's own code, raises while it is traced
        raise OptionError(_cannot(cell, _raised_at(error), _reason(error))) from error
    types = {name: Type("float32", ("B", value.shape[1])) for name, value in inputs.items()}
    return Converter(cell, exported, types, lines.calls).function()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own remarks: the error says it in the user's terms."""
    loggers = [
        logging.getLogger(f"torch.{name}")
        for name in ("fx.experimental.symbolic_shapes", "export", "_export")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "data-dependent" in first:
        return "it branches on the value of a tensor; use torch.where, which computes both sides"
    if "Constraints violated" in first or "specialized" in first:
        return "it treats the size of the batch as a fixed number: use x.shape[0] or -1, and not len(x)"
    return first


def _cannot(cell: Cell, where: str, why: str) -> str:
    return f"{type(cell).__name__} cannot become a program: {f'{where}: ' if where else ''}{why}"


class Converter:
    """From the graph of torch.export to nodes.

    Args:
        cell: whose function it is, for messages.
        exported: the graph.
        inputs: the types of the function's inputs, by name.
        lines: from which line of the user's file each function of torch was called.
    """

    def __init__(
        self,
        cell: Cell,
        exported: torch.export.ExportedProgram,
        inputs: dict[str, Type],
        lines: dict[str, str],
    ) -> None:
        self._cell = cell
        self._exported = exported
        self._inputs = inputs
        self._lines = lines
        self._nodes: list[Node] = []
        self._found: dict[fx.Node, Any] = {}
        self._weights: dict[str, Type] = {}

    def function(self) -> Function:
        """The whole graph as a function."""
        names = iter(self._inputs)
        outputs: tuple[Operand, ...] = ()
        for node in self._exported.graph.nodes:
            if node.op == "placeholder":
                self._found[node] = self._placeholder(node, names)
            elif node.op == "call_function":
                self._found[node] = self._converted(node)
            elif node.op == "output":
                outputs = tuple(self._rows(value) for value in node.args[0])
            else:
                raise self.refusal(node, f"it needs {node.op}, which a program does not have")
        nodes = _needed(self._nodes, outputs)
        return Function(self._inputs, weights_read(self._weights, nodes, outputs), nodes, outputs)

    # ---- what the rules of aten.py build with

    def add(self, operation: str, *operands: Operand, **attributes: Any) -> Operand:
        """A new node; the operand that its result is."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(Node(name, operation, operands, attributes))
        return name

    def scaled(self, value: Operand, scale: Any) -> Operand:
        """The operand times a number."""
        return value if scale == 1 else self.add("mul", value, float(scale))

    def operand(self, value: Any) -> Operand:
        """The operand that an argument of the graph is."""
        if isinstance(value, fx.Node):
            return self._found[value]
        if isinstance(value, (bool, int, float)):
            return float(value)
        raise OptionError(_cannot(self._cell, "", f"it computes with {value!r}"))

    def name(self, node: fx.Node) -> str:
        """The operator's name, without its overload."""
        return getattr(node.target, "_opname", getattr(node.target, "__name__", str(node.target)))

    def shape(self, value: Any) -> tuple[Any, ...]:
        """The shape of an argument; a number has none."""
        return tuple(self.sizes(value.meta["val"].shape)) if isinstance(value, fx.Node) else ()

    @staticmethod
    def sizes(shape: Sequence[Any]) -> list[Any]:
        """Whole numbers, "B", and products of it such as "2*B"."""
        return [int(side) if isinstance(side, int) else _free_size(side) for side in shape]

    @staticmethod
    def product(sides: Sequence[Any]) -> Any:
        """The size of axes that become one; a free one can only be alone."""
        free = [side for side in sides if isinstance(side, str)]
        whole = math.prod(side for side in sides if isinstance(side, int))
        return (
            whole if not free else free[0] if len(free) == 1 and whole == 1 else "*".join([*free, str(whole)])
        )

    @staticmethod
    def is_fixed(operand: Operand) -> bool:
        """Whether it is a weight as it stands."""
        return isinstance(operand, str) and operand.startswith(WEIGHT)

    def refuse_batch(self, node: fx.Node, value: Any, axis: int) -> None:
        """Raise where an axis is the batch's: a cell treats each sequence by itself."""
        if not isinstance(self.shape(value)[axis], int):
            raise self.refusal(node, "it mixes the sequences of a batch: a step sees each by itself")

    def refusal(self, node: fx.Node, why: str) -> OptionError:
        """The error for what has no place in a program, with the user's line where it is known."""
        called = str(node.meta.get("torch_fn", ("", ""))[1]).rsplit(".", 1)[-1]
        return OptionError(_cannot(self._cell, self._lines.get(called.strip("_"), ""), why))

    # ---- the graph

    def _placeholder(self, node: fx.Node, names: Iterator[str]) -> Operand:
        signature = self._exported.graph_signature
        own = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.get(node.name)
        if own is not None:
            own = own.removeprefix("cell.")
            self._weights[own] = Type("float32", tuple(node.meta["val"].shape))
            return f"{WEIGHT}{own}"
        constant = signature.inputs_to_lifted_tensor_constants.get(node.name)
        if constant is None:
            return next(names)
        value = self._exported.constants[constant]
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise OptionError(
                _cannot(self._cell, "", "it makes a tensor of numbers in the step: use `register_buffer`")
            )
        return float(value)

    def _converted(self, node: fx.Node) -> Any:
        if node.target is operator.getitem:
            return self._found[node.args[0]][node.args[1]]  # type: ignore[index]
        name = self.name(node)
        if not _holds_tensors(node.meta.get("val")):
            return None  # sizes, and checks of them: shapes are known from the values that have them
        if "dropout" in name and len(node.args) > 2 and node.args[1] and node.args[2]:
            raise self.refusal(node, "it drops out at random: a step draws no random numbers")
        if name in aten.SAME:
            return self.operand(node.args[0])
        if name in aten.DIRECT:
            return self.add(aten.DIRECT[name], *map(self.operand, node.args))
        rule = aten.RULES.get(name)
        if rule is None:
            raise self.refusal(node, f"{name} is not an operation that a program has")
        return rule(self, node, *node.args, **node.kwargs)

    def _rows(self, value: Any) -> Operand:
        """An output as rows of numbers: what is the same for all rows is repeated for each."""
        operand = self.operand(value)
        shape = self.shape(value)
        if len(shape) == 2 and isinstance(shape[0], int):
            return self.add("expand", operand, shape=["B", shape[1]])
        return operand


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, (list, tuple)) and all(isinstance(part, Tensor) for part in value)
    )


def _free_size(side: torch.SymInt) -> int | str:
    expression = side.node.expr
    if not expression.free_symbols:
        return int(expression)
    whole, symbols = expression.as_coeff_Mul()
    return "B" if whole == 1 and symbols.is_symbol else f"B*{whole}" if symbols.is_symbol else str(expression)


def _needed(nodes: list[Node], outputs: Sequence[Operand]) -> tuple[Node, ...]:
    """The nodes on which the outputs depend."""
    wanted: set[Operand] = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.name in wanted:
            kept.append(node)
            wanted.update(node.operands)
    return tuple(kept[::-1])
