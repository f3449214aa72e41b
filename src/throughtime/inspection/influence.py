"""How much each earlier input mattered to a prediction.

The gradient of the predicted log-probability with respect to each input embedding; its norm is the input's
influence. Cost: one forward and one backward pass a prediction, for several predictions in one batch.

Source: "connectivity", Madsen 2019 ("Visualizing memorization in RNNs", Distill).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.inspection.windows import embed


def influence(log_probability: Callable[[Tensor], Tensor], inputs: Tensor) -> NDArray[np.float64]:
    """The norm of d log p / d input at every step.

    Args:
        log_probability: inputs (T, N, I) -> (N,), the log-probability of what is predicted from each column.
        inputs: (T, N, I), the input vectors (embeddings).
    Returns:
        (T, N).
    """
    leaf = inputs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(log_probability(leaf).sum(), leaf)
    return torch.linalg.vector_norm(gradient.double(), dim=-1).cpu().numpy()


def language_model_influence(
    model: Any, tokens: NDArray[np.integer], state: Any = None, targets: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How much each token of a window mattered to what comes after it.

    Args:
        model: a LanguageModel in evaluation mode.
        tokens: (T, N), N windows.
        state: before the windows.
        targets: (N,), the predicted tokens; None are the most probable ones.
    Returns:
        The influence (T, N), and the targets (N,).
    """
    vectors = embed(model, np.asarray(tokens, dtype=np.int64))
    chosen: list[Tensor] = []

    def log_probability(inputs: Tensor) -> Tensor:
        outputs, _ = model.recurrent(inputs, state)
        logits = model.output(outputs[-1]).log_softmax(-1)
        wanted = logits.argmax(-1) if targets is None else torch.as_tensor(targets, dtype=torch.int64)
        chosen.append(wanted)
        return logits.gather(-1, wanted[:, None])[:, 0]

    norms = influence(log_probability, vectors)
    return norms, chosen[0].cpu().numpy()


def by_lag(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,): the mean share of each lag, 0 the last input, from influences (T, N)."""
    shares = norms / np.maximum(norms.sum(axis=0, keepdims=True), np.finfo(float).tiny)
    return shares.mean(axis=1)[::-1]
