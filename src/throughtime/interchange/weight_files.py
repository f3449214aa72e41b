"""Weights from files that hold arrays and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from throughtime.data.npy import npz_names, read_npz
from throughtime.errors import DataError
from throughtime.interchange.recurrence_weights import Array

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_KERAS = (".h5", ".hdf5", ".keras")


def read_weight_file(path: str | Path) -> dict[str, Array]:
    """The arrays of a file by name, in the file's order.

    Args:
        path: .safetensors or .npz.
    Raises:
        DataError: the file is missing, damaged, or of a kind that is not read (the message says how to
            convert it).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise DataError(
            f"{path} is a pickle, which could run any program when it is read: where it comes from, write "
            f"safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    if suffix in _KERAS:
        raise DataError(
            f"{path} is a file of Keras: where it comes from, write "
            f"numpy.savez('weights.npz', *layer.get_weights()) with the recurrent layer"
        )
    if suffix not in (".safetensors", ".npz"):
        raise DataError(f"{path}: weights are read from .safetensors and .npz files")
    if not path.is_file():
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    try:
        if suffix == ".npz":
            return {name: read_npz(path, name) for name in npz_names(path)}
        from safetensors.numpy import load_file

        return load_file(path)
    except DataError as error:
        raise DataError(f"{path} cannot be read as weights: {str(error).removeprefix(f'{path} ')}") from None
    # SafetensorError and others: what safetensors raises has no common parent.
    except Exception as error:
        raise DataError(f"{path} cannot be read as weights: {error}") from None


def as_array(value: object, name: str) -> Array:
    """An array, or a tensor of PyTorch, as float32.

    Raises:
        DataError: it is something else, or holds a value that is no number.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()  # type: ignore[attr-defined]
    try:
        array = np.asarray(value)
        # Text would be read as numbers, where it is text at all.
        if array.dtype.kind in "USOMmc":
            raise TypeError
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
    except (TypeError, ValueError):
        kind = getattr(value, "dtype", type(value).__name__)
        raise DataError(f"{name} is {kind}, and no array of numbers") from None
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN, infinite values or some beyond 32 bits")
    return array
