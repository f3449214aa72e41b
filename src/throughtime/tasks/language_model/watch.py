"""Watching the gradient while a model trains: what `throughtime inspect` measures, cheaply."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.inspection.flow import FORGOTTEN, GradientFlow, gradient_flow
from throughtime.inspection.windows import embed
from throughtime.saved import Saved
from throughtime.tasks.language_model.model import LanguageModel

# Columns of the batch to measure on. The plain loop costs by the step, hardly by the column.
_COLUMNS = 4
# Watching may take this share of the training's time; a measurement that would exceed it is left out.
BUDGET = 0.05
_NORMS_KEPT = 200
_JUMP = 10.0


class GradientWatch:
    """Measures the gradient by lag within a training chunk, every so many steps, and says what to do.

    Args:
        model: the network, in training.
        every: steps between measurements.
        adapts: whether the chunk's length follows the gradient by itself.
    """

    def __init__(self, model: LanguageModel, every: int, adapts: bool = False) -> None:
        self._model = model
        self._every = every
        self._adapts = adapts
        self._norms: list[float] = []
        self._spent = 0.0
        self._last_cost = 0.0
        self._warned: set[str] = set()

    def observe(
        self,
        step: int,
        gradient_norm: float,
        seconds: float,
        tokens: np.ndarray,
        targets: np.ndarray,
        state: State | None,
    ) -> dict[str, Any]:
        """Take in a step; return what to log, empty most of the time.

        Args:
            step: from 1.
            gradient_norm: of the step, before clipping.
            seconds: that the training has taken.
            tokens, targets: (T, B), the step's chunk.
            state: before it.
        """
        notes: dict[str, Any] = {}
        usual = float(np.median(self._norms)) if len(self._norms) >= 50 else None
        if usual is not None and gradient_norm > _JUMP * usual:
            notes |= self._warn(
                "explosion",
                f"the gradient's norm jumped to {gradient_norm:.3g}, {gradient_norm / usual:.0f} times the "
                f"usual: --clip-norm {self.percentile(90):.2g} is its 90th percentile",
            )
        self._norms = [*self._norms[1 - _NORMS_KEPT :], gradient_norm]
        too_dear = self._spent + self._last_cost > BUDGET * seconds
        if step % self._every or (self._last_cost and too_dear):
            return notes
        begin = time.perf_counter()
        flow = self._measure(tokens, targets, state)
        self._last_cost = time.perf_counter() - begin
        self._spent += self._last_cost
        best = max(flow.layers, key=lambda layer: layer.curve[-1])
        memory = flow.effective_memory
        notes |= {
            "gradient_memory": memory if memory is not None else len(tokens),
            "gradient_rate": best.rate[0],
            "gradient_reaching_back": float(best.curve[-1]),
            "gradient_norm_90th_percentile": self.percentile(90),
            "verdict": flow.verdict(),
        }
        return notes | self._judge(flow, len(tokens))

    def percentile(self, share: float) -> float:
        """The median of the recent gradient norms."""
        return float(np.percentile(self._norms, share)) if self._norms else 0.0

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as JSON can hold it."""
        return {"norms": self._norms, "warned": sorted(self._warned)}

    def restore(self, saved: Saved) -> None:
        """Go on where `state()` was taken."""
        with saved:
            self._norms, self._warned = saved.numbers("norms", least=0), set(saved.texts("warned"))

    def _measure(self, tokens: np.ndarray, targets: np.ndarray, state: State | None) -> GradientFlow:
        model = self._model
        model.eval()
        some = np.ascontiguousarray(tokens[:, :_COLUMNS])
        last = torch.from_numpy(np.ascontiguousarray(targets[-1, :_COLUMNS])).to(model.output.weight.device)
        flow = gradient_flow(
            model.recurrent,
            embed(model, some).detach(),
            # Under mixed precision the carried state is in bf16; this is measured in the weights' type.
            None if state is None else tuple(part[:, :_COLUMNS].to(model.output.weight) for part in state),
            loss=lambda outputs: F.cross_entropy(model.output(outputs), last, reduction="none"),
            split_paths=False,
        )
        model.train()
        return flow

    def _judge(self, flow: GradientFlow, chunk: int) -> dict[str, Any]:
        cell = self._model.config.cell
        verdict, memory = flow.verdict(), flow.effective_memory
        if verdict == "exploding":
            return self._warn(
                "exploding",
                f"the gradient grows with every step back: clip it (--clip-norm {self.percentile(90):.2g} is "
                f"its 90th percentile) or start from --initialisation orthogonal",
            )
        if memory is not None and memory < chunk // 4:
            what = {
                "rnn": "an LSTM or GRU (--cell lstm) carries it further, or --initialisation orthogonal",
                "lstm": "a higher --forget-bias carries it further from the start",
                "gru": "an LSTM with a high --forget-bias may carry it further",
            }.get(cell, "an LSTM with a high --forget-bias may carry it further")
            return self._warn(
                "vanishing",
                f"the gradient vanishes: after {memory} of the chunk's {chunk} steps less than "
                f"{FORGOTTEN:.0%} is left; {what}",
            )
        # --chunk auto lengthens the chunk by itself.
        if memory is None and not self._adapts:
            return self._warn(
                "chunk",
                f"the gradient still reaches the chunk's beginning ({chunk} steps): a longer --chunk, or "
                f"--chunk auto, would use it",
            )
        return {}

    def _warn(self, kind: str, text: str) -> dict[str, Any]:
        """A warning, once a training for each kind."""
        if kind in self._warned:
            return {}
        self._warned.add(kind)
        return {"warning": text}
