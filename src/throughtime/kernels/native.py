"""The native training kernel: any cell's program, forward and back, in one call for each layer of a chunk."""

from __future__ import annotations

import atexit
import threading
import weakref
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.capture import capture_projection, capture_step
from throughtime.cells import LSTM, Cell, State
from throughtime.draws import rows_drawn
from throughtime.errors import ThroughtimeError
from throughtime.kernels import chunk, functions, torch_builtin
from throughtime.kernels.scan import Kernel, Scan
from throughtime.program import Function
from throughtime.program.gradient import derive
from throughtime.program.program import state_names
from throughtime.program.variants import COUNTS, DRAW, with_counts, with_zoneout

# Packing the weights takes as long as some steps of the loop.
_FEWEST_STEPS = 8


@dataclass(frozen=True)
class Captured:
    """A cell's functions as it is.

    Args:
        step: its step.
        project: its projection, or None where that has no program: then it runs as it is written.
    """

    step: Function
    project: Function | None


# What was captured by what decides it, or the sentence that says why there is nothing.
_steps: dict[Any, Captured | str] = {}
_plans: dict[Any, chunk.Plan | str] = {}
# What cannot be compared is remembered for the very cell.
_own_steps: weakref.WeakKeyDictionary[Cell, dict[Any, Any]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()
_recent = threading.local()
atexit.register(_plans.clear)


def reason_against(scan: Scan) -> str | None:
    """Why the native part cannot run this scan, or None."""
    inputs = scan.inputs
    if inputs.device.type != "cpu":
        return f"it runs on the CPU, and the inputs are on {inputs.device.type}"
    precision = _precision()
    if precision is None:
        kind = str(torch.get_autocast_dtype("cpu")).removeprefix("torch.")
        return f"it multiplies in float32 or bfloat16, and autocast asks for {kind}"
    weights = [weight for cell in scan.cells for weight in _weights(cell).values()]
    if any(one.dtype != torch.float32 for one in weights):
        return "it computes in float32 only"
    # Under autocast what comes from another layer may be in its type.
    types = (torch.float32, torch.bfloat16) if precision == "bf16" else (torch.float32,)
    if any(one.dtype not in types for one in (inputs, *scan.state)):
        return "it computes in float32 only"
    if inputs.numel() == 0 or 0 in scan.cells[0].state_sizes:
        return "the input is empty"
    if torch._C._functorch.peek_interpreter_stack() is not None:  # type: ignore[attr-defined]
        return "it cannot be transformed by torch.func"
    plan = _plan(scan)
    return plan if isinstance(plan, str) else None


def reason_to_leave(scan: Scan) -> str | None:
    """Why another kernel is the better choice for this scan, or None."""
    if scan.inputs.shape[0] < _FEWEST_STEPS:
        return f"for fewer than {_FEWEST_STEPS} steps, packing the weights takes longer than the loop"
    cell = scan.cells[0]
    if not isinstance(cell, LSTM) or cell.projection or torch_builtin.reason_against(scan) is not None:
        return None
    if _precision() == "bf16":
        # oneDNN rounds the states to bf16 as well, after each step: up to 384 units it is faster, and learns
        # less (Penn Treebank, 200 units, 837 steps: 0.04 nats).
        return None
    return "PyTorch runs the plain LSTM in oneDNN, which is as fast"


def run(scan: Scan) -> tuple[Tensor, State]:
    """Run the layer, each direction in one call.

    Under autocast the products are in bf16, and sums, states and pointwise parts in float32.
    """
    plan = _plan(scan)
    assert not isinstance(plan, str)
    if plan[0].precision == "fp32":
        return _run(plan, scan)
    whole = replace(scan, inputs=scan.inputs.float(), state=tuple(part.float() for part in scan.state))
    with torch.autocast("cpu", enabled=False):
        outputs, state = _run(plan, whole)
    if torch_builtin.gives_bfloat16(scan):
        # As PyTorch's own call, which runs this layer where it has fewer steps.
        return outputs.bfloat16(), tuple(part.bfloat16() for part in state)
    return outputs, state


def _precision() -> str | None:
    """What products are computed in: bf16 under autocast; None where autocast asks for another type."""
    if not torch.is_autocast_enabled("cpu"):
        return "fp32"
    return "bf16" if torch.get_autocast_dtype("cpu") == torch.bfloat16 else None


def _run(plan: tuple[chunk.Plan, Captured], scan: Scan) -> tuple[Tensor, State]:
    outputs, finals = [], []
    for direction, cell in enumerate(scan.cells):
        state = [part[direction] for part in scan.state]
        output, final = run_direction(plan, cell, scan, state, backward=direction == 1)
        outputs.append(output)
        finals.append(final)
    return torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0], tuple(
        torch.stack(parts) for parts in zip(*finals, strict=True)
    )


def run_direction(
    planned: tuple[chunk.Plan, Captured], cell: Cell, scan: Scan, state: list[Tensor], backward: bool
) -> tuple[Tensor, list[Tensor]]:
    plan, captured = planned
    parts = plan.training.parts
    T, B = scan.inputs.shape[:2]
    weights = _weights(cell)
    fixed = functions.run(parts.fixed, {}, weights)
    by_name = dict(zip(parts.fixed_names, fixed, strict=True))
    others = _others(scan, state, backward)
    if captured.project is None:
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bf16"):
            projected = cell.project(scan.inputs).flatten(0, 1).float()
    else:
        inputs = {"inputs": scan.inputs.flatten(0, 1)}
        (projected,) = functions.run(captured.project, inputs, weights, plan.precision)
    ahead = iter(functions.run(parts.ahead, {"projected": projected}, by_name, plan.precision))
    streams = []
    for name in plan.streams:
        streams.append(others[name] if name in others else next(ahead).unflatten(0, (T, B)))
    return chunk.run_chunk(plan, streams, state, fixed, backward)


def _weights(cell: Cell) -> dict[str, Tensor]:
    return {**dict(cell.named_parameters()), **dict(cell.named_buffers())}


def _others(scan: Scan, state: list[Tensor], backward: bool) -> dict[str, Tensor]:
    """What a step reads beside the inputs: zoneout's draws, and which steps count."""
    found: dict[str, Tensor] = {}
    T, B = scan.inputs.shape[:2]
    if scan.zoneout is not None and scan.training:
        # In the order in which the loop draws, so that a seed means the same with either kernel.
        rows, here = rows_drawn(B)
        sizes = [rows * part.shape[1] for part in state]
        drawn = torch.rand(T, sum(sizes))
        if backward:
            drawn = drawn.flip(0)
        for number, (piece, part) in enumerate(zip(drawn.split(sizes, 1), state, strict=True)):
            found[f"{DRAW}{number}"] = piece.reshape(T, rows, part.shape[1])[:, here]
    if scan.mask is not None:
        found[COUNTS] = scan.mask.float().unsqueeze(-1)
    return found


def _plan(scan: Scan) -> tuple[chunk.Plan, Captured] | str:
    """`find_plan`, made once for all cells of a configuration."""
    # Whoever runs a scan has just asked whether it can be run.
    precision = _precision()
    if getattr(_recent, "scan", None) is not scan or _recent.precision != precision:
        _recent.plan = find_plan(scan)
        _recent.scan, _recent.precision = scan, precision
    return _recent.plan


def find_plan(scan: Scan) -> tuple[chunk.Plan, Captured] | str:
    """The plan for a scan, and its cell's functions; or why there is none."""
    captured = _capture(scan.cells[0])
    if isinstance(captured, str):
        return captured
    draws = scan.zoneout is not None and scan.training
    precision = _precision() or "fp32"
    key = id(captured), scan.zoneout, draws, scan.mask is not None, precision
    with _lock:
        if key not in _plans:
            try:
                step = captured.step
                if scan.zoneout is not None:
                    step = with_zoneout(step, scan.zoneout, draws)
                if scan.mask is not None:
                    step = with_counts(step)
                others = {name for name in step.inputs if name.startswith(DRAW) or name == COUNTS}
                _plans[key] = chunk.Plan(derive(step, frozenset(others)), precision=precision)
            except (ThroughtimeError, ValueError) as error:
                _plans[key] = f"its step has no plan: {error}"
        plan = _plans[key]
    return plan if isinstance(plan, str) else (plan, captured)


def _capture(cell: Cell) -> Captured | str:
    configuration = _configuration(cell)
    with _lock:
        known: dict[Any, Captured | str] = _steps
        if configuration is None:
            known = _own_steps.setdefault(cell, {})
            configuration = cell.training
        if configuration not in known:
            try:
                step = capture_step(cell)
                if list(step.inputs)[1:] != state_names(len(cell.state_sizes)):
                    raise ValueError("its state has another number of tensors than it says")
                known[configuration] = Captured(step, _projection(cell))
            except (ThroughtimeError, ValueError) as error:
                known[configuration] = str(error)
        return known[configuration]


def _projection(cell: Cell) -> Function | None:
    try:
        return capture_projection(cell)
    except ThroughtimeError:
        return None


def _configuration(cell: Cell) -> Any:
    """What decides a cell's program, or None where its attributes cannot be compared."""
    found: list[Any] = []
    for name, module in cell.named_modules():
        found += [name, type(module), module.training]
        for attribute, value in vars(module).items():
            if attribute in _OF_MODULES:
                continue
            if not _is_simple(value):
                return None
            found += [attribute, value]
    found += [(name, tuple(one.shape)) for name, one in _weights(cell).items()]
    return tuple(found)


# What every module has; its hooks do not run in `step`.
_OF_MODULES = frozenset(vars(nn.Module())) | {"_is_full_backward_hook"}


def _is_simple(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return all(_is_simple(one) for one in value)
    return value is None or isinstance(value, (bool, int, float, str, torch.dtype))


NATIVE = Kernel("native", reason_against, run, reason_to_leave)
