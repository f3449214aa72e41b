"""Everything about one language model, measured on a text: numbers, a verdict in words, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from throughtime.data import Tokenizer
from throughtime.inspection.flow import GradientFlow, Verdict, gradient_flow
from throughtime.inspection.gates import GateStatistics, UnitStatistics, gate_statistics
from throughtime.inspection.influence import by_lag, language_model_influence
from throughtime.inspection.jacobian import LayerJacobian
from throughtime.inspection.neurons import Probe, rank_units
from throughtime.inspection.trace import trace
from throughtime.inspection.truncation import TruncationError, truncation_error
from throughtime.inspection.windows import Windows, cut_windows, embed
from throughtime.tasks.language_model.model import LanguageModel

_NEURON_STREAMS = 16
_JACOBIAN_STEPS = 60
# A window of this many steps shows chunks up to 512; its shortest, 8, takes 128 passes.
_TRUNCATION_STEPS = 1024


@dataclass(frozen=True)
class Options:
    """What to measure.

    Args:
        lags: the longest lag, in tokens.
        windows: places in the text to measure at.
        neuron_tokens: how much text the units are ranked on.
        properties: {name: regular expression}, in place of the built-in ones.
    """

    lags: int = 200
    windows: int = 32
    neuron_tokens: int = 20_000
    properties: dict[str, str] | None = None


@dataclass(frozen=True)
class LayerDynamics:
    """One layer's Jacobian along a window.

    Args:
        layer: its name.
        singular_value: the largest of dS_t/dS_{t-1}, median over steps.
        spectral_radius: likewise.
        lyapunov: the largest exponent, in nats a step.
    """

    layer: str
    singular_value: float
    spectral_radius: float
    lyapunov: float


@dataclass
class Report:
    """What was found. `summary` is the same as JSON can hold it, `sentences` in words."""

    chunk: int
    lags: int
    flow: GradientFlow
    truncation: TruncationError
    dynamics: list[LayerDynamics]
    gates: list[GateStatistics]
    units: list[UnitStatistics]
    influence: NDArray[np.float64]
    example: tuple[list[str], NDArray[np.float64], str]
    probes: list[Probe] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The network's verdict over the chunk that it is trained with."""
        return self.flow.verdict(self.chunk)

    def sentences(self) -> list[str]:
        """The verdict and what follows from it."""
        memory = self.flow.effective_memory
        reach = f"more than {self.lags}" if memory is None else f"{memory}"
        keeps = next((e.kept for e in self.truncation.chunks if e.chunk == self.chunk), None)
        wanted = self.truncation.smallest(0.99)
        lines = [
            f"{self.verdict} over the chunk of {self.chunk}: the gradient reaches back {reach} steps before "
            f"it falls below 1 %."
        ]
        if keeps is not None:
            lines.append(f"The chunk of {self.chunk} keeps {keeps:.1%} of the gradient.")
        if wanted is not None:
            longest = self.truncation.chunks[-1].chunk
            size = f"{wanted}" if wanted < longest else f"above {self.truncation.chunks[-2].chunk}"
            lines.append(f"The smallest chunk that keeps 99 % is {size}.")
        return lines + advice(self)

    def summary(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "verdict": self.verdict,
            "effective_memory": self.flow.effective_memory,
            "lags_measured": self.lags,
            "gradient_flow": self.flow.summary(),
            "chunk": self.chunk,
            "chunk_for_95_percent": self.truncation.smallest(0.95),
            "chunk_for_99_percent": self.truncation.smallest(0.99),
            "truncation": [vars(error) for error in self.truncation.chunks],
            "dynamics": [vars(layer) for layer in self.dynamics],
            "gates": [
                {
                    "layer": gate.layer,
                    "gate": gate.gate,
                    "mean": gate.mean,
                    "shut": gate.shut,
                    "open": gate.open,
                    "median_time_scale": None
                    if gate.time_scales is None
                    else float(np.median(gate.time_scales)),
                }
                for gate in self.gates
            ],
            "units": [vars(units) for units in self.units],
            "influence_by_lag": self.influence.tolist(),
            "neurons": [
                {
                    "property": probe.name,
                    "pattern": probe.pattern,
                    "share": probe.share,
                    "units": [{"unit": unit, "auc": area, "on": is_on} for unit, area, is_on in probe.units],
                    "probe_auc": probe.probe,
                }
                for probe in self.probes
            ],
            "in_words": self.sentences(),
        }


def advice(report: Report) -> list[str]:
    """What to change, if anything."""
    lines = []
    verdict, memory = report.verdict, report.flow.effective_memory
    has_cell_state = any("c" in layer.norms for layer in report.flow.layers)
    gated = bool(report.gates)
    if verdict == "exploding":
        lines.append(
            "Clip the gradient's norm (--clip-norm), or lower the recurrent weights' spectral radius."
        )
    elif memory is not None and memory < report.chunk / 4 and not gated:
        lines.append("A gated cell (--cell lstm or gru) would carry the gradient further.")
    elif memory is not None and memory < report.chunk / 4 and has_cell_state:
        lines.append("A higher --forget-bias would carry the gradient further from the start.")
    smallest = report.truncation.smallest(0.95)
    if smallest is not None and smallest > report.chunk:
        lines.append(f"A --chunk of {smallest} would keep 95 % of the gradient.")
    elif smallest is not None and smallest <= report.chunk // 2:
        lines.append(f"A --chunk of {smallest} would already keep 95 % of the gradient, at less memory.")
    for units in report.units:
        if units.dead > units.units // 10:
            lines.append(f"{units.dead} of {units.units} units of {units.layer} never move: fewer would do.")
    return lines


def inspect_language_model(
    model: LanguageModel,
    tokenizer: Tokenizer,
    text: NDArray[Any],
    chunk: int,
    options: Options | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Measure everything.

    Args:
        model: the network; put into evaluation mode.
        tokenizer: its vocabulary.
        text: (N,) tokens, that the model was not trained on.
        chunk: what it was trained with.
        options: what to measure.
        progress: told what is being measured.
    Raises:
        DataError: the text is too short.
    """
    options = options or Options()
    model.eval()
    windows = cut_windows(model, text, options.lags + 1, options.windows)

    progress("gradient flow")
    inputs = embed(model, windows.tokens).detach()
    last = torch.from_numpy(windows.targets[-1])
    flow = gradient_flow(
        model.recurrent,
        inputs,
        windows.state,
        loss=lambda outputs: F.cross_entropy(model.output(outputs), last, reduction="none"),
    )
    progress("truncation")
    truncation = _truncation(model, text, chunk, options)
    progress("Jacobians")
    dynamics = _dynamics(model, windows)
    progress("gates")
    gates, units = gate_statistics(model.recurrent, inputs, windows.state)
    progress("influence")
    norms, targets = language_model_influence(model, windows.tokens, windows.state)
    shown = [tokenizer.token_text(int(token)) for token in windows.tokens[:, 0]]
    example = (shown, norms[:, 0], tokenizer.token_text(int(targets[0])))
    progress("neurons")
    probes = _probes(model, tokenizer, text, options)
    return Report(
        chunk or len(windows.tokens),
        options.lags,
        flow,
        truncation,
        dynamics,
        gates,
        units,
        by_lag(norms),
        example,
        probes,
    )


def _truncation(model: LanguageModel, text: NDArray[Any], chunk: int, options: Options) -> TruncationError:
    # Chunks have to be cut several times within a window to show what cutting costs.
    length = min(max(4 * chunk, min(2 * options.lags, _TRUNCATION_STEPS)), len(text) - 1)
    windows = cut_windows(model, text, length, options.windows)
    tokens, targets = torch.from_numpy(windows.tokens), torch.from_numpy(windows.targets)

    def chunk_loss(inputs: Any, wanted: Any, state: Any) -> Any:
        logits, state = model(inputs, state)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum"), state

    powers = [2**power for power in range(3, int(math.log2(length)) + 1) if 2**power < length]
    chunks: list[int] = sorted({*powers, *([chunk] if 0 < chunk < length else [])})
    return truncation_error(list(model.parameters()), chunk_loss, tokens, targets, chunks, windows.state)


def _dynamics(model: LanguageModel, windows: Windows) -> list[LayerDynamics]:
    steps = min(_JACOBIAN_STEPS, len(windows.tokens))
    inputs = embed(model, windows.tokens[-steps:, :1]).detach()
    with torch.no_grad():
        state = windows.state
        if len(windows.tokens) > steps:
            _, state = model(torch.from_numpy(windows.tokens[:-steps]), state)
    state = tuple(part[:, :1].contiguous() for part in state)
    found = []
    for layer in range(model.recurrent.num_layers):
        jacobian = LayerJacobian(model.recurrent, inputs, layer, state)
        chosen = range(0, steps, max(1, steps // 4))
        found.append(
            LayerDynamics(
                f"layer {layer + 1}",
                float(np.median([jacobian.singular_values(step)[0].item() for step in chosen])),
                float(np.median([jacobian.spectral_radius(step) for step in chosen])),
                float(jacobian.lyapunov_exponents(1, skip=min(10, steps - 1))[0]),
            )
        )
    return found


def hidden_states(
    model: LanguageModel, text: NDArray[Any], tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The hidden states of all layers after each token of several windows of a text.

    Args:
        tokens: how many of all windows together.
    Returns:
        States (N, T, units of all layers) of N windows, and their tokens (N, T).
    """
    length = max(1, min(tokens // _NEURON_STREAMS, len(text) // _NEURON_STREAMS - 1))
    windows = cut_windows(model, text, length, _NEURON_STREAMS, warm_up=64)
    with torch.no_grad():
        traced = trace(model.recurrent, embed(model, windows.tokens), windows.state)
        hidden = torch.cat([torch.stack(layer.part(0)) for layer in traced.layers], -1)
    return hidden.transpose(0, 1).float().numpy(), windows.tokens.T


def _probes(model: LanguageModel, tokenizer: Tokenizer, text: NDArray[Any], options: Options) -> list[Probe]:
    hidden, tokens = hidden_states(model, text, options.neuron_tokens)
    decoder, pieces, spans, position = tokenizer.stream_decoder(), [], [], 0
    for token in tokens.flat:
        piece = decoder.push(int(token))
        pieces.append(piece)
        spans.append((position, position + len(piece)))
        position += len(piece)
    return rank_units(hidden.reshape(-1, hidden.shape[-1]), "".join(pieces), spans, options.properties)
