"""Trained networks without PyTorch: NumPy and the native module are all that this needs."""

from throughtime.runtime.weights import Weights, read_weights

__all__ = ["Weights", "read_weights"]
