"""A file of numbers or a sound as the steps of one example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.config.sound import SoundFrames
from throughtime.data.arrays import Fill, read_array
from throughtime.data.audio import read_sound
from throughtime.data.features import FeatureSpace


def read_features(
    path: str | Path,
    is_sound: bool,
    space: FeatureSpace | None,
    sound: SoundFrames,
    columns: str | None = None,
    fill: Fill = "none",
) -> tuple[NDArray[np.float32], FeatureSpace]:
    """Read one array or one sound.

    Args:
        path: .csv, .tsv, .npy or .npz; or .wav, .flac or .ogg.
        is_sound: which of them.
        space: the features that there have to be; None takes what there is.
        sound: how sounds become frames.
        columns, fill: of arrays, see `read_array`.
    Returns:
        (T, F), and the features that it has: `space`, where that was given.
    Raises:
        DataError: the file is missing, broken or has other features than it should.
    """
    if is_sound:
        rate = None if space is None else space.rate
        bands = sound.mel_bands
        array, found = read_sound(path, rate, bands, sound.frame_seconds, sound.frame_hop)
        return array, space or FeatureSpace(tuple(f"mel {band}" for band in range(bands)), found)
    expected = None if space is None else space.names
    array, names = read_array(path, expected, columns, fill)
    return array, space or FeatureSpace(names)
