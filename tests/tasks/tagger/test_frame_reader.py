"""The frames of videos, arrays and sounds, block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.audio import LogMel
from throughtime.errors import DataError
from throughtime.tasks.tagger.frame_reader import BLOCK, FrameReader, kind_of, starts_of
from throughtime.tasks.tagger.options import FrameData


def test_clips_are_told_apart_by_their_names() -> None:
    kinds = ["video", "array", "array", "sound"]
    assert [kind_of(name) for name in ("a.MP4", "a.npz", "a.csv", "a.wav")] == kinds
    with pytest.raises(
        DataError, match=r"a\.png: clips are videos .*\.mp4.*; sounds .*wav.*; arrays .*\.npy"
    ):
        kind_of("a.png")


def test_arrays_come_in_blocks_with_times_where_the_rate_is_known(tmp_path: Path) -> None:
    array = np.arange(2 * (BLOCK + 3), dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "a.npy", array)
    reader = FrameReader("array", FrameData(frame_rate=50))
    assert [len(block) for block, _ in reader.blocks(tmp_path / "a.npy")] == [BLOCK, 3]
    frames, seconds = reader.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(frames, array)
    assert seconds is not None
    np.testing.assert_allclose(seconds, np.arange(BLOCK + 3) / 50)
    reader.accept(frames, seconds)
    reader.accept(frames, np.zeros(len(frames)))  # a video that shows all of its frames at one moment
    assert reader.rates == [pytest.approx(50)]
    assert FrameReader("array", FrameData()).read(tmp_path / "a.npy")[1] is None


def test_later_arrays_have_to_be_like_the_first(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    np.save(tmp_path / "b.npy", np.zeros((4, 3)))
    reader = FrameReader("array", FrameData())
    reader.accept(*reader.read(tmp_path / "a.npy"))
    with pytest.raises(DataError, match=r"b\.npy has 3 features a frame, expected 2"):
        reader.read(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"c\.mp4 is a video, where an array is expected"):
        reader.read(tmp_path / "c.mp4")


def test_a_sound_has_a_frame_every_hop_and_its_middle_as_time(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", noise, 16000, subtype="FLOAT")
    reader = FrameReader("sound", FrameData())
    frames, seconds = reader.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(frames, LogMel(8000)(noise))
    assert seconds is not None
    np.testing.assert_allclose(seconds[:3], [0.0125, 0.0225, 0.0325])
    reader.accept(frames, seconds)
    assert reader.rates == [pytest.approx(100)]
    with pytest.raises(DataError, match=r"b\.wav has 16000 samples a second, expected 8000"):
        reader.read(tmp_path / "b.wav")


def test_what_is_said_of_a_frame_begins_between_two_middles() -> None:
    np.testing.assert_allclose(starts_of(LogMel(8000), 0, 3), [0, 0.0175, 0.0275])
    np.testing.assert_allclose(starts_of(LogMel(8000), 2, 1), [0.0275])


def test_a_clip_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    from throughtime.data.video import write_video

    write_video(tmp_path / "a.mp4", (np.zeros((32, 32, 3), np.uint8) for _ in range(200)))
    reader = FrameReader("video", FrameData(), image_size=16)
    assert len(reader.read(tmp_path / "a.mp4")[0]) == 200
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", "100000")
    with pytest.raises(DataError, match=r"the frames of .*a\.mp4 take 147,456 bytes: the limit is 100,000"):
        reader.read(tmp_path / "a.mp4")
    assert sum(len(block) for block, _ in reader.blocks(tmp_path / "a.mp4")) == 200  # a stream has no end
