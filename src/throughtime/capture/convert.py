"""From a PyTorch function to the nodes of a program.

torch.export traces the function with free sizes into ATen's operators; each becomes one or a few operations
of `throughtime.program`. What has no place in a program is refused with the line of the user's file.
"""

from __future__ import annotations

import io
import linecache
import logging
import math
import operator
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from throughtime.capture import aten
from throughtime.errors import OptionError
from throughtime.program import Function, Node, Type
from throughtime.program.program import WEIGHT, Operand, weights_read

# An example's free sizes: all different, and neither 0 nor 1, which a trace would take for fixed sizes.
_EXAMPLE_SIZES = {"B": 3, "T": 5, "S": 7, "W": 2}
# Primes, of which those become free sizes that no side of a weight is a multiple of: so they are known again
# in every shape of a trace. Any three of them and a layer's width have a product that fits 63 bits.
_PRIMES = (30011, 30013, 30029, 30047, 30059, 30071, 30089, 30091, 30097, 30103, 30109, 30113)
_DTYPES = {torch.float32: "float32", torch.int64: "int64", torch.uint8: "uint8", torch.bool: "bool"}
_LARGEST = 2.9e38
_TORCH = Path(torch.__file__).parent


def _example(type: Type, module: nn.Module, sizes: Mapping[str, int]) -> Tensor:
    """A tensor of zeros of a type, where the module is and of its kind of float."""
    sides = [sizes[side] if isinstance(side, str) else side for side in type.shape]
    like = next(module.parameters(), torch.zeros(()))
    dtype = like.dtype if type.dtype == "float32" else getattr(torch, type.dtype)
    return torch.zeros(sides, dtype=dtype, device=like.device)


class _Wrapped(nn.Module):
    """A function of a module as a module, which torch.export takes."""

    def __init__(self, module: nn.Module, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.module = module
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


def capture(
    module: nn.Module,
    function: Callable[..., tuple[Tensor, ...]],
    inputs: Mapping[str, Type],
    is_own: bool = False,
) -> Function:
    """The program of a function.

    Args:
        module: whose parameters it reads, in the mode that is to be captured.
        function: of tensors, in the order of `inputs`.
        inputs: their types by name; letters are free sizes.
        is_own: the function is Throughtime's, whose tests show that it treats all sizes alike. Its trace has
            telling sizes in place of free ones, which takes a fraction of the time; of others' functions
            torch proves that no size is fixed.
    Raises:
        OptionError: it does something that a program cannot say (the message names the line).
    """
    free = None if is_own else {"inputs": _free_axes(inputs)}
    sizes = _telling_sizes(module, inputs) if is_own else _EXAMPLE_SIZES
    # Fake tensors have shapes, and no memory.
    fake = FakeTensorMode(allow_non_fake_inputs=True) if is_own else nullcontext()
    lines = _Lines()
    wrapped = _Wrapped(module, function).train(module.training)
    subject = type(module).__name__
    try:
        with fake:
            examples = tuple(_example(type, module, sizes) for type in inputs.values())
        with lines, torch.no_grad(), _quiet():
            exported = torch.export.export(wrapped, examples, dynamic_shapes=free, strict=False)
    except Exception as error:  # whatever torch, or the user's own code, raises while it is traced
        raise OptionError(cannot(subject, _raised_at(error), _reason(error))) from error
    return Converter(subject, exported, inputs, lines.calls, sizes if is_own else {}).function()


def _telling_sizes(module: nn.Module, inputs: Mapping[str, Type]) -> dict[str, int]:
    letters = {side for type in inputs.values() for side in type.shape if isinstance(side, str)}
    fixed = {side for type in inputs.values() for side in type.shape if isinstance(side, int)}
    fixed |= {side for tensor in module.state_dict().values() for side in tensor.shape}
    primes = (prime for prime in _PRIMES if not any(side and side % prime == 0 for side in fixed))
    return dict(zip(sorted(letters), primes, strict=False))


def _free_axes(inputs: Mapping[str, Type]) -> tuple[dict[int, Any], ...]:
    letters = {side for type in inputs.values() for side in type.shape if isinstance(side, str)}
    sizes = {letter: torch.export.Dim(letter, min=1) for letter in sorted(letters)}
    return tuple(
        {axis: sizes[side] for axis, side in enumerate(type.shape) if isinstance(side, str)}
        for type in inputs.values()
    )


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


def cannot(subject: str, where: str, why: str) -> str:
    """The message for what has no place in a program."""
    return f"{subject} cannot become a program: {f'{where}: ' if where else ''}{why}"


class Converter:
    """From the graph of torch.export to nodes.

    Args:
        subject: whose function it is, for messages.
        exported: the graph.
        inputs: the types of the function's inputs, by name.
        lines: from which line of the user's file each function of torch was called.
        telling: the numbers that stand for free sizes in the trace, by letter; empty where these are symbols.
    """

    def __init__(
        self,
        subject: str,
        exported: torch.export.ExportedProgram,
        inputs: Mapping[str, Type],
        lines: dict[str, str],
        telling: Mapping[str, int],
    ) -> None:
        self._subject = subject
        self._exported = exported
        self._inputs = inputs
        self._lines = lines
        self._telling = telling
        self._nodes: list[Node] = []
        self._found: dict[fx.Node, Any] = {}
        self._weights: dict[str, Type] = {}
        self._letters: dict[Any, str] = {}

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
        if isinstance(value, int) and isinstance(self._known_again(value), str):
            raise OptionError(cannot(self._subject, "", "it computes with the size of a batch or a sequence"))
        if isinstance(value, (bool, int, float)):
            # A file cannot hold infinities, and nothing that is compared with them is as large.
            return max(-_LARGEST, min(_LARGEST, float(value)))
        raise OptionError(cannot(self._subject, "", f"it computes with {value!r}"))

    def name(self, node: fx.Node) -> str:
        """The operator's name, without its overload."""
        return getattr(node.target, "_opname", getattr(node.target, "__name__", str(node.target)))

    def shape(self, value: Any) -> tuple[Any, ...]:
        """The shape of an argument; a number has none."""
        return tuple(self.sizes(value.meta["val"].shape)) if isinstance(value, fx.Node) else ()

    def sizes(self, shape: Sequence[Any]) -> list[Any]:
        """Whole numbers, letters, and products of them such as "B*T*2"."""
        return [self._known_again(side) if isinstance(side, int) else self._free_size(side) for side in shape]

    @staticmethod
    def product(sides: Sequence[Any]) -> Any:
        """The size of axes that become one."""
        return _written([part for side in sides for part in str(side).split("*")])

    @staticmethod
    def is_fixed(operand: Operand) -> bool:
        """Whether it is a weight as it stands."""
        return isinstance(operand, str) and operand.startswith(WEIGHT)

    def refuse_batch(self, node: fx.Node, value: Any, axis: int) -> None:
        """Raise where an axis is the batch's: each sequence is treated by itself."""
        if "B" in str(self.shape(value)[axis]):
            raise self.refusal(node, "it mixes the sequences of a batch: a step sees each by itself")

    def refusal(self, node: fx.Node, why: str) -> OptionError:
        """The error for what has no place in a program, with the user's line where it is known."""
        called = str(node.meta.get("torch_fn", ("", ""))[1]).rsplit(".", 1)[-1]
        return OptionError(cannot(self._subject, self._lines.get(called.strip("_"), ""), why))

    # ---- the graph

    def _known_again(self, side: int) -> Any:
        """The size that a telling one stands for; any other is itself."""
        factors = []
        for letter, size in self._telling.items():
            while side and side % size == 0:
                side //= size
                factors.append(letter)
        return _written([*factors, str(side)]) if factors else side

    def _free_size(self, side: torch.SymInt) -> Any:
        factors: list[str] = []
        for factor, power in side.node.expr.as_powers_dict().items():
            factors += [self._letters.get(factor, str(factor))] * int(power)
        return _written(factors)

    def _placeholder(self, node: fx.Node, names: Iterator[str]) -> Operand:
        signature = self._exported.graph_signature
        own = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.get(node.name)
        if own is not None:
            own = own.removeprefix("module.")
            value = node.meta["val"]
            self._weights[own] = Type(_DTYPES.get(value.dtype, "float32"), tuple(value.shape))
            return f"{WEIGHT}{own}"
        constant = signature.inputs_to_lifted_tensor_constants.get(node.name)
        if constant is None:
            name = next(names)
            for side, letter in zip(node.meta["val"].shape, self._inputs[name].shape, strict=True):
                if isinstance(letter, str) and not isinstance(side, int):
                    self._letters[side.node.expr] = letter
            return name
        value = self._exported.constants[constant]
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise OptionError(
                cannot(self._subject, "", "it makes a tensor of numbers in the step: use `register_buffer`")
            )
        return float(value)

    def _converted(self, node: fx.Node) -> Any:
        if node.target is operator.getitem:
            of, index = node.args[:2]
            return self._found[of][index]  # type: ignore[index]
        name = self.name(node)
        if not _holds_tensors(node.meta.get("val")):
            return None  # sizes, and checks of them: shapes are known from the values that have them
        rate, is_training = (*node.args, None, None)[1:3]
        if "dropout" in name and rate and is_training:
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
        declared = {side for type in self._inputs.values() for side in type.shape}
        if len(shape) == 2 and isinstance(shape[0], int) and "B" in declared:
            return self.add("expand", operand, shape=["B", shape[1]])
        return operand


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, (list, tuple)) and all(isinstance(part, Tensor) for part in value)
    )


def _written(parts: Sequence[str]) -> Any:
    """A product of letters and numbers, always in the same order."""
    letters = sorted(part for part in parts if not part.isdigit())
    whole = math.prod(int(part) for part in parts if part.isdigit())
    return "*".join([*letters, *([str(whole)] if whole != 1 else [])]) if letters else whole


def _needed(nodes: list[Node], outputs: Sequence[Operand]) -> tuple[Node, ...]:
    """The nodes on which the outputs depend."""
    wanted: set[Operand] = set(outputs)
    kept = []
    for node in reversed(nodes):
        if node.name in wanted or any(_part_of(operand, node.name) for operand in wanted):
            kept.append(node)
            wanted.update(node.operands)
    return tuple(kept[::-1])


def _part_of(operand: Operand, name: str) -> bool:
    """Whether an operand is one of several results of a node."""
    return isinstance(operand, str) and operand.rpartition(".")[0] == name
