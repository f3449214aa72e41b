"""Sound as frames of log-mel energies: what of a sound changes from one hundredth of a second to the next.

A frame is a short window of samples; its power spectrum is summed in triangular bands that are equally wide
on the mel scale, which is roughly how the ear divides frequencies; the logarithm makes loudness additive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import DataError, MissingExtraError, OptionError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")

# exp(-23): about the power of the last bit of 16, so that digital silence is quiet and not minus infinity.
_LEAST_ENERGY = 1e-10


@dataclass(frozen=True)
class LogMel:
    """Turns samples into log-mel frames.

    Args:
        rate: samples a second.
        bands: M, how many mel bands from 0 to rate / 2.
        window: length of a frame in seconds.
        hop: from one frame's start to the next, in seconds.
    Raises:
        OptionError: a window is shorter than a hop, or has fewer bins than there are bands.
    """

    rate: int
    bands: int = 40
    window: float = 0.025
    hop: float = 0.01

    def __post_init__(self) -> None:
        if self.hop_samples < 1 or self.window_samples < max(2, self.hop_samples):
            raise OptionError(
                f"a window of {self.window} s and a hop of {self.hop} s do not fit sound of {self.rate} Hz: "
                f"the hop has to be a sample or more, and the window a hop or more"
            )
        if self.bands > self.fft_size // 2:
            raise OptionError(
                f"{self.bands} mel bands are more than the {self.fft_size // 2} bins of a window of "
                f"{self.window} s at {self.rate} Hz: use fewer bands or a longer window"
            )

    @property
    def window_samples(self) -> int:
        """Samples in a frame."""
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        """Samples from frame to frame."""
        return round(self.hop * self.rate)

    @property
    def fft_size(self) -> int:
        """The power of two that holds a frame."""
        return 1 << (self.window_samples - 1).bit_length()

    def __call__(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Log-mel energies of a sound.

        Args:
            samples: (N,) in [-1, 1], N >= 1; less than a window is filled up with silence, and what is left
                after the last whole hop is left out.
        Returns:
            (T, M), T = 1 + (N - window) // hop; natural logarithms.
        """
        windows = frames(samples, self.window_samples, self.hop_samples)
        spectrum = np.fft.rfft(windows * hann(self.window_samples), self.fft_size)
        power = (spectrum.real**2 + spectrum.imag**2) / self.fft_size
        energies = power @ mel_filterbank(self.rate, self.fft_size, self.bands).T
        return np.log(np.maximum(energies, _LEAST_ENERGY)).astype(np.float32)


def frames(samples: NDArray[np.floating], window: int, hop: int) -> NDArray[np.floating]:
    """Cut samples (N,) into overlapping windows (T, window), filled up with zeros to at least one."""
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    return np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]


def hann(size: int) -> NDArray[np.float64]:
    """The periodic Hann window: 0 at its beginning, 1 in its middle."""
    return 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)


def hertz_to_mel(hertz: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Frequencies on the mel scale: 1,000 Hz are 1,000 mel, nearly.

    Source: O'Shaughnessy 1987, "Speech Communication": 2595 log10(1 + f / 700).
    """
    return 2595 * np.log10(1 + np.asarray(hertz, dtype=np.float64) / 700)


def mel_filterbank(rate: int, fft_size: int, bands: int) -> NDArray[np.float64]:
    """Triangles of height 1 that overlap by half on the mel scale, from 0 to rate / 2.

    Returns:
        (bands, fft_size // 2 + 1): how much each bin of the spectrum counts in each band.
    Source: Davis and Mermelstein 1980, figure 1.
    """
    corners = np.linspace(0, hertz_to_mel(rate / 2), bands + 2)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    # Slopes are straight in mel, not in hertz: so a band between two bins still gets a share of one of them.
    bins = hertz_to_mel(np.arange(fft_size // 2 + 1) * rate / fft_size)[None, :]
    return np.maximum(0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))


def read_audio(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Read a sound file as one channel, the mean of all.

    Returns:
        The samples (N,) in [-1, 1], and how many make a second.
    Raises:
        DataError: the file is missing, broken or holds no samples.
        MissingExtraError: soundfile is not installed.
    """
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError(
            "sound files need soundfile: install it with `pip install 'throughtime[audio]'`"
        ) from None
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DataError(f"{path} is broken or not a sound file: {error}") from None
    if not len(samples):
        raise DataError(f"{path} holds no sound: it has 0 samples")
    return samples.mean(1), rate
