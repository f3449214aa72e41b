"""What the export of each task gives, and the ports that graphs with a state share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from throughtime.interchange.graph import FLOAT, INTEGER, Graph, Port
from throughtime.interchange.recurrence_weights import RecurrenceWeights

STEP, SEQUENCE, ENCODER = "step", "sequence", "encoder"
LENGTHS = Port("lengths", INTEGER, ("B",), "steps of each sequence that count", "T")

_MEANINGS = {"h": "hidden state of each layer", "c": "cell state of each layer"}


@dataclass(frozen=True)
class Exported:
    """The graphs of a run.

    Args:
        graphs: by the stem of their file: "step", "sequence", "encoder".
        missing: graphs that such a run may have and this one lacks, each with the reason.
        files: of the run folder, that whoever runs the graphs needs beside them: vocabularies.
        facts: what else he needs, as JSON can hold it: labels, numbers of special tokens.
    """

    graphs: Mapping[str, Graph]
    missing: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def state_inputs(graph: Graph, weights: RecurrenceWeights) -> list[str]:
    """The state of all layers as inputs h and c."""
    return [graph.input(port) for port in state_ports(weights)]


def state_outputs(graph: Graph, weights: RecurrenceWeights, state: list[str], prefix: str = "new_") -> None:
    """The state of all layers as outputs new_h and new_c."""
    for part, port in zip(state, state_ports(weights, prefix), strict=True):
        graph.output(part, port)


def state_ports(weights: RecurrenceWeights, prefix: str = "") -> list[Port]:
    """The state's tensors, (L * D, B, S) each."""
    after = " after the last step" if prefix else ""
    return [
        Port(
            f"{prefix}{name}",
            FLOAT,
            (len(weights.cells), "B", size),
            _MEANINGS.get(name, f"{name} of each layer") + after,
        )
        for name, size in zip(weights.state_names, weights.state_sizes, strict=True)
    ]
