"""Weights in a quarter or half of the space: int8 with a scale for each row, or bfloat16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.runtime.weights import PRECISION, SCALE, Weights, write_weights

PRECISIONS = ("int8", "bf16")
# Matrices of the recurrence; every linear layer's and every embedding's name ends in ".weight".
_MATRICES = ("weight_ih", "weight_hh", "weight_hr")


def quantise(weights: Weights, precision: str) -> bytes:
    """A safetensors file's bytes with every matrix in fewer bits; vectors stay float32.

    int8: q = round(w / s), s = max |w| / 127 over each row; what reads the file gives back q s. The engine
    finds the same q and s again, so that it computes with what is in the file.

    Args:
        weights: of a run.
        precision: "int8" or "bf16".
    Raises:
        OptionError: the precision is another.
        CheckpointError: a tensor is not finite.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"weights can be kept as {' or '.join(PRECISIONS)}, not as {precision!r}")
    tensors: dict[str, NDArray[np.generic]] = {}
    bfloats: list[str] = []
    for name in weights:
        tensor = weights[name]
        if tensor.ndim != 2 or not (name.endswith(_MATRICES) or name.endswith(".weight")):
            tensors[name] = tensor
        elif precision == "bf16":
            tensors[name] = round_bf16(tensor)
            bfloats.append(name)
        else:
            scales = np.abs(tensor).max(1, initial=0) / np.float32(127)
            divisors = np.where(scales > 0, scales, 1)[:, None]
            tensors[name] = np.clip(np.rint(tensor / divisors), -127, 127).astype(np.int8)
            tensors[name + SCALE] = scales.astype(np.float32)
    return write_weights(tensors, {**weights.metadata, PRECISION: precision}, bfloats)


def round_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, a tie to even; finite numbers only."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
