"""Trained networks without PyTorch: NumPy and the native module are all that this needs."""

from throughtime.runtime.draws import Draws, Ended
from throughtime.runtime.engine import Engine
from throughtime.runtime.layers import Linear, Recurrent
from throughtime.runtime.stream import Stream
from throughtime.runtime.weights import Weights, read_weights

__all__ = ["Draws", "Ended", "Engine", "Linear", "Recurrent", "Stream", "Weights", "read_weights"]
