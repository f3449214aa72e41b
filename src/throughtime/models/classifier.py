"""One label for a whole sequence: many to one; with sequences of one step, one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import LSTM
from throughtime.cells.cell import GatedCell
from throughtime.encoders.pooling import Pooling
from throughtime.recurrent import Recurrent, locked_dropout

if TYPE_CHECKING:
    from throughtime.config.classifier import ClassifierModel


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
    """Tokens or features -> recurrence -> one vector a sequence -> logits of the classes.

    Args:
        config: the sizes and options.
        classes: C, the number of labels.
        vocabulary_size: V, for sequences of tokens. Token V stands for what the vocabulary lacks; its
            embedding is zero and stays so. None for sequences of numbers.
        features: F, for sequences of numbers.
    """

    def __init__(
        self,
        config: ClassifierModel,
        classes: int,
        vocabulary_size: int | None = None,
        features: int | None = None,
    ) -> None:
        super().__init__()
        if (vocabulary_size is None) == (features is None):
            raise ValueError("give vocabulary_size for tokens, or features for numbers")
        self.config = config
        self.embedding = None
        if vocabulary_size is not None:
            self.embedding = nn.Embedding(vocabulary_size + 1, config.embedding, padding_idx=vocabulary_size)
        input_size = config.embedding if features is None else features
        self.recurrent = self._recurrent(input_size)
        self.pooling = Pooling(config.pooling, self.recurrent.output_size, self.recurrent.directions)
        self.output = nn.Linear(self.recurrent.output_size, classes)
        initialise(self)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits of each sequence's classes.

        Args:
            inputs: (T, B) int64 tokens, or (T, B, F) float features; past a length anything but NaN.
            lengths: (B,) int64 on the CPU, each in [1, T].
        Returns:
            (B, C).
        """
        if self.embedding is not None:
            inputs = drop_words(self.embedding(inputs), self.config.word_dropout, self.training)
        outputs, _ = self.recurrent(self._drop(inputs), lengths=lengths)
        pooled = self.pooling(outputs, lengths)
        return self.output(F.dropout(pooled, self.config.output_dropout, self.training))

    def _drop(self, inputs: Tensor) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(inputs, self.config.input_dropout, self.training)
        return F.dropout(inputs, self.config.input_dropout, self.training)

    def _recurrent(self, input_size: int) -> Recurrent | FeedForward:
        config = self.config
        if config.cell == "none":
            return FeedForward(input_size, config.hidden, config.layers, config.dropout)
        return Recurrent(
            config.cell,
            input_size,
            config.hidden,
            num_layers=config.layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            locked_dropout=config.locked_dropout,
            **config.cell_options(),
        )


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


@torch.no_grad()
def initialise(model: Classifier) -> None:
    """Recurrent matrices orthogonal, biases zero, forget gates open, embeddings small.

    Embeddings from N(0, 1), torch's default, would drown what few sentences can teach them.
    """
    config = model.config
    if model.embedding is not None:
        nn.init.normal_(model.embedding.weight, std=config.embedding_range)
        model.embedding.weight[-1].zero_()
    if isinstance(model.recurrent, FeedForward):
        return
    for cell in model.recurrent.cells:
        if isinstance(cell, GatedCell):
            nn.init.orthogonal_(cell.weight_hh)
            for bias in (cell.bias_ih, cell.bias_hh):
                if bias is not None:
                    nn.init.zeros_(bias)
        if isinstance(cell, LSTM):
            cell.set_forget_bias(config.forget_bias)
