"""The best tags of a linear-chain CRF, and how probable each is: in NumPy, a batch at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Chain:
    """The scores of neighbouring tags, as `LinearChainCRF` has them.

    Args:
        scores: (Y + 2, Y): from tag to tag, from the beginning (row Y), to the end (row Y + 1).
    """

    def __init__(self, scores: NDArray[np.float32]) -> None:
        exact: Array = scores.astype(np.float64)
        self._transitions, self._begin, self._end = exact[:-2], exact[-2], exact[-1]

    @classmethod
    def independent(cls, tags: int) -> Chain:
        """One in which no tag minds its neighbours: what there is without a CRF."""
        return cls(np.zeros((tags + 2, tags), np.float32))

    def best(self, emissions: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tags with the highest score, (T, B); past a length they are 0.

        Args:
            emissions: (T, B, Y); what lies past a length is ignored.
            lengths: (B,), each in [1, T].
        Source: Viterbi 1967.
        """
        T, B, _ = emissions.shape
        rows = np.arange(B)
        scores = self._begin + emissions[0].astype(np.float64)
        came_from = np.zeros(emissions.shape, np.int64)
        for step in range(1, T):
            reached = scores[:, :, None] + self._transitions
            came_from[step] = reached.argmax(1)
            after = reached.max(1) + emissions[step]
            scores = np.where((step < lengths)[:, None], after, scores)
        tags = np.zeros((T, B), np.int64)
        last = (scores + self._end).argmax(1)
        for step in range(T - 1, -1, -1):
            # A sentence joins in at its own last word.
            here = step < lengths
            tags[step] = np.where(here, last, 0)
            last = np.where(here, came_from[step, rows, last], last)
        return tags

    def marginals(self, emissions: NDArray[np.float32], lengths: NDArray[np.int64]) -> Array:
        """How probable each tag of each word is, over all tags of the others: (T, B, Y), zero past a length.

        Args:
            emissions, lengths: as of `best`.
        Source: the forward-backward algorithm, Rabiner 1989, equations 19 to 27, in logarithms.
        """
        T = len(emissions)
        emitted = emissions.astype(np.float64)
        forward = np.empty_like(emitted)
        forward[0] = self._begin + emitted[0]
        for step in range(1, T):
            after = _log_sum_exp(forward[step - 1][:, :, None] + self._transitions, 1) + emitted[step]
            forward[step] = np.where((step < lengths)[:, None], after, forward[step - 1])
        backward = np.empty_like(emitted)
        backward[-1] = self._end
        for step in range(T - 2, -1, -1):
            ahead = backward[step + 1] + emitted[step + 1]
            before = _log_sum_exp(self._transitions + ahead[:, None, :], 2)
            backward[step] = np.where((step + 1 < lengths)[:, None], before, self._end)
        together = forward + backward
        probabilities = np.exp(together - _log_sum_exp(together, 2)[:, :, None])
        return np.where((np.arange(T)[:, None] < lengths[None, :])[:, :, None], probabilities, 0.0)

    def losses(
        self, emissions: NDArray[np.float32], tags: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Array:
        """-log p(tags) of each sentence, (B,), in nats.

        Args:
            emissions, lengths: as of `best`.
            tags: (T, B), the true ones.
        """
        T, B = tags.shape
        emitted = emissions.astype(np.float64)
        rows = np.arange(B)
        alpha = self._begin + emitted[0]
        score = self._begin[tags[0]] + emitted[0, rows, tags[0]]
        for step in range(1, T):
            here = step < lengths
            after = _log_sum_exp(alpha[:, :, None] + self._transitions, 1) + emitted[step]
            alpha = np.where(here[:, None], after, alpha)
            moved = self._transitions[tags[step - 1], tags[step]] + emitted[step, rows, tags[step]]
            score += np.where(here, moved, 0.0)
        score += self._end[tags[lengths - 1, rows]]
        return _log_sum_exp(alpha + self._end, 1) - score


def _log_sum_exp(values: Array, axis: int) -> Array:
    highest = values.max(axis, keepdims=True)
    return np.log(np.exp(values - highest).sum(axis)) + highest.squeeze(axis)
