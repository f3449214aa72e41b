"""From PyTorch definitions to programs. Needs torch.

`capture.network` is imported by itself: it stands on `Recurrent`, whose kernels stand on the captured cells.
"""

from throughtime.capture.cell import capture_cell, capture_projection, capture_step

__all__ = ["capture_cell", "capture_projection", "capture_step"]
