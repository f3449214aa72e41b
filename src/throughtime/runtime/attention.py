"""Attention without torch: which places of a source, or of a picture, a step of the decoder looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.layers import Array, Linear
from throughtime.runtime.network import Compute, linear_of, sigmoid, softmax
from throughtime.runtime.weights import Weights


@dataclass(frozen=True)
class Memory:
    """A batch of sources as attention wants it.

    Args:
        values: (B, S, M), what the encoder says at each place.
        keys: (B, S, K), the part of the scores that does not depend on the query.
        mask: (B, S) bool, true where the source has a token.
    """

    values: Array
    keys: Array
    mask: NDArray[np.bool_]

    def select(self, rows: NDArray[np.int64]) -> Memory:
        """The memory whose row i is row rows[i] of this one."""
        return Memory(self.values[rows], self.keys[rows], self.mask[rows])


class LuongAttention:
    """score(h_t, h_s) = h_t . W_a h_s; without W_a: dot. As `throughtime.models.attention.LuongAttention`.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        query_size: Q.
        memory_size: M.
        compute: how matrices are kept and multiplied.
        score: "general" or "dot".
    """

    def __init__(
        self, weights: Weights, prefix: str, query_size: int, memory_size: int, compute: Compute, score: str
    ) -> None:
        self._weight: Linear | None = None
        if score == "general":
            name = f"{prefix}weight"
            self._weight = linear_of(weights, name, compute, memory_size, query_size, bias=False)

    def remember(self, values: Array, mask: NDArray[np.bool_]) -> Memory:
        """Prepare sources (S, B, M), time first, with their mask (S, B), once for all steps."""
        values = np.ascontiguousarray(values.transpose(1, 0, 2))
        return Memory(values, values if self._weight is None else self._weight(values), mask.T)

    def __call__(self, queries: Array, memory: Memory) -> tuple[Array, Array]:
        """Contexts (B, T, M) and weights (B, T, S) for queries (B, T, Q)."""
        return _look(queries @ memory.keys.transpose(0, 2, 1), memory)


class BahdanauAttention:
    """e_ij = v . tanh(W s_{i-1} + U h_j); as `throughtime.models.attention.BahdanauAttention`.

    Args:
        weights, prefix, query_size, memory_size, compute: as for `LuongAttention`.
    """

    def __init__(
        self, weights: Weights, prefix: str, query_size: int, memory_size: int, compute: Compute
    ) -> None:
        self._query, self._memory = (
            linear_of(weights, f"{prefix}{name}_weight", compute, inputs, query_size, bias=False)
            for name, inputs in (("query", query_size), ("memory", memory_size))
        )
        self._score = weights.tensor(f"{prefix}score_weight.weight", (1, self._query.output_size))[0]

    def remember(self, values: Array, mask: NDArray[np.bool_]) -> Memory:
        """Prepare sources (S, B, M), time first, with their mask (S, B), once for all steps."""
        values = np.ascontiguousarray(values.transpose(1, 0, 2))
        return Memory(values, self._memory(values), mask.T)

    def __call__(self, queries: Array, memory: Memory) -> tuple[Array, Array]:
        """Contexts (B, T, M) and weights (B, T, S) for queries (B, T, Q)."""
        sums = self._query(queries)[:, :, None, :] + memory.keys[:, None, :, :]  # (B, T, S, Q)
        return _look(np.tanh(sums, out=sums) @ self._score, memory)


def _look(scores: Array, memory: Memory) -> tuple[Array, Array]:
    """Softmax of scores (B, T, S) over the places that have a token, and the values that it weighs."""
    weights = softmax(np.where(memory.mask[:, None, :], scores, np.float32(-np.inf)))
    return weights @ memory.values, weights


class AttentionOverImage:
    """Where to look on a feature grid; as `throughtime.models.attention_over_image.AttentionOverImage`.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        size: A, features of a place.
        hidden_size: H, of the recurrence's output.
        units: K, of the attention's MLP.
        embedding_size: E, of a word; also of what `read_out` returns.
        compute: how matrices are kept and multiplied.
    """

    def __init__(
        self,
        weights: Weights,
        prefix: str,
        size: int,
        hidden_size: int,
        units: int,
        embedding_size: int,
        compute: Compute,
    ) -> None:
        self._key = linear_of(weights, f"{prefix}key", compute, size, units)
        self._query = linear_of(weights, f"{prefix}query", compute, hidden_size, units, bias=False)
        self._score = weights.tensor(f"{prefix}score.weight", (1, units))[0]
        self._gate = linear_of(weights, f"{prefix}gate", compute, hidden_size, 1)
        self._hidden_out = linear_of(weights, f"{prefix}hidden_out", compute, hidden_size, embedding_size)
        self._context_out = linear_of(
            weights, f"{prefix}context_out", compute, size, embedding_size, bias=False
        )

    def project(self, grid: Array) -> Array:
        """The scores' part that is the same at every step: (B, P, A) -> (B, P, K)."""
        return self._key(grid)

    def __call__(self, hidden: Array, grid: Array, keys: Array) -> tuple[Array, Array]:
        """Look at the image: z (B, A) and alpha (B, P), for the output before this step (B, H)."""
        scores: Array = np.tanh(keys + self._query(hidden)[:, None]) @ self._score
        alpha = softmax(scores)
        mean: Array = (alpha[:, None] @ grid)[:, 0]
        return sigmoid(self._gate(hidden)) * mean, alpha

    def read_out(self, hidden: Array, word: Array, context: Array) -> Array:
        """What the output layer reads (B, E): the state after the step, the word read, what was looked at."""
        return word + self._hidden_out(hidden) + self._context_out(context)
