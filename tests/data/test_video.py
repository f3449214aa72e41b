"""Video files as streams of frames: real files, written and cut here."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.video import decode_video, write_video
from throughtime.errors import DataError

av = pytest.importorskip("av")


def frames(count: int, size: int = 64) -> Iterator[np.ndarray]:
    """Frame t is grey with brightness 2 t, its left upper quarter red."""
    for index in range(count):
        pixels = np.full((size, size, 3), 2 * index, np.uint8)
        pixels[: size // 2, : size // 2] = (200, 20, 20)
        yield pixels


def noise(count: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield generator.integers(0, 256, (64, 64, 3)).astype(np.uint8)


def test_frames_come_back_in_order_resized_and_with_their_times(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames(60), rate=20)
    decoded = list(decode_video(tmp_path / "clip.mp4", 16))
    assert len(decoded) == 60
    assert decoded[0].pixels.shape == (16, 16, 3) and decoded[0].pixels.dtype == np.uint8
    assert [frame.seconds for frame in decoded] == pytest.approx([index / 20 for index in range(60)])
    for index in (0, 30, 59):
        assert np.abs(decoded[index].pixels[12, 12].astype(int) - 2 * index).max() <= 6
        red, green, blue = decoded[index].pixels[2, 2].astype(int)
        assert red > 170 and green < 50 and blue < 50


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_that_was_cut_off_is_no_video(tmp_path: Path, suffix: str) -> None:
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    write_video(whole, noise(50))
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    assert len(list(decode_video(whole, 16))) == 50
    with pytest.raises(DataError, match=rf"part{suffix} is (broken or )?cut off"):
        list(decode_video(part, 16))


def test_a_broken_stretch_within_a_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, noise(50))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"clip\.mp4 is broken or cut off after frame \d+"):
        list(decode_video(path, 16))


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    for name, message in [
        ("none.mp4", "no such file"),
        ("text.mp4", "broken or cut off"),
        ("empty.mp4", "broken or cut off"),
        ("sound.wav", "has no video stream"),
    ]:
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            list(decode_video(tmp_path / name, 16))


def test_decoding_holds_one_frame_at_a_time(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", frames(120, size=128))
    stream = decode_video(tmp_path / "clip.mp4", 128)
    next(stream)
    tracemalloc.start()
    for _ in stream:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 128 * 128 * 3  # NumPy's part; 119 frames would be 15 times as much


def test_frames_of_more_pixels_than_the_limit_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, frames(5))
    assert len(list(decode_video(path, 16))) == 5
    monkeypatch.setenv("THROUGHTIME_MAX_FRAME_PIXELS", "4095")
    with pytest.raises(
        DataError, match=r"clip\.mp4 has frames of 4,096 pixels: the limit is 4,095 .*MAX_FRAME"
    ):
        list(decode_video(path, 16))


def test_a_codec_that_is_unknown_and_a_title_that_is_no_text_are_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, frames(5))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"avc1", b"xyz1").replace(b"mp4v", b"xyz1"))
    with pytest.raises(DataError, match=r"clip\.mp4 (has video in a codec that is not known|is broken)"):
        list(decode_video(path, 16))
    path.write_bytes(whole.replace(b"VideoHandler", b"Video\xff\xffndler"))
    assert len(list(decode_video(path, 16))) == 5
