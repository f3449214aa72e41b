"""The clips of moving shapes: real files, honest labels, and a task that needs the recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.data.video import decode_video
from throughtime.demos import DEMOS, clips, demo_named
from throughtime.tasks.tagger.clips import list_clips
from throughtime.tasks.tagger.frame_labels import read_frame_labels
from throughtime.tasks.tagger.run import TaggerRun
from throughtime.training import train

pytest.importorskip("av")


def test_the_labels_say_how_the_shape_moves() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        labels, places = clips.draw_path(generator)
        assert labels.shape == (clips.FRAMES,) and places.shape == (clips.FRAMES, 2)
        assert (places >= 9).all() and (places <= clips.SIZE - 9).all()
        moves = np.diff(places, axis=0)
        for label, (across, down) in zip(labels[1:], moves, strict=True):
            name = clips.LABELS[label]
            assert (across < 0) == (name == "left") and (across > 0) == (name == "right")
            assert (down < 0) == (name == "up") and (down > 0) == (name == "down")


def test_the_files_are_in_the_format_that_users_have(tmp_path: Path) -> None:
    clips.write_clips(tmp_path / "a", 3, np.random.default_rng(1))
    clips.write_clips(tmp_path / "b", 3, np.random.default_rng(1))
    for clip in list_clips(tmp_path / "a", BadRows()):
        names = read_frame_labels(clip.labels, clips.FRAMES)
        assert set(names) <= set(clips.LABELS)
        # The encoder's bytes are not always the same for the same frames; what is seen is, within the noise
        # that was drawn over them (8 levels): another clip is about 20 levels away.
        for one, two in zip(
            decode_video(clip.path, 32), decode_video(tmp_path / "b" / clip.path.name, 32), strict=True
        ):
            assert np.abs(one.pixels.astype(int) - two.pixels.astype(int)).mean() < 4


def test_the_demo_is_known() -> None:
    assert DEMOS["video"] == "clips"
    assert demo_named("video") is clips
    assert clips.OPTIONS["task"] == "tagger"


@pytest.mark.slow  # trains a CNN, twice, for half a minute each
def test_recurrence_learns_what_no_single_frame_tells(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    clips.write_clips(tmp_path / "training", 100, generator)
    clips.write_clips(tmp_path / "unseen", 12, generator)
    options: dict[str, Any] = {**clips.OPTIONS, "epochs": 8, "tensorboard": False}
    run = train(tmp_path / "training", out=tmp_path / "run", **options)
    options |= {"cell": "none", "epochs": 4}  # it has learned by then what it can
    baseline = train(tmp_path / "training", out=tmp_path / "baseline", **options)
    scores, others = run.evaluate(tmp_path / "unseen"), baseline.evaluate(tmp_path / "unseen")
    assert scores["accuracy"] > 0.65 > 0.45 > others["accuracy"]
    assert isinstance(run, TaggerRun)
    shown = "".join(clips.show(run, tmp_path))
    assert "unseen clips" in shown and "truth" in shown
