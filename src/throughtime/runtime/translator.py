"""A translator without torch: an encoder reads, a decoder writes until END."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.attention import Memory
from throughtime.runtime.decoder import Decoder, DecoderState
from throughtime.runtime.layers import Array, Linear, State
from throughtime.runtime.network import FP32, Compute, linear_of, log_softmax, recurrent_of
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.translator import TranslatorNetwork
    from throughtime.runtime.translation_search import TranslationSearcher


class Translator:
    """As `throughtime.models.translator.Translator`, in evaluation mode.

    Args:
        weights: its tensors.
        config: its options.
        source_vocabulary: V of the source, without END and START.
        target_vocabulary: V of the target.
        compute: how matrices are kept and multiplied.
    Attributes:
        source_end, end, start: the tokens behind those of the tokenizers.
    Raises:
        CheckpointError: the weights are of another network.
    """

    def __init__(
        self,
        weights: Weights,
        config: TranslatorNetwork,
        source_vocabulary: int,
        target_vocabulary: int,
        compute: Compute = FP32,
    ) -> None:
        self.source_end = source_vocabulary
        self.end, self.start = target_vocabulary, target_vocabulary + 1
        self._source_embedding = weights.tensor(
            "source_embedding.weight", (source_vocabulary + 2, config.embedding)
        )
        self._target_embedding = weights.tensor(
            "target_embedding.weight", (target_vocabulary + 2, config.embedding)
        )
        self._encoder = recurrent_of(
            weights,
            "encoder.",
            config,
            compute,
            config.embedding,
            hidden=config.encoder_units,
            bidirectional=config.bidirectional,
        )
        directions = self._encoder.directions
        memory_size = directions * self._encoder.output_size
        self.decoder = Decoder(weights, "decoder.", config, memory_size, compute)
        self._bridge = [
            linear_of(weights, f"bridge.{part}", compute, directions * size, self.decoder.layers * wanted)
            for part, (size, wanted) in enumerate(
                zip(self._encoder.state_sizes, self.decoder.recurrent.state_sizes, strict=True)
            )
        ]
        if config.tie_weights:
            bias = weights.tensor("output_bias", (target_vocabulary + 1,))
            self._output = Linear(
                self._target_embedding[: target_vocabulary + 1], bias, compute.precision, compute.threads
            )
        else:
            self._output = linear_of(
                weights, "output", compute, self.decoder.readout_size, target_vocabulary + 1
            )
        weights.refuse_unused()

    def encode(
        self, source: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[Memory | None, DecoderState]:
        """Read sources (S, B): what the decoder looks at, and the state in which it begins."""
        outputs, final = self._encoder(self._source_embedding[source], lengths=lengths)
        memory = None
        if self.decoder.attention is not None:
            memory = self.decoder.attention.remember(outputs, np.arange(len(source))[:, None] < lengths)
        return memory, self.decoder.begin(self._cross(final))

    def read(
        self, target: NDArray[np.int64], state: DecoderState, memory: Memory | None
    ) -> tuple[Array, Array | None]:
        """Read targets (T, B): the readouts (T, B, R) for `logits`, and the attention (B, T, S) or None."""
        return self.decoder.read(self._target_embedding[target], state, memory)

    def step(
        self, tokens: NDArray[np.int64], state: DecoderState, memory: Memory | None
    ) -> tuple[Array, Array | None, DecoderState]:
        """Read a token each (B,): the readout (B, R), the attention (B, S) or None, and the new state."""
        return self.decoder.step(self._target_embedding[tokens], state, memory)

    def logits(self, readouts: Array) -> Array:
        """Scores of the next token (..., V + 1), END the last."""
        return self._output(readouts)

    def searcher(self, coverage_penalty: float = 0.0) -> TranslationSearcher:
        """The translator as beam search wants it; a penalty of beta keeps count of the attention."""
        from throughtime.runtime.translation_search import TranslationSearcher

        return TranslationSearcher(self, coverage_penalty)

    def score(self, batch: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The loss in nats of each token that a `prediction.pairs.PairBatch` wants; whether it is best."""
        memory, state = self.encode(batch.source, batch.source_lengths)
        readouts, _ = self.read(batch.read, state, memory)
        # The output layer is the largest product of all, so padding does not pass through it.
        logs = log_softmax(self.logits(readouts[batch.counts]))
        wanted = batch.wanted[batch.counts]
        losses = -logs[np.arange(len(wanted)), wanted].astype(np.float64)
        return losses, logs.argmax(-1) == wanted

    def _cross(self, final: State) -> State:
        """The encoder's last states (L * D, B, S) -> the decoder's first (L', B, S')."""
        directions, states = self._encoder.directions, []
        for projection, part in zip(self._bridge, final, strict=True):
            top = part[-directions:].transpose(1, 0, 2)  # forward beside backward
            first = np.tanh(projection(top.reshape(len(top), -1)))
            first = first.reshape(len(top), self.decoder.layers, -1).transpose(1, 0, 2)
            states.append(np.ascontiguousarray(first))
        return tuple(states)
