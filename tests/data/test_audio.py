"""Log-mel frames: known frequencies, known windows, and sound files that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.audio import (
    LogMel,
    frames,
    hann,
    hertz_to_mel,
    mel_filterbank,
    open_sound,
    read_sound,
)
from throughtime.errors import DataError, OptionError

soundfile = pytest.importorskip("soundfile")


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hertz_to_mel`, to know where the bands' centres lie."""
    return 700 * (10 ** (mel / 2595) - 1)


def tone(hertz: float, seconds: float = 0.5, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_the_mel_scale_has_its_published_values() -> None:
    assert hertz_to_mel(0) == 0
    assert hertz_to_mel(700) == pytest.approx(2595 * 0.3010299957)  # log10(2)
    assert hertz_to_mel(1000) == pytest.approx(1000, abs=0.02)
    assert hertz_to_mel(8000) == pytest.approx(2840.02, abs=0.01)
    assert mel_to_hertz(hertz_to_mel(np.array([50.0, 440.0, 7999.0]))) == pytest.approx([50, 440, 7999])


def test_two_bands_are_triangles_that_meet() -> None:
    # 8 kHz and 8 points: bins at 0, 1000, 2000, 3000, 4000 Hz. The corners at thirds of 2146.1 mel.
    bank = mel_filterbank(8000, 8, 2)
    third = hertz_to_mel(4000) / 3
    mel = hertz_to_mel(np.array([0.0, 1000.0, 2000.0, 3000.0, 4000.0]))
    expected = [
        [0, 2 - mel[1] / third, 0, 0, 0],
        [0, mel[1] / third - 1, 3 - mel[2] / third, 3 - mel[3] / third, 0],
    ]
    assert bank == pytest.approx(np.array(expected), abs=1e-9)
    assert bank[:, 1] == pytest.approx([0.6021, 0.3979], abs=1e-4)


def test_between_the_first_and_the_last_centre_every_bin_counts_once() -> None:
    bank = mel_filterbank(16000, 512, 40)
    centres = mel_to_hertz(np.linspace(0, hertz_to_mel(8000), 42)[1:-1])
    bins = np.arange(257) * 16000 / 512
    inside = (bins >= centres[0]) & (bins <= centres[-1])
    assert bank.sum(0)[inside] == pytest.approx(np.ones(inside.sum()))
    assert (bank >= 0).all()
    assert bank.max() <= 1


def test_frames_overlap_and_leave_out_the_rest() -> None:
    assert frames(np.arange(10.0), 4, 3).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert frames(np.arange(9.0), 4, 3).shape == (2, 4)
    assert frames(np.array([1.0, 2.0]), 4, 3).tolist() == [[1, 2, 0, 0]]


def test_the_hann_window_has_its_literal_values() -> None:
    assert hann(4) == pytest.approx([0, 0.5, 1, 0.5])


@pytest.mark.parametrize("hertz", [300, 1000, 2500])
def test_a_tone_is_loudest_in_the_band_around_its_frequency(hertz: float) -> None:
    mel = LogMel(8000, bands=26)
    energies = mel(tone(hertz))
    centres = mel_to_hertz(np.linspace(0, hertz_to_mel(4000), 28)[1:-1])
    assert energies.shape == (1 + (4000 - 200) // 80, 26)
    assert energies.dtype == np.float32
    assert set(energies.argmax(1)) == {int(np.abs(hertz_to_mel(centres) - hertz_to_mel(hertz)).argmin())}


def test_twice_as_loud_is_four_times_the_energy() -> None:
    mel = LogMel(8000)
    difference = mel(tone(1000)) - mel(0.5 * tone(1000))
    loud = mel(tone(1000)) > -15
    assert difference[loud] == pytest.approx(np.full(loud.sum(), np.log(4)), abs=1e-4)


def test_silence_is_quiet_but_finite() -> None:
    assert LogMel(8000)(np.zeros(500)) == pytest.approx(np.full((4, 40), np.log(1e-10)))


def test_what_does_not_fit_the_rate_is_refused() -> None:
    with pytest.raises(OptionError, match="100 Hz"):
        LogMel(100, hop=0.001)
    with pytest.raises(OptionError, match=r"200 mel bands are more than the 128 bins"):
        LogMel(8000, bands=200)


def test_sound_files_come_back_as_one_channel(tmp_path: Path) -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], 1)
    soundfile.write(tmp_path / "two.wav", stereo, 8000)
    with open_sound(tmp_path / "two.wav") as sound:
        assert (sound.rate, sound.samples) == (8000, 100)
        assert np.concatenate(list(sound.pieces)) == pytest.approx(np.full(100, 0.125))


def test_broken_sound_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"RIFF....nothing")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    for name, message in [("noise.wav", "broken"), ("empty.wav", "0 samples"), ("none.wav", "no such file")]:
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            read_sound(tmp_path / name, None, 40, 0.025, 0.01)
