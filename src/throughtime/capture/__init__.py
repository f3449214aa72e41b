"""From PyTorch definitions to programs. Needs torch."""

from throughtime.capture.cell import capture_cell, capture_projection, capture_step

__all__ = ["capture_cell", "capture_projection", "capture_step"]
