"""One label for a whole sequence: many to one; with sequences of one step, one to one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.encoders.pooling import Pooling
from throughtime.models.initialise import initialise
from throughtime.recurrent import Recurrent, locked_dropout

if TYPE_CHECKING:
    from throughtime.config.classifier import ClassifierNetwork


_EMBEDDING_DEVIATION = 0.1


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
                inputs = F.dropout(inputs, self.dropout, self.training)
            inputs = layer(inputs).relu()
        return inputs, ()


class Classifier(nn.Module):
    """Tokens or features -> recurrence -> one vector for each sequence -> logits of the classes.

    Args:
        config: the sizes and options.
        classes: C, the number of labels.
        vocabulary_size: V, for sequences of tokens. Token V stands for what the vocabulary lacks; its
            embedding is zero and stays so. None for sequences of numbers.
        statistics: (mean, deviation), each (F,), for sequences of numbers: the inputs are standardised by
            them. They are saved with the weights.
    """

    def __init__(
        self,
        config: ClassifierNetwork,
        classes: int,
        vocabulary_size: int | None = None,
        statistics: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = None
        if vocabulary_size is not None:
            self.embedding = nn.Embedding(vocabulary_size + 1, config.embedding, padding_idx=vocabulary_size)
            input_size = config.embedding
        elif statistics is not None:
            mean, deviation = (torch.tensor(part, dtype=torch.float32) for part in statistics)
            self.mean, self.deviation = nn.Buffer(mean), nn.Buffer(deviation)
            input_size = len(mean)
        else:
            raise ValueError("give vocabulary_size for tokens, or statistics for numbers")
        self.recurrent = self._recurrent(input_size)
        self.pooling = Pooling(config.pooling, self.recurrent.output_size, self.recurrent.directions)
        self.output = nn.Linear(self.recurrent.output_size, classes)
        initialise(self, config)
        self._shrink_embedding()

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits of each sequence's classes; they do not depend on the other sequences of the batch.

        Args:
            inputs: (T, B) int64 tokens, or (T, B, F) float features; what lies past a length is ignored.
            lengths: (B,) int64 on the CPU, each in [1, T].
        Returns:
            (B, C).
        """
        steps = self._embed(inputs) if self.embedding is not None else (inputs - self.mean) / self.deviation
        outputs, _ = self.recurrent(steps, lengths=lengths)
        pooled = self.pooling(outputs, lengths)
        return self.output(F.dropout(pooled, self.config.output_dropout, self.training))

    def _embed(self, tokens: Tensor) -> Tensor:
        assert self.embedding is not None
        embedded = drop_words(self.embedding(tokens), self.config.word_dropout, self.training)
        if self.config.locked_dropout:
            return locked_dropout(embedded, self.config.input_dropout, self.training)
        return F.dropout(embedded, self.config.input_dropout, self.training)

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
    examples are few, each goes wrong in its own places, and the mean of their probabilities does so less.

    Args:
        members: networks with the same inputs and classes.
    Source: Hansen and Salamon 1990; of networks that differ by their weights' seed alone, Lakshminarayanan et
        al. 2017.
    """

    def __init__(self, members: Iterable[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of the mean of the members' probabilities, (B, C); arguments as of `Classifier`."""
        each = self.each(inputs, lengths).log_softmax(-1)
        return each.logsumexp(0) - math.log(len(self.members))

    def each(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """The members' logits (M, B, C): in training each has a loss of its own."""
        return torch.stack([member(inputs, lengths) for member in self.members])


class TorchLabeller:
    """A classifier as predictions want it: NumPy in, NumPy out."""

    def __init__(self, model: Classifier | Ensemble) -> None:
        self._model = model.eval()
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def logits(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (B, C) of inputs (T, B) or (T, B, F), of which each sequence has its length (B,)."""
        logits = self._model(torch.from_numpy(inputs).to(self._device), torch.from_numpy(lengths))
        return logits.float().cpu().numpy()


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
    kept = torch.rand(embedded.shape[:2], device=embedded.device) >= probability
    return embedded * kept[:, :, None]
