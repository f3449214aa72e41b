"""The "hello" model of the tutorial, with its numbers at every step. NumPy only, no randomness."""

from __future__ import annotations

import numpy as np

LETTERS = "helo"
W_xh = np.array([[1, -0.5, 0.5, 0], [1.5, -0.5, -1, 0], [0.5, 1, 0, 0]])
W_hh = np.array([[0, -1, 0], [0, 0, -1], [-1.5, 1, 0.5]])
W_hy = np.array([[-1, 0.5, -0.5], [1, 2.5, 0.5], [-0.5, -2, 2.5], [0.5, -1, -2]])


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities from scores."""
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def steps() -> list[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]]:
    """For each letter read: it, the next one, h, y and p."""
    h, found = np.zeros(3), []
    for letter, following in zip("hell", "ello", strict=True):
        x = np.eye(4)[LETTERS.index(letter)]
        h = np.tanh(W_hh @ h + W_xh @ x)
        y = W_hy @ h
        found.append((letter, following, h, y, softmax(y)))
    return found
