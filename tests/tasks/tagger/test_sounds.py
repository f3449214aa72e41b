"""A tagger of sounds: from segments in seconds to a stream of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.errors import DataError, OptionError
from throughtime.recognition import recognise
from throughtime.run import Run
from throughtime.tasks.tagger.run import TaggerRun
from throughtime.training import train

soundfile = pytest.importorskip("soundfile")
RATE, SECONDS = 4000, 1.0
PITCHES = {"low": 300.0, "high": 1200.0}
SMALL = {"hidden": 12, "epochs": 24, "learning_rate": 2e-2, "mel_bands": 12, "tensorboard": False}


def tones(seed: int) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Noise with a low and a high tone in it, in some order."""
    generator = np.random.default_rng(seed)
    samples = 0.003 * generator.standard_normal(int(RATE * SECONDS))
    segments, begin = [], 0.1
    for name in generator.permutation(list(PITCHES)):
        begin += generator.uniform(0.02, 0.1)
        end = begin + generator.uniform(0.15, 0.25)
        place = np.arange(int(begin * RATE), int(end * RATE))
        samples[place] += 0.3 * np.sin(2 * np.pi * PITCHES[name] * place / RATE)
        segments.append((begin, end, str(name)))
        begin = end + 0.05
    return samples.astype(np.float32), segments


def write_sounds(folder: Path, in_files: bool = False, count: int = 8) -> Path:
    """Sounds with their segments: in the table, or in a label track for each."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        samples, segments = tones(number)
        soundfile.write(folder / f"{number}.wav", samples, RATE)
        if in_files:
            track = "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in segments)
            (folder / f"{number}.txt").write_text(track)
            rows.append(f"{number}.wav,{number}.txt")
        else:
            rows += [f"{number}.wav,{start:.6f},{end:.6f},{label}" for start, end, label in segments]
    header = "file_name,labels" if in_files else "file_name,start,end,label"
    (folder / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TaggerRun:
    folder = tmp_path_factory.mktemp("sounds")
    found = train(write_sounds(folder / "data"), out=folder / "run", **SMALL)
    assert isinstance(found, TaggerRun)
    return found


def test_segments_are_found_in_seconds(run: TaggerRun) -> None:
    assert run.labels == ["background", "high", "low"]
    assert run.evaluate(run.folder.parent / "data")["f1@50"] > 0.9
    found = list(run.predict([run.folder.parent / "data" / "0.wav"]))
    expected = tones(0)[1]
    named = [one for one in found if one["label"] != "background"]
    assert [one["label"] for one in named] == [label for _, _, label in expected]
    for one, (start, end, _) in zip(named, expected, strict=True):
        assert one["start_seconds"] == pytest.approx(start, abs=0.05)
        assert one["end_seconds"] == pytest.approx(end, abs=0.05)
    assert found[0]["start_seconds"] == 0


def test_a_stream_of_samples_is_told_what_the_whole_sound_is(run: TaggerRun) -> None:
    samples, _ = tones(3)
    soundfile.write(run.folder.parent / "three.wav", samples, RATE, subtype="FLOAT")
    whole = run.label_frames(run.folder.parent / "three.wav")
    for size in (7, 50, 1000):
        session = run.session()
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        said = [one for chunk in chunks for one in session.feed(chunk)]
        assert [one["label"] for one in said] == whole
        assert [one["frame"] for one in said] == list(range(len(whole)))
    assert said[1]["seconds"] == pytest.approx(0.0175)
    assert list(run.stream(np.split(samples, 8))) == whole


def test_other_backends_and_precisions_say_the_same(run: TaggerRun) -> None:
    path = run.folder.parent / "data" / "1.wav"
    whole = run.label_frames(path)
    for backend, precision in (("torch", None), ("native", "int8")):
        other = Run.open(run.folder, backend, precision)
        assert isinstance(other, TaggerRun)
        same = np.mean([one == two for one, two in zip(whole, other.label_frames(path), strict=True)])
        assert same > 0.97


def test_what_is_no_sample_is_refused(run: TaggerRun) -> None:
    session = run.session()
    with pytest.raises(DataError, match=r"samples of int16 \(3,\), expected real numbers .*divide"):
        session.feed(np.zeros(3, np.int16))
    session.feed(np.zeros(5, np.float32))
    with pytest.raises(DataError, match="sample 6 of the stream"):
        session.feed(np.array([0, np.nan]))
    with pytest.raises(OptionError, match="sound is not read from standard input"):
        list(run.predict(["-"]))


def test_label_tracks_and_rows_teach_the_same(tmp_path: Path) -> None:
    rows, files = write_sounds(tmp_path / "rows", count=2), write_sounds(tmp_path / "files", True, count=2)
    for folder in (rows, files):
        found = recognise(folder)
        assert found.task == "tagger" and "time without a label is 'background' (--background)" in found.why
    assert "'quiet' (--background)" in recognise(files, {"background": "quiet"}).why
    assert "not learned" in recognise(files, {"background": ""}).why
    with pytest.raises(OptionError, match="--frame-rate is for arrays, and .* names sounds"):
        train(rows, out=tmp_path / "run", frame_rate=30.0)
