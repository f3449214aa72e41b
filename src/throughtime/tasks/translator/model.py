"""A sequence into another of another length: an encoder reads, a decoder writes until END."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.draws import dropout, one_of_each, uniform
from throughtime.models.attention import Memory
from throughtime.models.functions import Definition, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.translator.decoder import Decoder, DecoderState
from throughtime.tasks.translator.options import TranslatorNetwork


class Translator(nn.Module):
    """Source embedding -> bidirectional encoder -> decoder with attention -> logits.

    Both vocabularies have two tokens behind the V of the tokenizer: END = V and START = V + 1. A source ends
    in END; the decoder begins by reading START. The decoder's layers begin at a projection of the state in
    which the encoder's top layer ended.

    Args:
        config: the sizes and options.
        source_vocabulary: V of the source, without END and START.
        target_vocabulary: V of the target.
        shared: both sides have the same vocabulary, and share one embedding.
    """

    def __init__(
        self,
        config: TranslatorNetwork,
        source_vocabulary: int,
        target_vocabulary: int,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.source_end = source_vocabulary
        self.end, self.start = target_vocabulary, target_vocabulary + 1
        self.source_embedding = nn.Embedding(source_vocabulary + 2, config.embedding)
        self.target_embedding = (
            self.source_embedding if shared else nn.Embedding(target_vocabulary + 2, config.embedding)
        )
        self.encoder = Recurrent(
            config.cell,
            config.embedding,
            config.encoder_units,
            bidirectional=config.bidirectional,
            **config.recurrent_options(),
        )
        readout_size = config.embedding if config.tie_weights else config.hidden
        self.decoder = Decoder(config, self.encoder.output_size, readout_size)
        directions = self.encoder.directions
        # One projection for each tensor of the state: an LSTM's h and c.
        self.bridge = nn.ModuleList(
            nn.Linear(directions * size, len(self.decoder.recurrent.cells) * decoder_size)
            for size, decoder_size in zip(
                self.encoder.state_sizes, self.decoder.recurrent.state_sizes, strict=True
            )
        )
        # START is never written.
        self.output = None if config.tie_weights else nn.Linear(readout_size, target_vocabulary + 1)
        self.output_bias = nn.Parameter(torch.zeros(target_vocabulary + 1)) if config.tie_weights else None
        initialise(self, config)
        if config.tie_weights and config.initialisation == "orthogonal":
            # N(0, 1), the embedding's default, would make the first logits as large as sqrt(E).
            nn.init.normal_(self.target_embedding.weight, std=1 / math.sqrt(config.embedding))

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target: Tensor,
        sampling_rate: float = 0.0,
    ) -> tuple[Tensor, Tensor | None]:
        """Read pairs.

        Args:
            source: (S, B) int64, each ending in END, padded with any token.
            source_lengths: (B,) int64 on the CPU, with END.
            target: (T, B) int64, each beginning with START.
            sampling_rate: probability of each token to be drawn from the model, in place of the true one
                (scheduled sampling: Bengio, Vinyals, Jaitly and Shazeer 2015, section 2.4).
        Returns:
            The readouts (T, B, R) for `logits`, and the attention (B, T, S), or None without attention.
        """
        memory, state = self.encode(source, source_lengths)
        embedded = self._drop(self.target_embedding(target), self.config.input_dropout)
        if sampling_rate == 0:
            return self.decoder(embedded, state, memory)
        own = uniform(target.shape, target.device) < sampling_rate

        def replace(t: int, read: Tensor, readout: Tensor) -> Tensor:
            with torch.no_grad():
                drawn = one_of_each(self.logits(readout).float().softmax(-1))
            drawn_read = dropout(
                self.target_embedding(drawn), self.config.input_dropout, self.training, rows=0
            )
            return torch.where(own[t].unsqueeze(1), drawn_read, read)

        return self.decoder.run_steps(embedded, state, memory, replace)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory | None, DecoderState]:
        """Read sources (S, B): what the decoder looks at, and the state in which it begins."""
        embedded = self._drop(self.source_embedding(source), self.config.input_dropout)
        outputs, final = self.encoder(embedded, lengths=lengths)
        memory = None
        if self.decoder.attention is not None:
            mask = torch.arange(source.shape[0], device=source.device)[:, None] < lengths.to(source.device)
            memory = self.decoder.attention.remember(self._drop(outputs, self.config.dropout), mask)
        return memory, self.decoder.begin(self._bridge(final))

    def logits(self, readouts: Tensor, where: Tensor | None = None) -> Tensor:
        """Scores of the next token, END the last.

        Args:
            readouts: (..., R).
            where: (...) bool, the places that matter; None is all. The output layer is the largest product
                of all, so padding should not pass through it.
        Returns:
            (N, V + 1), for the N places of `where`; (..., V + 1) for all.
        """
        return F.linear(self.to_output(readouts, where), *self.output_layer())

    def to_output(self, readouts: Tensor, where: Tensor | None = None) -> Tensor:
        """What the output layer reads, (N, R) or (..., R); arguments as of `logits`."""
        readouts = self._drop(readouts, self.config.output_dropout)
        return readouts if where is None else readouts[where]

    def output_layer(self) -> tuple[Tensor, Tensor | None]:
        """The output layer's weight (V + 1, R) and bias (V + 1,)."""
        if self.output is not None:
            return self.output.weight, self.output.bias
        return self.target_embedding.weight[: self.end + 1], self.output_bias

    def functions(self) -> dict[str, Definition]:
        """encoder: a source to the memory and the first state. step: a token to the logits of the next.

        encoder: source (S, B) and lengths (B,).
        step: token (B, W), of W hypotheses of each source, their states, and the memory of the sources.
        """
        decoder, recurrent = self.decoder, self.decoder.recurrent
        M, R = self.encoder.output_size, decoder.readout.out_features
        lengths = Port("lengths", "int64", ("B",), "tokens of each source, with END", "S")
        source = Port("source", "int64", ("S", "B"), "tokens of the source, END last", self.source_end + 2)
        memory = [Port("values", "float32", ("B", "S", M), "what attention weighs")]
        attention = decoder.attention
        if attention is not None and attention.has_keys:
            K = recurrent.output_size
            memory.append(Port("keys", "float32", ("B", "S", K), "what attention compares with"))
        if attention is None:
            memory = []
        feed = [Port("feed", "float32", ("B", "W", R), "the readout before; zeros at first")]
        feed = feed if decoder.feed_size else []
        states = state_ports(recurrent, ("B", "W"))

        def encode(source: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            seen, state = self.encode(source, lengths)
            kept = () if seen is None else (seen.values, seen.keys)[: len(memory)]
            return *kept, *state.recurrent

        def step(token: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            B, W = token.shape
            parts = tuple(part.flatten(1, 2) for part in rest[: len(states)])
            rest = rest[len(states) :]
            fed = rest[0].flatten(0, 1) if feed else parts[0].new_zeros(parts[0].shape[1], 0)
            seen = None
            if memory:
                values, keys, lengths = rest[len(feed)], rest[-2], rest[-1]
                places = torch.arange(values.shape[1], device=values.device)
                seen = Memory(values, keys, places[None, :] < lengths.to(values.device)[:, None])
            embedded = self.target_embedding(token.flatten())
            readout, weights, after = decoder.step(embedded, DecoderState(parts, fed), seen)
            found = [self.logits(readout), *after.recurrent]
            found += [after.feed] if feed else []
            found += [] if weights is None else [weights]
            axis = [0, *(1 for _ in states), 0, 0]
            return tuple(part.unflatten(place, (B, W)) for part, place in zip(found, axis, strict=False))

        token = Port("token", "int64", ("B", "W"), "the token before; START at first", self.end + 2)
        kept = {port.name: port.meaning for port in memory}
        outputs = {"logits": "of the next token, END the last", **state_outputs(recurrent)}
        outputs |= {"new_feed": "the readout"} if feed else {}
        outputs |= {"attention": "where the step looked; the sum is 1"} if memory else {}
        read = (token, *states, *feed, *memory, *([lengths] if memory else []))
        return {
            "encoder": Definition(encode, (source, lengths), {**kept, **state_outputs(recurrent, "")}),
            "step": Definition(step, read, outputs),
        }

    def _bridge(self, final: State) -> State:
        """The encoder's last states (L * D, B, S) -> the decoder's first (L', B, S')."""
        directions, layers = self.encoder.directions, len(self.decoder.recurrent.cells)
        states = []
        for projection, part in zip(self.bridge, final, strict=True):
            top = part[-directions:].transpose(0, 1).flatten(1)  # forward beside backward
            first = torch.tanh(projection(top)).unflatten(1, (layers, -1)).transpose(0, 1)
            states.append(first.contiguous())
        return tuple(states)

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout and sequence.dim() == 3:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training, rows=sequence.dim() - 2)
