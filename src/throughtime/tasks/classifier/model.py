"""One answer for a whole sequence: many to one; with sequences of one step, one to one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.draws import dropout, normal_like, uniform
from throughtime.encoders.pooling import Pooling, within
from throughtime.encoders.segment_cnn import SegmentCNN
from throughtime.models.conditions import Conditioned
from throughtime.models.functions import Definition, begin_of, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.targets.target import Target
from throughtime.tasks.classifier.given import SECOND, SECOND_LENGTHS

if TYPE_CHECKING:
    from throughtime.tasks.classifier.options import ClassifierNetwork


_EMBEDDING_DEVIATION = 0.1
# What a few fields say fits into few numbers.
_WIDEST_CONDITION = 64


class FeedForward(nn.Module):
    """The same layers at every step, without any memory: what a recurrence has to beat.

    Takes what `Recurrent` takes and gives the same shapes.

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: linear layers with a ReLU each.
        dropout: probability to zero an output between layers.
    """

    directions = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [input_size] + [hidden_size] * num_layers
        self.layers = nn.ModuleList(nn.Linear(size, hidden_size) for size in sizes[:-1])
        self.dropout = dropout
        self.output_size = hidden_size

    def forward(
        self, inputs: Tensor, state: None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[()]]:
        """(T, B, I) to (T, B, H), and an empty state."""
        for index, layer in enumerate(self.layers):
            if index > 0:
                inputs = dropout(inputs, self.dropout, self.training)
            inputs = layer(inputs).relu()
        return inputs, ()


class Classifier(nn.Module):
    """Tokens or features -> recurrence -> one vector for each sequence -> what the target takes.

    Args:
        config: the sizes and options.
        target: what is said of a sequence: its W outputs, and what they are.
        vocabulary_size: V, for sequences of tokens. Token V stands for what the vocabulary lacks; its
            embedding is zero and stays so. None for sequences of numbers.
        statistics: (mean, deviation), each (F,), for sequences of numbers: the inputs are standardised by
            them. They are saved with the weights.
        pairs: each example has a second sequence of tokens. Both are read by the same weights, into u and v,
            and u, v, |u - v| and u * v are what is known of them (Conneau et al. 2017, InferSent).
        categories: what stands beside each example: how many values each category has.
        numbers: likewise: the mean and the deviation of each number.
        window: of sequences of numbers whose steps are windows that convolutions look at, the features of a
            step inside of them.

    A second text, and what stands beside, meet the first one in a hidden layer, so that they can change what
    it means rather than only add to it.
    """

    def __init__(
        self,
        config: ClassifierNetwork,
        target: Target,
        vocabulary_size: int | None = None,
        statistics: tuple[ArrayLike, ArrayLike] | None = None,
        pairs: bool = False,
        categories: tuple[int, ...] = (),
        numbers: tuple[tuple[float, float], ...] = (),
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.looking: SegmentCNN | None = None
        self.config = config
        self.target = target
        self.embedding = None
        if vocabulary_size is not None:
            self.embedding = nn.Embedding(vocabulary_size + 1, config.embedding, padding_idx=vocabulary_size)
            input_size = config.embedding
        elif statistics is not None:
            mean, deviation = (torch.tensor(part, dtype=torch.float32) for part in statistics)
            self.mean, self.deviation = nn.Buffer(mean), nn.Buffer(deviation)
            input_size = len(mean)
            if window is not None:
                self.looking = SegmentCNN(window, config.convolutions)
                input_size = self.looking.output_size
        else:
            raise ValueError("give vocabulary_size for tokens, or statistics for numbers")
        self.recurrent = self._recurrent(input_size)
        self.pooling = Pooling(config.pooling, self.recurrent.output_size, self.recurrent.directions)
        read = self.recurrent.output_size
        self.pairs = pairs
        width = min(config.hidden, _WIDEST_CONDITION)
        self.beside = Conditioned(categories, numbers, width) if categories or numbers else None
        self.mixed = None
        if pairs or self.beside is not None:
            known = read * (4 if pairs else 1) + (width if self.beside is not None else 0)
            self.mixed = nn.Linear(known, read)
        self.output = nn.Linear(read, target.width)
        initialise(self, config)
        self._shrink_embedding()

    def forward(self, inputs: Tensor, lengths: Tensor, *more: Tensor) -> Tensor:
        """The outputs of each sequence; they do not depend on the other sequences of the batch.

        Args:
            inputs: (T, B) int64 tokens, or (T, B, F) float features; what lies past a length is ignored.
            lengths: (B,) int64 on the CPU, each in [1, T].
            *more: of pairs the second tokens (S, B) and their lengths (B,); then what stands beside, as
                `Conditioned.ports` names it.
        Returns:
            (B, W).
        """
        known = self.pool(inputs, lengths)
        if self.pairs:
            second, more = self.pool(more[0], more[1]), more[2:]
            known = torch.cat([known, second, (known - second).abs(), known * second], -1)
        return self.conclude(known, *more)

    def pool(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Sequences as one vector each, (B, D * H)."""
        outputs, _ = self.read(inputs, None, lengths)
        return self.pooling(outputs, lengths)

    def conclude(self, known: Tensor, *beside: Tensor) -> Tensor:
        """The outputs (B, W) from what is known of the sequences, and what stands beside them."""
        if self.beside is not None:
            known = torch.cat([known, self.beside.together(*self.beside.of_ports(beside))], -1)
        if self.mixed is not None:
            known = self.mixed(known).relu()
        return self.output(dropout(known, self.config.output_dropout, self.training, rows=0))

    def read(
        self, inputs: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The outputs (T, B, D * H) of the recurrence and its state: what is pooled over time."""
        steps = self._embed(inputs) if self.embedding is not None else self._standardise(inputs, lengths)
        return self.recurrent(steps, state, lengths)

    @property
    def members(self) -> list[Classifier]:
        """Those that answer together: this one alone."""
        return [self]

    def answer(self, each: list[Tensor]) -> Tensor:
        """The outputs (B, W) from those of the members."""
        return each[0]

    def functions(self) -> dict[str, Definition]:
        """See `functions_of`."""
        return functions_of(self)

    def _standardise(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        steps = (features - self.mean) / self.deviation
        if self.training and lengths is not None:
            # The outputs past a length have gradients of zero, which times a NaN there would be NaN.
            steps = steps.where(within(len(steps), lengths.to(steps.device))[:, :, None], 0.0)
        if self.training and self.config.input_noise:
            # What a few examples differ in by chance must not tell them apart (Bishop 1995).
            steps = steps + self.config.input_noise * normal_like(steps)
        return steps if self.looking is None else self.looking(steps)

    def _embed(self, tokens: Tensor) -> Tensor:
        assert self.embedding is not None
        embedded = drop_words(self.embedding(tokens), self.config.word_dropout, self.training)
        if self.config.locked_dropout:
            return locked_dropout(embedded, self.config.input_dropout, self.training)
        return dropout(embedded, self.config.input_dropout, self.training)

    def _recurrent(self, input_size: int) -> Recurrent | FeedForward:
        config = self.config
        if config.cell == "none":
            return FeedForward(input_size, config.hidden, config.layers, config.dropout)
        return Recurrent(
            config.cell,
            input_size,
            config.hidden,
            bidirectional=config.bidirectional,
            **config.recurrent_options(),
        )

    @torch.no_grad()
    def _shrink_embedding(self) -> None:
        if self.embedding is None:
            return
        if self.config.initialisation == "orthogonal":
            # N(0, 1), torch's default, would drown what a few thousand sentences can teach a word.
            nn.init.normal_(self.embedding.weight, std=_EMBEDDING_DEVIATION)
        self.embedding.weight[-1].zero_()


class Ensemble(nn.Module):
    """Several classifiers that learn side by side and answer together.

    They see the same batches and differ in their first weights and in what dropout hides from each. Where
    examples are few, each goes wrong in its own places, and what they say on average does so less.

    Args:
        members: networks with the same inputs and target.
    Source: Hansen and Salamon 1990; of networks that differ by their weights' seed alone, Lakshminarayanan et
        al. 2017.
    """

    def __init__(self, members: Iterable[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor, lengths: Tensor, *more: Tensor) -> Tensor:
        """What the members say together, (B, W), see `Target.together`; arguments as of `Classifier`."""
        return self.answer(list(self.each(inputs, lengths, *more)))

    def answer(self, each: list[Tensor]) -> Tensor:
        """The outputs (B, W) from those of the members."""
        first: Classifier = self.members[0]  # type: ignore[assignment]
        return first.target.together(torch.stack(each))

    def functions(self) -> dict[str, Definition]:
        """See `functions_of`."""
        return functions_of(self)

    def each(self, inputs: Tensor, lengths: Tensor, *more: Tensor) -> Tensor:
        """The members' outputs (M, B, W): in training each has a loss of its own."""
        return torch.stack([member(inputs, lengths, *more) for member in self.members])


def functions_of(model: Classifier | Ensemble) -> dict[str, Definition]:
    """What a classifier can be asked for.

    sequence: tokens (T, B) or features (T, B, F), and lengths (B,), to logits (B, W), or values; with second
        texts, or something beside the examples, these too.

    A sequence may be too long for its outputs to be in memory at once. Where they are only pooled, it can be
    read in blocks:

    outputs: a block and the state before it to what is pooled, (T, B, M, D, H) of M members in D directions,
        and the state after it.
    begin: the state before the first block.
    answer: what was pooled (B, M * D * H), and what stands beside, to logits, or values.
    """
    members: list[Classifier] = list(model.members)  # type: ignore[arg-type]
    first = members[0]
    if first.embedding is not None:
        unknown = first.embedding.num_embeddings - 1
        what = Port("tokens", "int64", ("T", "B"), f"what is read; {unknown} is an unknown one", unknown + 1)
    else:
        what = Port("features", "float32", ("T", "B", len(first.mean)), "what is read, not standardised")
    lengths = Port("lengths", "int64", ("B",), "steps of each sequence that count", "T")
    meaning = first.target.meaning
    if len(members) > 1:
        meaning = f"{meaning}; the members' mean"
    result = {first.target.port: meaning}
    second = []
    if first.pairs:
        again = Port(SECOND, "int64", ("S", "B"), "the second text", what.below)
        second = [again, Port(SECOND_LENGTHS, "int64", ("B",), "tokens of each second text that count", "S")]
    beside = [] if first.beside is None else first.beside.ports()
    inputs = (what, lengths, *second, *beside)
    found = {"sequence": Definition(lambda *given: (model(*given),), inputs, result)}
    directions, pooling = first.recurrent.directions, first.config.pooling
    # Layers that read both ways need all outputs of the one below; attention needs both directions. Second
    # texts are sentences.
    if pooling == "attention" or first.pairs or (directions == 2 and first.config.layers > 1):
        return found
    states = [
        replace(port, name=f"{number}.{port.name}" if len(members) > 1 else port.name)
        for number, member in enumerate(members)
        if isinstance(member.recurrent, Recurrent)
        for port in state_ports(member.recurrent)
    ]
    parts = len(states) // len(members)

    def outputs(inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        read, after = [], []
        for number, member in enumerate(members):
            own = state[number * parts : (number + 1) * parts]
            seen, new = member.read(inputs, own or None)
            read.append(seen.unflatten(-1, (directions, -1)))
            after += new
        return torch.stack(read, 2), *after

    def answer(pooled: Tensor, *beside: Tensor) -> tuple[Tensor]:
        each = pooled.chunk(len(members), -1)
        said = [member.conclude(own, *beside) for member, own in zip(members, each, strict=True)]
        return (model.answer(said),)

    after = {f"new_{port.name}": f"{port.meaning} after the last step" for port in states}
    width = sum(member.recurrent.output_size for member in members)
    pooled = Port("pooled", "float32", ("B", width), f"outputs pooled over time: {pooling}")
    found["outputs"] = Definition(outputs, (what, *states), {"outputs": "what is pooled", **after})
    if states:
        recurrents = [member.recurrent for member in members if isinstance(member.recurrent, Recurrent)]
        found["begin"] = begin_of(recurrents, states)
    found["answer"] = Definition(answer, (pooled, *beside), result)
    return found


def drop_words(embedded: Tensor, probability: float, training: bool) -> Tensor:
    """Zero whole steps, so that no label hangs on one word alone. What stays is not scaled up.

    A dropped word looks as an unknown one does (both are zero), so that the network learns what to make of
    words that it will meet for the first time.

    Args:
        embedded: (T, B, E).
    Source: Iyyer et al. 2015 ("Deep Unordered Composition"), section 2.3.
    """
    if not training or probability == 0:
        return embedded
    kept = uniform(embedded.shape[:2], embedded.device) >= probability
    return embedded * kept[:, :, None]
