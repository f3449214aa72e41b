"""The recurrences inside any network, measured on what the network itself feeds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.inspection.flow import GradientFlow, gradient_flow
from throughtime.inspection.gates import GateStatistics, UnitStatistics, gate_statistics
from throughtime.recurrent import Recurrent


@dataclass(frozen=True)
class Captured:
    """What one recurrence was given.

    Args:
        name: of the module in the network.
        recurrent: the module.
        inputs: (T, N, I), sequences cut to one length, so that none has padding.
        state: before them, or None.
    """

    name: str
    recurrent: Recurrent
    inputs: Tensor
    state: State | None


def capture(model: nn.Module, forward: Callable[[], Any]) -> list[Captured]:
    """Run a network and keep the longest sequences that each of its recurrences reads.

    Args:
        model: any network with `Recurrent` modules.
        forward: runs it on some data.
    Returns:
        One for each recurrence that read two steps or more, at once or one by one in a loop that hands the
        state on, as attention does. A loop has no lengths: what it reads past the end of a sequence counts.
    """
    found: dict[str, Captured] = {}
    loops: dict[str, _Loop] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, Recurrent):

            def keep(
                module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], name: str = name
            ) -> None:
                given = dict(zip(("inputs", "state", "lengths", "mask"), positional, strict=False)) | named
                one = _cut(name, module, given)  # type: ignore[arg-type]
                if one is None and _is_step(module, given):
                    loop = loops.get(name)
                    if loop is None or not loop.goes_on(given):
                        loop = loops[name] = _Loop(name, module, given)  # type: ignore[arg-type]
                    loop.read(given)
                    one = loop.captured()
                if one is not None and (name not in found or len(one.inputs) > len(found[name].inputs)):
                    found[name] = one

            def hand_on(
                module: nn.Module, positional: Any, named: Any, outputs: Any, name: str = name
            ) -> None:
                if name in loops:
                    loops[name].after = outputs[1]

            hooks.append(module.register_forward_pre_hook(keep, with_kwargs=True))
            hooks.append(module.register_forward_hook(hand_on, with_kwargs=True))
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


class _Loop:
    """A recurrence that is called step by step."""

    def __init__(self, name: str, recurrent: Recurrent, given: dict[str, Any]) -> None:
        self._name, self._recurrent = name, recurrent
        self._before: State | None = given.get("state")
        self._steps: list[Tensor] = []
        self.after: Any = None

    def goes_on(self, given: dict[str, Any]) -> bool:
        """Whether a call has the state that the last one returned."""
        state = given.get("state")
        return bool(state) and bool(self.after) and state[0] is self.after[0]

    def read(self, given: dict[str, Any]) -> None:
        inputs = given["inputs"]
        self._steps.append((inputs.transpose(0, 1) if self._recurrent.batch_first else inputs).detach())

    def captured(self) -> Captured | None:
        if len(self._steps) < 2:
            return None
        state = None if self._before is None else tuple(part.detach() for part in self._before)
        return Captured(self._name, self._recurrent, torch.cat(self._steps).float(), state)


def _is_step(recurrent: nn.Module, given: dict[str, Any]) -> bool:
    inputs = given["inputs"]
    return isinstance(inputs, Tensor) and inputs.ndim == 3 and inputs.shape[bool(recurrent.batch_first)] == 1


def _cut(name: str, recurrent: Recurrent, given: dict[str, Any]) -> Captured | None:
    inputs, lengths, state = given["inputs"], given.get("lengths"), given.get("state")
    if not isinstance(inputs, Tensor):  # a PackedSequence
        inputs, lengths = nn.utils.rnn.pad_packed_sequence(inputs)
    elif recurrent.batch_first:
        inputs = inputs.transpose(0, 1)
    rows = torch.arange(inputs.shape[1])
    steps = inputs.shape[0]
    if given.get("mask") is not None:
        mask = given["mask"].transpose(0, 1) if recurrent.batch_first else given["mask"]
        lengths = mask.int().argmin(0).where(~mask.all(0), torch.tensor(steps))
    if lengths is not None:
        lengths = torch.as_tensor(lengths)
        # Half of the sequences are at least this long: a compromise between long windows and many.
        steps = int(lengths.median())
        rows = (lengths >= steps).nonzero()[:, 0]
    if steps < 2 or not len(rows):
        return None
    state = None if state is None else tuple(part[:, rows].detach() for part in state)
    return Captured(name, recurrent, inputs[:steps, rows].detach().float(), state)


def inspect_captured(
    captured: Captured,
) -> tuple[GradientFlow, list[GateStatistics], list[UnitStatistics]]:
    """Gradient flow with a random linear readout at the last step, gates and units of one recurrence."""
    flow = gradient_flow(captured.recurrent, captured.inputs, captured.state)
    gates, units = gate_statistics(captured.recurrent, captured.inputs, captured.state)
    return flow, gates, units
