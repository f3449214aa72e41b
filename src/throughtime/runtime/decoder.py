"""The decoder of a translator without torch: a recurrence over the target that looks at the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.attention import BahdanauAttention, LuongAttention, Memory
from throughtime.runtime.layers import Array, State
from throughtime.runtime.network import Compute, linear_of, recurrent_of
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.translator import TranslatorNetwork


@dataclass(frozen=True)
class DecoderState:
    """What the decoder carries from one target token to the next.

    Args:
        recurrent: of the layers, arrays (L, B, S).
        feed: (B, F), the last readout with input feeding, else of width 0.
    """

    recurrent: State
    feed: Array

    def select(self, rows: NDArray[np.int64]) -> DecoderState:
        """The state whose row i is row rows[i] of this one."""
        return DecoderState(tuple(part[:, rows] for part in self.recurrent), self.feed[rows])


class Decoder:
    """As `throughtime.models.decoder.Decoder`, in evaluation mode.

        none        s_t = cell(e_t, s_{t-1})              r_t = tanh(W s_t)
        luong       s_t = cell([e_t; r_{t-1}], s_{t-1})   r_t = tanh(W [s_t; c_t]), c_t = attend(s_t)
        bahdanau    s_t = cell([e_t; c_t], s_{t-1})       r_t = tanh(W [s_t; c_t; e_t]), c_t = attend(s_{t-1})

    r_{t-1} enters with input feeding only.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        config: sizes and options.
        memory_size: M, of what the encoder gives out.
        compute: how matrices are kept and multiplied.
    """

    def __init__(
        self, weights: Weights, prefix: str, config: TranslatorNetwork, memory_size: int, compute: Compute
    ) -> None:
        self.kind = config.attention
        self.layers = config.decoder_layers or config.layers
        self.readout_size = config.embedding if config.tie_weights else config.hidden
        self._feed_size = self.readout_size if config.input_feeding else 0
        inputs = config.embedding + (memory_size if self.kind == "bahdanau" else self._feed_size)
        name = f"{prefix}recurrent."
        self.recurrent = recurrent_of(weights, name, config, compute, inputs, layers=self.layers)
        self.attention: LuongAttention | BahdanauAttention | None = None
        sizes = self.recurrent.output_size, memory_size
        if self.kind == "luong":
            score = config.attention_score
            self.attention = LuongAttention(weights, f"{prefix}attention.", *sizes, compute, score)
        elif self.kind == "bahdanau":
            self.attention = BahdanauAttention(weights, f"{prefix}attention.", *sizes, compute)
        seen = self.recurrent.output_size + (memory_size if self.attention else 0)
        seen += config.embedding if self.kind == "bahdanau" else 0
        self._readout = linear_of(weights, f"{prefix}readout", compute, seen, self.readout_size)

    def begin(self, recurrent: State) -> DecoderState:
        """The state before the first target token."""
        return DecoderState(recurrent, np.zeros((recurrent[0].shape[1], self._feed_size), np.float32))

    def read(self, embedded: Array, state: DecoderState, memory: Memory | None) -> tuple[Array, Array | None]:
        """Read a whole target (T, B, E): the readouts (T, B, R), and the attention (B, T, S) or None."""
        if self.kind == "bahdanau" or self._feed_size:
            steps = []
            for read in embedded:
                readout, weights, state = self.step(read, state, memory)
                steps.append((readout, weights))
            attention = np.stack([weights for _, weights in steps if weights is not None], 1)
            return np.stack([readout for readout, _ in steps]), attention
        outputs, _ = self.recurrent(embedded, state.recurrent)
        if self.attention is None or memory is None:
            return np.tanh(self._readout(outputs)), None
        contexts, weights = self.attention(outputs.transpose(1, 0, 2), memory)
        seen = np.concatenate([outputs, contexts.transpose(1, 0, 2)], -1)
        return np.tanh(self._readout(seen)), weights

    def step(
        self, embedded: Array, state: DecoderState, memory: Memory | None
    ) -> tuple[Array, Array | None, DecoderState]:
        """Read one target token each (B, E): the readout (B, R), the attention (B, S) or None, the state."""
        context, weights = None, None
        if self.kind == "bahdanau":
            context, weights = self._attend(state.recurrent[0][-1], memory)
        extra = [state.feed] if self._feed_size else [] if context is None else [context]
        outputs, recurrent = self.recurrent(_joined(embedded, *extra)[None], state.recurrent)
        output = outputs[0]
        if self.kind == "luong":
            context, weights = self._attend(output, memory)
        seen = [output] if context is None else [output, context]
        if self.kind == "bahdanau":
            seen.append(embedded)
        readout = np.tanh(self._readout(_joined(*seen)))
        return readout, weights, DecoderState(recurrent, readout if self._feed_size else state.feed)

    def _attend(self, query: Array, memory: Memory | None) -> tuple[Array, Array]:
        """Context (B, M) and weights (B, S) of one query a source, or of several beside each other."""
        assert self.attention is not None and memory is not None
        queries = query.reshape(len(memory.values), -1, query.shape[1])
        contexts, weights = self.attention(queries, memory)
        return contexts.reshape(len(query), -1), weights.reshape(len(query), -1)


def _joined(*parts: Array) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
