"""Attention over a source: which of its places a step of the decoder looks at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from throughtime.errors import OptionError


@dataclass(frozen=True)
class Memory:
    """A batch of sources as attention wants it.

    Args:
        values: (B, S, M), what the encoder says at each place.
        keys: (B, S, K), the part of the scores that does not depend on the query.
        mask: (B, S) bool, true where the source has a token.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor


class Attention(nn.Module, ABC):
    """Scores each place of a memory for a query; their softmax weighs the values into one context.

    Args:
        query_size: Q, of the decoder's hidden state.
        memory_size: M, of what the encoder gives out.
    """

    # Whether the keys are something else than the values.
    has_keys = True

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.query_size = query_size
        self.memory_size = memory_size

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """Prepare a batch of sources once, for all steps of the decoder.

        Args:
            values: (S, B, M), time first, as the encoder gives them out.
            mask: (S, B) bool, true where the source has a token; every source has at least one.
        """
        values, mask = values.transpose(0, 1).contiguous(), mask.transpose(0, 1).contiguous()
        return Memory(values, self._keys(values), mask)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Look at the sources.

        Args:
            queries: (B, T, Q), any number of steps for each source.
            memory: what `remember` returned, of the same B.
        Returns:
            The contexts (B, T, M), and the weights (B, T, S): they sum to 1 and are exactly 0 at padding.
        """
        return self.look(self.ask(queries), memory)

    def look(self, asked: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """`forward` from what `ask` gave, (B, T, Q)."""
        scores = self._scores(asked, memory.keys)
        if scores.dtype in (torch.bfloat16, torch.float16):
            scores = scores.float()  # eight bits are too few for the sum of a softmax
        weights = scores.masked_fill(~memory.mask[:, None, :], -torch.inf).softmax(-1)
        return torch.bmm(weights.to(memory.values.dtype), memory.values), weights

    @abstractmethod
    def _keys(self, values: Tensor) -> Tensor:
        """(B, S, M) -> (B, S, K)."""

    def ask(self, queries: Tensor) -> Tensor:
        """The part of the scores that does not depend on the sources: (..., Q) -> (..., Q)."""
        return queries

    @abstractmethod
    def _scores(self, asked: Tensor, keys: Tensor) -> Tensor:
        """(B, T, Q) of `ask`, (B, S, K) -> (B, T, S)."""


class LuongAttention(Attention):
    """Multiplicative attention.

        score(h_t, h_s) = h_t . h_s              dot: needs Q = M
        score(h_t, h_s) = h_t . W_a h_s          general

    Args:
        query_size: Q.
        memory_size: M.
        score: "general" or "dot".
    Raises:
        OptionError: the sizes differ for "dot".
    Source: Luong, Pham and Manning 2015, equations 7 and 8.
    """

    def __init__(self, query_size: int, memory_size: int, score: str = "general") -> None:
        super().__init__(query_size, memory_size)
        if score == "dot" and query_size != memory_size:
            raise OptionError(
                f"attention_score dot needs an encoder as wide as the decoder: {memory_size} against "
                f"{query_size}; use general, or change --encoder-hidden"
            )
        self.weight = nn.Linear(memory_size, query_size, bias=False) if score == "general" else None
        self.has_keys = self.weight is not None

    def _keys(self, values: Tensor) -> Tensor:
        return values if self.weight is None else self.weight(values)

    def _scores(self, asked: Tensor, keys: Tensor) -> Tensor:
        return torch.bmm(asked.to(keys.dtype), keys.transpose(1, 2))


class BahdanauAttention(Attention):
    """Additive attention.

        e_ij = v . tanh(W s_{i-1} + U h_j)

    Args:
        query_size: Q.
        memory_size: M.
    Source: Bahdanau, Cho and Bengio 2015, appendix A.1.2.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.query_weight = nn.Linear(query_size, query_size, bias=False)
        self.memory_weight = nn.Linear(memory_size, query_size, bias=False)
        self.score_weight = nn.Linear(query_size, 1, bias=False)

    def _keys(self, values: Tensor) -> Tensor:
        return self.memory_weight(values)

    def ask(self, queries: Tensor) -> Tensor:
        return self.query_weight(queries)

    def _scores(self, asked: Tensor, keys: Tensor) -> Tensor:
        sums = asked[:, :, None, :] + keys[:, None, :, :]  # (B, T, S, Q)
        return self.score_weight(torch.tanh(sums)).squeeze(-1)
