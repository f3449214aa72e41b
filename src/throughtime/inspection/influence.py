"""How much each earlier input mattered to a prediction.

The gradient of the predicted log-probability with respect to each input embedding; its norm is the input's
influence. Cost: one forward and one backward pass a prediction, for several predictions in one batch.

Source: "connectivity", Madsen 2019 ("Visualizing memorization in RNNs", Distill).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.inspection.windows import embed
from throughtime.runtime.outputs import check_finite


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


def shares(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Influences (T, S) as shares of each row; zeros where nothing mattered, as to a saturated network.

    Raises:
        NotANumberError: one is not finite.
    """
    whole = check_finite(norms, "the influence").sum(axis=1, keepdims=True)
    return norms / np.maximum(whole, np.finfo(float).tiny)


def influence_by_step(
    model: nn.Module, sources: Sequence[nn.Module], log_probabilities: Callable[[], Tensor]
) -> list[NDArray[np.float64]]:
    """How much each output of some modules mattered to each step that a network wrote.

    Args:
        model: the network, in evaluation mode.
        sources: modules whose outputs (S, 1, E) or (1, S, E) or (1, E) count: embeddings, an image's encoder.
        log_probabilities: runs the network on one example; (T,), the log-probability of each written token.
    Returns:
        For each time that one of the modules was called, in that order, (T, S): the norm of
        d log p_t / d output_s. Cost: a backward pass a step.
    """
    leaves: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    hooks = [module.register_forward_hook(keep) for module in dict.fromkeys(sources)]
    try:
        with torch.enable_grad():
            written = log_probabilities()
    finally:
        for hook in hooks:
            hook.remove()
    rows: list[list[NDArray[np.float64]]] = [[] for _ in leaves]
    for value in written:
        gradients = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
        for row, leaf, gradient in zip(rows, leaves, gradients, strict=True):
            norms = torch.zeros(leaf.shape[:-1]) if gradient is None else gradient.norm(dim=-1)
            row.append(norms.flatten().double().cpu().numpy())
    return [np.stack(row) for row in rows]


def translation_influence(
    model: Any, source: NDArray[np.integer], target: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much each source token, and each token written before, mattered to each token of a translation.

    Args:
        model: a Translator in evaluation mode.
        source: (S,), without END.
        target: (T,), the translation with END.
    Returns:
        (T, S + 1), END of the source last; and (T, T), column 0 is START, column t the token t - 1.
    """
    read = torch.tensor([*map(int, source), model.source_end])[:, None]
    wanted = torch.as_tensor(np.asarray(target, dtype=np.int64))
    fed = torch.cat([torch.tensor([model.start]), wanted[:-1]])[:, None]

    def log_probabilities() -> Tensor:
        readouts, _ = model(read, torch.tensor([len(read)]), fed)
        return model.logits(readouts)[:, 0].log_softmax(-1).gather(1, wanted[:, None])[:, 0]

    first, second = influence_by_step(
        model, [model.source_embedding, model.target_embedding], log_probabilities
    )
    return first, second


def caption_influence(
    model: Any, image: NDArray[Any], tokens: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much the image, and each word written before, mattered to each word of a caption.

    Args:
        model: a Captioner in evaluation mode.
        image: what the model reads of one image.
        tokens: (T,), the caption with END.
    Returns:
        (T, P): the image's places, one where its features are pooled; and (T, T), column 0 is START.
    """
    wanted = torch.as_tensor(np.asarray(tokens, dtype=np.int64))
    fed = torch.cat([torch.tensor([model.start]), wanted[:-1]])[:, None]

    def log_probabilities() -> Tensor:
        logits, _ = model(torch.from_numpy(np.asarray(image)[None]), fed)
        return logits[:, 0].log_softmax(-1).gather(1, wanted[:, None])[:, 0]

    features, words = influence_by_step(model, [model.encoder, model.embedding], log_probabilities)
    return features, words
