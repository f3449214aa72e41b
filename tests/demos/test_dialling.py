"""The demo of transcription: telephone numbers as they sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.config import resolve
from throughtime.demos import demo_named, dialling
from throughtime.recognition import recognise


def test_the_data_is_in_the_format_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("soundfile")
    monkeypatch.setattr(dialling, "_RECORDINGS", 6)
    monkeypatch.setattr(dialling, "_UNSEEN_RECORDINGS", 3)
    source = dialling.write(tmp_path / "a", 1)
    assert demo_named("sound") is dialling
    assert recognise(source).task == "transcriber"
    assert resolve(dialling.OPTIONS, {"source": str(source)}).task == "transcriber"
    dialling.write(tmp_path / "b", 1)
    for name in ("recordings/metadata.csv", "recordings/005.wav", "unseen/002.wav"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_numbers_differ_and_sound_as_they_are_dialled() -> None:
    generator = np.random.default_rng(0)
    assert len({*dialling.compose(generator, 300)}) == 300
    samples = dialling.dial(generator, "5")
    strongest = np.argsort(np.abs(np.fft.rfft(samples)))[-400:] * dialling.RATE / len(samples)
    for tone in (770, 1336):
        assert np.abs(strongest - tone).min() < 20
