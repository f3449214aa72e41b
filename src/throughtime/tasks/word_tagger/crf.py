"""A linear-chain conditional random field over tags: how probable a whole sequence of tags is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearChainCRF(nn.Module):
    """Scores of neighbouring tags, and what they make of a network's emissions.

    The score of tags y_1 ... y_T is begin[y_1] + sum_t emission[t, y_t] + sum_t transition[y_(t-1), y_t] +
    end[y_T]; their probability is exp(score) over the sum of exp(score) of all sequences of tags.

    Args:
        tags: Y.
    Attributes:
        scores: (Y + 2, Y): row y is from tag y to each tag, row Y from the beginning to each, row Y + 1 from
            each to the end.
    Source: Lafferty, McCallum and Pereira 2001; on top of an LSTM, Huang, Xu and Yu 2015.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.tags = tags
        self.scores = nn.Parameter(torch.empty(tags + 2, tags).uniform_(-0.1, 0.1))

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """-log p(tags), (B,), in nats; lower is better.

        Args:
            emissions: (T, B, Y) float; what lies past a length is ignored.
            tags: (T, B) int64, each below Y; past a length any of them.
            lengths: (B,) int64, each in [1, T].
        """
        return self.log_partition(emissions, lengths) - self.score(emissions, tags, lengths)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The score of given tags, (B,); arguments as of `forward`."""
        T, B = tags.shape
        lengths = lengths.to(emissions.device)
        real = torch.arange(T, device=emissions.device)[:, None] < lengths[None, :]
        emitted = emissions.gather(2, tags[:, :, None])[:, :, 0]
        moved = self.scores[tags[:-1], tags[1:]]
        rows = torch.arange(B, device=emissions.device)
        return (
            self.scores[self.tags, tags[0]]
            + emitted.masked_fill(~real, 0.0).sum(0)
            + moved.masked_fill(~real[1:], 0.0).sum(0)
            + self.scores[self.tags + 1, tags[lengths - 1, rows]]
        )

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of the sum of exp(score) over all sequences of tags, (B,).

        The forward algorithm: alpha_t(y) sums over all tags before that end in y. It is carried as its
        logarithm, so that no product of hundreds of small numbers becomes zero.

        Args:
            emissions, lengths: as of `forward`.
        """
        lengths = lengths.to(emissions.device)
        transitions, begin, end = self.scores[: self.tags], self.scores[self.tags], self.scores[self.tags + 1]
        # Taken apart once: the gradient of each emissions[step] would be a tensor of all steps.
        first, *others = emissions.unbind()
        alpha = begin + first
        for step, emitted in enumerate(others, 1):
            after = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emitted
            alpha = torch.where((step < lengths)[:, None], after, alpha)
        return torch.logsumexp(alpha + end, 1)
