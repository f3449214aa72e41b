"""Where to look: soft attention over the places of a feature grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionOverImage(nn.Module):
    """A weighted mean of the grid's features, the weights chosen by the state before each word.

        e_i   = w . tanh(W_a a_i + W_h h_{t-1})             equation 4 (the attention model f_att is an MLP)
        alpha = softmax(e)                                   equation 5
        beta  = sigmoid(w_beta . h_{t-1} + b_beta)           section 4.2.1, the gating scalar
        z_t   = beta sum_i alpha_i a_i                       equation 13
        o_t   = E y_{t-1} + L_h h_t + L_z z_t                equation 7, before the output layer

    Args:
        size: A, features of a place.
        hidden_size: H, of the recurrence's output.
        attention_size: K, units of the MLP.
        embedding_size: E, of a word; also of what `read_out` returns.
    Source: Xu et al. 2015, arXiv 1502.03044.
    """

    def __init__(self, size: int, hidden_size: int, attention_size: int, embedding_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(size, attention_size)
        self.query = nn.Linear(hidden_size, attention_size, bias=False)
        self.score = nn.Linear(attention_size, 1, bias=False)
        self.gate = nn.Linear(hidden_size, 1)
        self.hidden_out = nn.Linear(hidden_size, embedding_size)
        self.context_out = nn.Linear(size, embedding_size, bias=False)

    def project(self, grid: Tensor) -> Tensor:
        """The scores' part that is the same at every step: (B, P, A) -> (B, P, K)."""
        return self.key(grid)

    def forward(self, hidden: Tensor, grid: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the image.

        Args:
            hidden: (B, T, H), the recurrence's output before each step; of late attention, after it.
            grid: (B, P, A).
            keys: (B, P, K), what `project` returned.
        Returns:
            z (B, T, A) and alpha (B, T, P), which sums to 1.
        """
        scores = self.score(torch.tanh(keys[:, None] + self.query(hidden)[:, :, None])).squeeze(-1)
        alpha = torch.softmax(scores.float(), -1)
        return torch.sigmoid(self.gate(hidden)) * torch.bmm(alpha.to(grid.dtype), grid), alpha

    def read_out(self, hidden: Tensor, word: Tensor, context: Tensor) -> Tensor:
        """What the output layer reads (B, E): the state after the step, the word read, what was looked at."""
        return word + self.hidden_out(hidden) + self.context_out(context)


def doubly_stochastic_penalty(alpha: Tensor, counts: Tensor) -> Tensor:
    """Asks that every place is looked at as much as any other over the whole caption.

    Args:
        alpha: (T, B, P).
        counts: (T, B) bool: the steps that belong to a caption.
    Returns:
        The mean over captions of sum_i (1 - sum_t alpha_ti)^2.
    Source: Xu et al. 2015, equation 14.
    """
    looked = (alpha * counts.unsqueeze(-1)).sum(0)
    return (1 - looked).square().sum(-1).mean()
