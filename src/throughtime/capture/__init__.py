"""From PyTorch definitions to programs. Needs torch."""

from throughtime.capture.cell import capture_cell, capture_projection, capture_step
from throughtime.capture.network import capture_network

__all__ = ["capture_cell", "capture_network", "capture_projection", "capture_step"]
