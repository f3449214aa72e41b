"""The decoder of a translator: a recurrence over the target that looks at the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import Cell, State
from throughtime.cells.cell import GatedCell
from throughtime.draws import dropout, uniform_like
from throughtime.models.attention import Attention, BahdanauAttention, LuongAttention, Memory
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.translator.options import TranslatorNetwork


@dataclass(frozen=True)
class DecoderState:
    """What the decoder carries from one target token to the next.

    Args:
        recurrent: of the layers, tensors (L, B, S).
        feed: (B, F), the last readout with input feeding, else of width 0.
    """

    recurrent: State
    feed: Tensor


class Decoder(nn.Module):
    """Target embeddings and a source -> readouts, from which the output layer makes logits.

        none        s_t = cell(e_t, s_{t-1})              r_t = tanh(W s_t)
        luong       s_t = cell([e_t; r_{t-1}], s_{t-1})   r_t = tanh(W [s_t; c_t]), c_t = attend(s_t)
        bahdanau    s_t = cell([e_t; c_t], s_{t-1})       r_t = tanh(W [s_t; c_t; e_t]), c_t = attend(s_{t-1})

    e_t is the embedding of the token before the one that r_t predicts. r_{t-1} enters with input feeding
    only. Without it, Luong's decoder needs no step to wait for an attention: the recurrence runs over all
    steps on the fast kernel, then the attention over all steps in batched matrix products.

    Args:
        config: sizes and options.
        memory_size: M, of what the encoder gives out.
        readout_size: R.
    Source: none: Sutskever, Vinyals and Le 2014; luong: Luong, Pham and Manning 2015, equations 5 and 6,
        input feeding section 3.3; bahdanau: Bahdanau, Cho and Bengio 2015, appendix A.2.2, with a tanh layer
        where the paper has maxout.
    """

    def __init__(self, config: TranslatorNetwork, memory_size: int, readout_size: int) -> None:
        super().__init__()
        self.config = config
        self.kind = config.attention
        feed = {"none": 0, "luong": readout_size * config.input_feeding, "bahdanau": memory_size}[self.kind]
        self.feed_size = readout_size if self.kind == "luong" and config.input_feeding else 0
        self.recurrent = Recurrent(
            config.cell,
            config.embedding + feed,
            config.hidden,
            **{**config.recurrent_options(), "num_layers": config.decoder_layers or config.layers},
        )
        hidden_size = self.recurrent.output_size
        self.attention: Attention | None = None
        if self.kind == "luong":
            self.attention = LuongAttention(hidden_size, memory_size, config.attention_score)
        elif self.kind == "bahdanau":
            self.attention = BahdanauAttention(hidden_size, memory_size)
        seen = hidden_size + (memory_size if self.attention else 0)
        seen += config.embedding if self.kind == "bahdanau" else 0
        self.readout = nn.Linear(seen, readout_size)

    @property
    def needs_steps(self) -> bool:
        """Whether a step's input depends on the step before, beyond the recurrence."""
        return self.kind == "bahdanau" or self.feed_size > 0

    def begin(self, recurrent: State) -> DecoderState:
        """The state before the first target token."""
        hidden = recurrent[0]
        return DecoderState(recurrent, hidden.new_zeros(hidden.shape[1], self.feed_size))

    def forward(
        self, embedded: Tensor, state: DecoderState, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None]:
        """Read a whole target.

        Args:
            embedded: (T, B, E), of the tokens before those to predict.
            state: of `begin`.
            memory: the sources; None without attention.
        Returns:
            The readouts (T, B, R), and the attention (B, T, S) or None.
        """
        if self.needs_steps:
            return self.run_steps(embedded, state, memory)
        outputs, _ = self.recurrent(embedded, state.recurrent)
        if self.attention is None or memory is None:
            return torch.tanh(self.readout(outputs)), None
        contexts, weights = self.attention(outputs.transpose(0, 1), memory)
        seen = torch.cat([outputs, contexts.transpose(0, 1)], -1)
        return torch.tanh(self.readout(seen)), weights

    def step(
        self, embedded: Tensor, state: DecoderState, memory: Memory | None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Read one target token: the definition that `forward` and `run_steps` must agree with.

        Args:
            embedded: (B, E), or (B * W, E) for W hypotheses beside each other of each source.
        Returns:
            The readout (B, R), the attention (B, S) or None, and the new state.
        """
        context, weights = None, None
        if self.kind == "bahdanau":
            context, weights = self.attend(state.recurrent[0][-1], memory)
        read = _joined(embedded, context if context is not None else state.feed if self.feed_size else None)
        outputs, recurrent = self.recurrent(read[None], state.recurrent)
        if self.kind == "luong":
            context, weights = self.attend(outputs[0], memory)
        readout = self.read_out(outputs[0], context, embedded)
        return readout, weights, DecoderState(recurrent, readout if self.feed_size else state.feed)

    def attend(self, query: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor]:
        """Context (B, M) and weights (B, S) of one query a source, or of several beside each other."""
        assert self.attention is not None and memory is not None
        asked = self.attention.ask(query).unflatten(0, (memory.values.shape[0], -1))
        contexts, weights = self.attention.look(asked, memory)
        return contexts.flatten(0, 1), weights.flatten(0, 1)

    def read_out(self, output: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        """What the output layer reads (B, R)."""
        seen = [part for part in (output, context) if part is not None]
        if self.kind == "bahdanau":
            seen.append(embedded)
        return torch.tanh(self.readout(torch.cat(_same_type(seen), -1)))

    def run_steps(
        self,
        embedded: Tensor,
        state: DecoderState,
        memory: Memory | None,
        replace: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Read a whole target step by step.

        Args:
            embedded, state, memory: as for `forward`.
            replace: (t, embedded (B, E), the last readout (B, R)) -> what to read at step t >= 1 in place of
                `embedded[t]`; for scheduled sampling.
        Returns:
            As `forward`.
        """
        stepper = _Stepper(self, state, memory, embedded[0])
        cell = self._cells()[0]
        # Where the cell's projection is affine, the embeddings' share of it is one product for all steps.
        shares = self._embedding_shares(embedded) if replace is None and _projects_affinely(cell) else None
        readouts: list[Tensor] = []
        attentions: list[Tensor] = []
        for t, read in enumerate(embedded.unbind(0)):
            if replace is not None and t > 0:
                read = replace(t, read, readouts[-1])

            def project(extra: Tensor | None, t: int = t, read: Tensor = read) -> Tensor:
                if shares is None or extra is None:
                    return cell.project(_joined(read, extra))
                return shares[t] + F.linear(extra, cell.weight_ih[:, self.config.embedding :])  # type: ignore[index]

            readout, weights = stepper.step(read, project)
            readouts.append(readout)
            if weights is not None:
                attentions.append(weights)
        return torch.stack(readouts), torch.stack(attentions, 1) if attentions else None

    def _embedding_shares(self, embedded: Tensor) -> Tensor:
        """(T, B, E) -> (T, B, P): the first cell's projection of the embeddings, with nothing beside them."""
        extra_size = self.recurrent.input_size - self.config.embedding
        nothing = embedded.new_zeros(*embedded.shape[:2], extra_size)
        return self._cells()[0].project(_joined(embedded, nothing))

    def _cells(self) -> list[Cell]:
        return list(self.recurrent.cells)  # type: ignore[arg-type]


class _Stepper:
    """The steps of one batch: its state, and the dropout masks that last for a whole sequence."""

    def __init__(self, decoder: Decoder, state: DecoderState, memory: Memory | None, like: Tensor) -> None:
        self._decoder = decoder
        self._memory = memory
        self._cells = decoder._cells()
        self._layers: list[State] = [
            tuple(part[layer] for part in state.recurrent) for layer in range(len(self._cells))
        ]
        self._feed = state.feed
        config = decoder.config
        self._masks: list[Tensor] | None = None
        if config.locked_dropout and decoder.training and config.dropout:
            self._masks = [
                locked_dropout(like.new_ones(1, len(like), cell.output_size), config.dropout, True)[0]
                for cell in self._cells[:-1]
            ]

    def step(self, read: Tensor, project: Callable[[Tensor | None], Tensor]) -> tuple[Tensor, Tensor | None]:
        """One step.

        Args:
            read: (B, E), the embedding.
            project: (what enters the cell beside the embedding (B, X), or None) -> the first cell's
                projection.
        Returns:
            The readout (B, R), and the attention (B, S) or None.
        """
        decoder = self._decoder
        context, weights = None, None
        extra = self._feed if decoder.feed_size else None
        if decoder.kind == "bahdanau":
            context, weights = decoder.attend(self._layers[-1][0], self._memory)
            extra = context
        output = read
        for layer, cell in enumerate(self._cells):
            projected = project(extra) if layer == 0 else cell.project(self._drop(output, layer - 1))
            output, self._layers[layer] = self._keep_some(*cell.step(projected, self._layers[layer]), layer)
        if decoder.kind == "luong":
            context, weights = decoder.attend(output, self._memory)
        readout = decoder.read_out(output, context, read)
        if decoder.feed_size:
            self._feed = readout
        return readout, weights

    def _keep_some(self, output: Tensor, new: State, layer: int) -> tuple[Tensor, State]:
        """Zoneout: units keep their old value at random, in evaluation its mean (Krueger et al. 2017)."""
        rates, training = self._decoder.recurrent.zoneout, self._decoder.training
        if rates is None:
            return output, new
        kept = tuple(
            torch.where(uniform_like(n, 0) < rate, o, n) if training else n + rate * (o - n)
            for n, o, rate in zip(new, self._layers[layer], rates, strict=True)
        )
        return (kept[0] if output is new[0] else output), kept

    def _drop(self, output: Tensor, boundary: int) -> Tensor:
        if self._masks is not None:
            return output * self._masks[boundary]
        return dropout(output, self._decoder.config.dropout, self._decoder.training, rows=0)


def _joined(embedded: Tensor, extra: Tensor | None) -> Tensor:
    return embedded if extra is None else torch.cat(_same_type([embedded, extra]), -1)


def _same_type(parts: list[Tensor]) -> list[Tensor]:
    """Mixed precision makes some parts bf16; a concatenation wants one type."""
    return parts if len({part.dtype for part in parts}) == 1 else [part.to(parts[0].dtype) for part in parts]


def _projects_affinely(cell: Cell) -> bool:
    """Whether `cell.project` is W x + b with W the cell's weight_ih."""
    return isinstance(cell, GatedCell) and not getattr(cell, "layer_norm", False)
