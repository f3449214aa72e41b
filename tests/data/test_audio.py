"""Log-mel frames: known frequencies, known windows, and sound files that are broken."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.audio import (
    LogMel,
    LogMelStream,
    frames,
    hann,
    hertz_to_mel,
    mel_filterbank,
    open_sound,
    read_sound,
    write_sound,
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


def read(path: Path, rate: int | None = None) -> np.ndarray:
    return read_sound(path, rate, 40, 0.025, 0.01)[0]


@pytest.mark.parametrize(
    "count", [1, 199, 200, 201, 279, 280, 281, 200 + 1023 * 80, 200 + 1024 * 80 - 1, 200 + 1024 * 80, 300_000]
)
def test_frames_of_blocks_are_bit_for_bit_those_of_the_whole(count: int) -> None:
    mel = LogMel(8000)  # windows of 200 samples, hops of 80
    samples = np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)
    whole = mel(samples)
    assert len(whole) == mel.count(count)
    # As the definition says, all windows at once.
    spectrum = np.fft.rfft(frames(samples, 200, 80) * hann(200), 256)
    energies = (np.abs(spectrum) ** 2 / 256) @ mel_filterbank(8000, 256, 40).T
    np.testing.assert_allclose(whole, np.log(np.maximum(energies, 1e-10)), rtol=1e-5, atol=1e-5)
    for size in (1, 79, 80, 200, 4096, 82_000) if count < 1000 else (997, 82_000, 82_040, 1 << 18):
        pieces = [samples[start : start + size] for start in range(0, count, size)]
        np.testing.assert_array_equal(np.concatenate(list(mel.blocks(pieces))), whole)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.integers(0, 99))
def test_however_a_sound_is_cut_its_frames_stay_the_same(sizes: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=sum(sizes) + 1)
    mel = LogMel(8000, window=0.5, hop=0.03)  # 16 frames a block
    pieces = np.split(samples, np.cumsum(sizes))
    np.testing.assert_array_equal(np.concatenate(list(mel.blocks(pieces))), mel(samples))


def test_a_file_is_read_in_blocks_and_gives_the_frames_of_its_samples(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (400_000, 2))
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, samples, 8000)
        decoded, _ = soundfile.read(tmp_path / name, dtype="float32")
        np.testing.assert_array_equal(read(tmp_path / name), LogMel(8000)(decoded.mean(1)))


def test_memory_does_not_grow_with_the_sound_but_for_its_frames(tmp_path: Path) -> None:
    minute = np.random.default_rng(2).normal(0, 0.1, 16_000 * 60).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 16_000, 1) as file:
        for _ in range(10):
            file.write(minute)
    read(tmp_path / "long.wav")  # libraries are loaded
    tracemalloc.start()
    try:
        features = read(tmp_path / "long.wav")
        # The samples alone would be 38 MB, their windows 190 MB, their spectra 250 MB.
        assert tracemalloc.get_traced_memory()[1] - features.nbytes < 40 << 20
    finally:
        tracemalloc.stop()
    assert features.shape == (59_998, 40)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named(tmp_path: Path, bad: float) -> None:
    samples = np.zeros((300_000, 2), np.float32)
    samples[270_000, 1] = bad
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a\.wav sample 270,000: \S+ is not a finite number"):
        read(tmp_path / "a.wav")


def test_a_changed_rate_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 16_000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[27] = 0x10  # the highest byte of the rate but one bit: 268 million a second
    (tmp_path / "a.wav").write_bytes(content)
    message = r"a\.wav has 268,451,456 samples a second: the limit is 768,000 .*THROUGHTIME_MAX_SAMPLE_RATE"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.wav")
    content[24:28] = (20).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    # The options are right for other sounds: it is this file that can be left out.
    with pytest.raises(DataError, match=r"a\.wav: a window of 0\.025 s and a hop of 0\.01 s do not fit"):
        read(tmp_path / "a.wav")


def test_a_sound_of_more_frames_than_the_limit_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(160_000), 8000)
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", "300000")
    with pytest.raises(DataError, match=r"the frames of .*a\.flac take 319,680 bytes: the limit is 300,000"):
        read(tmp_path / "a.flac")


def test_a_filterbank_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(OptionError, match="too many to compute"):
        LogMel(48_000, bands=40, window=30.0)


def test_a_stream_gives_the_same_frames_however_it_is_cut() -> None:
    mel, samples = LogMel(8000), np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    streams = []
    for size in (1, 79, 80, 1500, 3000):
        stream = LogMelStream(mel)
        parts = [stream.feed(samples[start : start + size]) for start in range(0, len(samples), size)]
        streams.append(np.concatenate(parts))
    for one in streams[1:]:
        np.testing.assert_array_equal(one, streams[0])
    np.testing.assert_allclose(streams[0], mel(samples), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mel.middles(2, 2), [0.0325, 0.0425])


def test_a_sound_is_written_and_read_again(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 500)
    for name in ("a.wav", "a.flac"):
        write_sound(tmp_path / name, samples, 8000)
        with open_sound(tmp_path / name, 8000) as sound:
            np.testing.assert_allclose(np.concatenate(list(sound.pieces)), samples, atol=1e-4)
        with (
            pytest.raises(DataError, match="8000 samples a second, expected 16000"),
            open_sound(tmp_path / name, 16000),
        ):
            pass
