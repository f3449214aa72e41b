"""Sound as frames of log-mel energies: what of a sound changes from one hundredth of a second to the next.

A frame is a short window of samples; its power spectrum is summed in triangular bands that are equally wide
on the mel scale, which is roughly how the ear divides frequencies; the logarithm makes loudness additive.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import EXAMPLE_BYTES, SAMPLE_RATE
from throughtime.data.numbers import as_float32
from throughtime.errors import DataError, MissingExtraError, OptionError
from throughtime.extras import install_command
from throughtime.files import write_atomically

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg")

# exp(-23): about the power of the last bit of 16, so that digital silence is quiet and not minus infinity.
_LEAST_ENERGY = 1e-10

# Samples of all channels that are decoded at once: 1 MB, whatever the number of channels.
_DECODED_AT_A_TIME = 1 << 18
# Points of spectra that are computed at once: 1,000 frames at 16 kHz, 20 MB with all that comes between.
_POINTS_AT_A_TIME = 1 << 19
# Samples of a stream that are turned into frames at once: four seconds at 16 kHz.
_STREAMED_AT_A_TIME = 1 << 16
# Numbers in the filterbank: 128 MB, 1,000 times what speech takes.
_LARGEST_FILTERBANK = 1 << 24


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
        if self.bands * (self.fft_size // 2 + 1) > _LARGEST_FILTERBANK:
            raise OptionError(
                f"{self.bands} mel bands of {self.fft_size // 2} bins are too many to compute: use fewer "
                f"bands or a window shorter than {self.window} s"
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

    def count(self, samples: int) -> int:
        """T, how many frames so many samples make."""
        return 1 + max(0, samples - self.window_samples) // self.hop_samples

    def middles(self, first: int, count: int) -> NDArray[np.float64]:
        """The times in the middle of some frames, (count,) seconds.

        Args:
            first: the number of the first one.
            count: how many.
        """
        samples = (first + np.arange(count)) * self.hop_samples + self.window_samples / 2
        return samples / self.rate

    def __call__(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Log-mel energies of a sound.

        Args:
            samples: (N,) in [-1, 1], N >= 1; less than a window is filled up with silence, and what is left
                after the last whole hop is left out.
        Returns:
            (T, M), T = 1 + (N - window) // hop; natural logarithms.
        """
        return np.concatenate(list(self.blocks([samples])))

    def blocks(self, pieces: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.float32]]:
        """Log-mel energies of a sound that comes piece by piece, in constant memory.

        However the sound is cut, the frames are the same to the bit: they are computed in blocks that begin
        at the same frames, as sums of matrix products may depend on how many rows there are.

        Args:
            pieces: (N_i,) each.
        Yields:
            (T_i, M).
        """
        window, hop = self.window_samples, self.hop_samples
        together = max(1, _POINTS_AT_A_TIME // self.fft_size)
        bank, shape = mel_filterbank(self.rate, self.fft_size, self.bands).T, hann(window)

        def energies(samples: NDArray[np.floating]) -> NDArray[np.float32]:
            spectrum = np.fft.rfft(frames(samples, window, hop) * shape, self.fft_size)
            power = (spectrum.real**2 + spectrum.imag**2) / self.fft_size
            return np.log(np.maximum(power @ bank, _LEAST_ENERGY)).astype(np.float32)

        waiting: list[NDArray[np.floating]] = []
        have, needed, begun = 0, window + (together - 1) * hop, False
        for piece in pieces:
            waiting.append(piece)
            have += len(piece)
            if have < needed:
                continue
            rest = np.concatenate(waiting)
            while len(rest) >= needed:
                yield energies(rest[:needed])
                rest, begun = rest[together * hop :], True
            waiting, have = [rest], len(rest)
        if have >= window or not begun:
            yield energies(np.concatenate(waiting))


class LogMelStream:
    """Log-mel frames of a sound that comes as it is made, each as soon as its last sample is there.

    However the sound is cut, the frames are the same to the bit: each is computed by itself. They differ from
    those of `LogMel.blocks`, which multiplies many at once, by rounding.

    Args:
        mel: how.
    """

    def __init__(self, mel: LogMel) -> None:
        self._mel = mel
        self._bank = mel_filterbank(mel.rate, mel.fft_size, mel.bands).T
        self._shape = hann(mel.window_samples)
        # Samples that the next frames begin with: all that is to be kept of the sound.
        self.rest = np.zeros(0, np.float32)

    def feed(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """The frames (T, M) that samples (N,) complete; T may be 0."""
        # Spectra take 20 times the memory of samples, so long pieces are cut.
        parts = [
            self._feed(samples[start : start + _STREAMED_AT_A_TIME])
            for start in range(0, len(samples), _STREAMED_AT_A_TIME)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self._mel.bands), np.float32)

    def _feed(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        mel = self._mel
        self.rest = np.concatenate([self.rest, samples])
        if len(self.rest) < mel.window_samples:
            return np.zeros((0, mel.bands), np.float32)
        whole = frames(self.rest, mel.window_samples, mel.hop_samples)
        spectrum = np.fft.rfft(whole * self._shape, mel.fft_size)
        power = (spectrum.real**2 + spectrum.imag**2) / mel.fft_size
        # Row by row: a product of several rows may sum in another order.
        energies = np.stack([row @ self._bank for row in power])
        self.rest = self.rest[len(whole) * mel.hop_samples :]
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


@dataclass(frozen=True)
class Sound:
    """An open sound file.

    Args:
        rate: samples a second.
        samples: N, as the file announces it; it may be cut off before.
        pieces: the samples (N_i,) in [-1, 1], the mean of all channels.
    """

    rate: int
    samples: int
    pieces: Iterator[NDArray[np.float32]]


def write_sound(path: str | Path, samples: NDArray[np.floating], rate: int) -> None:
    """Write samples (N,) in [-1, 1] as a sound file of 16 bits.

    Raises:
        MissingExtraError: soundfile is not installed.
    """
    content = io.BytesIO()
    _soundfile().write(content, samples, rate, format=Path(path).suffix.removeprefix("."), subtype="PCM_16")
    write_atomically(path, content.getvalue())


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError(
            f"sound files need soundfile: install it with `{install_command('audio')}`"
        ) from None
    return soundfile


@contextmanager
def open_sound(path: str | Path, rate: int | None = None) -> Iterator[Sound]:
    """Open a sound file; its samples are decoded as they are asked for.

    Args:
        path: .wav, .flac or .ogg.
        rate: the samples a second that it has to have; None takes what it has.
    Raises:
        DataError: the file is missing, broken or holds no samples; or its rate is above the limit, or
            another. While samples are read: a sample is not a finite number.
        MissingExtraError: soundfile is not installed.
    """
    soundfile = _soundfile()
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise DataError(f"{path} is broken or not a sound file: {error}") from None
    with file:
        SAMPLE_RATE.check(file.samplerate, f"{path} has")
        if rate is not None and file.samplerate != rate:
            raise DataError(
                f"{path} has {file.samplerate} samples a second, expected {rate} as in the first one: "
                f"resample it"
            )
        yield Sound(file.samplerate, file.frames, _pieces(path, file))


def _pieces(path: Path, file: Any) -> Iterator[NDArray[np.float32]]:
    start, size = 0, max(1, _DECODED_AT_A_TIME // file.channels)
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except RuntimeError as error:  # soundfile's own errors are of this kind
            raise DataError(f"{path} is broken after sample {start:,}: {error}") from None
        if not len(block):
            break
        with np.errstate(over="ignore", invalid="ignore"):
            one = block.mean(1)
        yield as_float32(one, lambda sample, start=start: f"{path} sample {start + sample:,}")
        start += len(block)
    if not start:
        raise DataError(f"{path} holds no sound: it has 0 samples")


def read_sound(
    path: str | Path, rate: int | None, bands: int, window: float, hop: float
) -> tuple[NDArray[np.float32], int]:
    """Read a sound file as log-mel frames; beside these it takes a few megabytes, however long it is.

    Args:
        path: .wav, .flac or .ogg.
        rate: the samples a second that it has to have; None takes what it has.
        bands, window, hop: of `LogMel`.
    Returns:
        (T, bands), and the samples a second.
    Raises:
        DataError: the file is missing, broken, empty, of another rate or too long, or a sample is not a
            finite number.
    """
    with open_sound(path, rate) as sound:
        try:
            mel = LogMel(sound.rate, bands, window, hop)
        except OptionError as error:  # of a strange rate: with another the options are right
            raise DataError(f"{path}: {error}") from None
        announced = mel.count(sound.samples)
        EXAMPLE_BYTES.check(4 * announced * bands, f"the frames of {path} take")
        # Memory that is not written to is not taken, so a file that announces too much costs nothing.
        features, done = np.empty((announced, bands), np.float32), 0
        for block in mel.blocks(sound.pieces):
            features[done : done + len(block)] = block
            done += len(block)
        return features[:done], sound.rate
