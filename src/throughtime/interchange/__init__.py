"""Models to and from elsewhere: ONNX files out, the weights of torch.nn and Keras in and out.

Nothing here needs PyTorch, except to build a layer and to compare an export with the run's own model.
"""

from typing import TYPE_CHECKING

from throughtime.interchange.keras_weights import from_keras, to_keras
from throughtime.interchange.recurrence_weights import CellWeights, RecurrenceWeights
from throughtime.interchange.torch_weights import from_torch, to_torch

if TYPE_CHECKING:
    from throughtime.interchange.onnx_files import export_onnx

__all__ = [
    "CellWeights",
    "RecurrenceWeights",
    "export_onnx",
    "from_keras",
    "from_torch",
    "to_keras",
    "to_torch",
]


def __getattr__(name: str) -> object:
    if name == "export_onnx":  # imported late: reading weights needs no run folders
        from throughtime.interchange.onnx_files import export_onnx

        return export_onnx
    raise AttributeError(f"module 'throughtime.interchange' has no attribute {name!r}")
