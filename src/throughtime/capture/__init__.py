"""From PyTorch definitions to programs. Needs torch."""

from throughtime.capture.cell import capture_cell
from throughtime.capture.network import capture_network

__all__ = ["capture_cell", "capture_network"]
