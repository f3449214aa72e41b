"""A chunk length that follows the gradient: as short as the measured decay by lag allows.

Aicher, Foti and Fox 2019 (arXiv 1905.07473) bound the relative bias of truncated BPTT by the sums of the
norms phi_k = E |dL_t/dh_{t-k}|, measured for the first lags and extrapolated geometrically beyond. They cut
every step's gradient at the same lag; here chunks are contiguous, and step j of a chunk keeps the lags up to
j, so the share that is kept is averaged over j.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from throughtime.inspection.flow import gradient_flow
from throughtime.inspection.windows import cut_windows, embed
from throughtime.tasks.language_model.model import LanguageModel

SHORTEST, LONGEST, STEP = 16, 256, 8
TOLERANCE = 0.1
# Lags to measure, and places to measure at: a fraction of a second, once an epoch.
_LAGS, _WINDOWS = 256, 8


def measure_decay(model: LanguageModel, text: NDArray[Any]) -> NDArray[np.float64]:
    """phi_k, the mean norm of dL_t/dh_{t-k} over all layers' states, for the lags that the text allows."""
    was_training = model.training
    model.eval()
    lags = min(_LAGS, len(text) - 2)
    windows = cut_windows(model, text, lags, _WINDOWS)
    last = torch.from_numpy(windows.targets[-1])
    flow = gradient_flow(
        model.recurrent,
        embed(model, windows.tokens).detach(),
        windows.state,
        loss=lambda outputs: F.cross_entropy(model.output(outputs), last, reduction="none"),
        split_paths=False,
    )
    model.train(was_training)
    return np.sqrt(sum(layer.carried**2 for layer in flow.layers)).mean(axis=1)


def chunk_for(decay: NDArray[np.float64], tolerance: float = TOLERANCE) -> int:
    """The shortest chunk whose expected relative bias is within the tolerance.

    Args:
        decay: phi_k for k = 0, 1, ...
        tolerance: the share of the summed norms that may be lost.
    Returns:
        A multiple of 8 from 16 to 256; 256 where the norms do not decay.
    """
    if not np.isfinite(decay).all() or decay.sum() == 0:
        return LONGEST
    half = len(decay) // 2
    tail = np.maximum(decay[half:], np.finfo(float).tiny)
    slope = np.polyfit(np.arange(len(tail)), np.log(tail), 1)[0] if len(tail) > 1 else -np.inf
    if slope >= 0:
        return LONGEST
    factor = np.exp(slope)
    total = decay.sum() + decay[-1] * factor / (1 - factor)
    missing = max(LONGEST - len(decay), 0)
    decay = np.concatenate([decay, decay[-1] * factor ** np.arange(1, missing + 1)])
    kept_by_step = np.cumsum(decay) / total
    for chunk in range(SHORTEST, LONGEST, STEP):
        if 1 - kept_by_step[:chunk].mean() <= tolerance:
            return chunk
    return LONGEST
