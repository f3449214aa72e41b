"""Models to and from elsewhere: ONNX files out, the weights of torch.nn and Keras in and out.

Nothing here needs PyTorch, except to build a layer and to compare an export with the run's own model.
"""

from typing import TYPE_CHECKING

from throughtime.interchange.keras_weights import from_keras, to_keras
from throughtime.interchange.recurrence_weights import CellWeights, RecurrenceWeights
from throughtime.interchange.torch_weights import from_torch, to_torch

if TYPE_CHECKING:
    from throughtime.interchange.language_model_weights import import_language_model
    from throughtime.interchange.onnx_files import export_onnx

__all__ = [
    "CellWeights",
    "RecurrenceWeights",
    "export_onnx",
    "from_keras",
    "from_torch",
    "import_language_model",
    "to_keras",
    "to_torch",
]


# Imported when first asked for: reading weights needs no run folders.
_LAZY = {"export_onnx": "onnx_files", "import_language_model": "language_model_weights"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _LAZY:
        return getattr(import_module(f"throughtime.interchange.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'throughtime.interchange' has no attribute {name!r}")
