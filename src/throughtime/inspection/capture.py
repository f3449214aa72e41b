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
        One for each recurrence that read two steps or more at once.
    """
    found: dict[str, Captured] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, Recurrent):

            def keep(
                module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], name: str = name
            ) -> None:
                given = dict(zip(("inputs", "state", "lengths", "mask"), positional, strict=False)) | named
                one = _cut(name, module, given)  # type: ignore[arg-type]
                if one is not None and (name not in found or len(one.inputs) > len(found[name].inputs)):
                    found[name] = one

            hooks.append(module.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


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
