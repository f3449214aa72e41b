"""The drawn scenes: what is said of them is true, and the splits share none."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.demos import scenes
from throughtime.demos.scenes import COLOURS, Scene, Thing
from throughtime.run.history import read_metrics
from throughtime.tasks.captioner.captions import read_captions

pytest.importorskip("PIL")


def place(pixels: np.ndarray, colour: str) -> np.ndarray:
    """The middle (x, y) of what has a colour."""
    rows, columns = np.nonzero(np.abs(pixels.astype(int) - COLOURS[colour]).max(-1) < 40)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("relation", ["left of", "above"])
def test_a_picture_shows_what_its_captions_say(relation: str) -> None:
    generator = random.Random(5)
    for _ in range(20):
        scene = Scene(Thing("red", "circle"), relation, Thing("blue", "square"))
        pixels = np.asarray(scene.picture(generator))
        assert pixels.shape == (64, 64, 3)
        red, blue = place(pixels, "red"), place(pixels, "blue")
        along = 0 if relation == "left of" else 1
        assert red[along] < blue[along]
        assert abs(blue - red)[along] > abs(blue - red)[1 - along]


def test_a_scene_is_said_from_both_things() -> None:
    scene = Scene(Thing("red", "circle"), "left of", Thing("blue", "square"))
    assert scene.captions() == [
        "a red circle left of a blue square",
        "a blue square right of a red circle",
        "there is a red circle left of a blue square",
        "there is a blue square right of a red circle",
    ]
    assert scene.turned().turned() == scene


def test_every_scene_is_there_once() -> None:
    every = Scene.all()
    assert len(every) == len(set(every)) == 15 * 14 * 2
    assert len({frozenset(scene.captions()) for scene in every}) == len(every)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.write(tmp_path_factory.mktemp("demo") / "scenes", seed=1)


def test_test_scenes_are_in_no_training_picture(written: Path) -> None:
    data = read_captions(written, BadRows(), normalise=True)
    said = {
        split: {caption for image in data.of_split(split) for caption in image.captions}
        for split in ("training", "validation", "test")
    }
    assert not said["training"] & said["test"] and not said["training"] & said["validation"]
    assert len(data.of_split("test")) == 120
    assert all(len(image.captions) == 4 for image in data.of_split("test"))
    assert all(len(image.captions) == 3 for image in data.of_split("training"))


@pytest.mark.slow  # trains in smaller batches than the command does, and for two epochs only
def test_the_demonstration_learns(written: Path, tmp_path: Path) -> None:
    import throughtime as tt

    run = tt.train(str(written), out=tmp_path / "run", **{**scenes.OPTIONS, "epochs": 2, "batch": 32})
    losses = [row["val_loss"] for row in read_metrics(run.folder) if "val_loss" in row]
    # Who does not look at the picture stays at 0.85; at the end of the command's training it is 0.15.
    assert losses[0] > losses[-1] and losses[-1] < 0.75, losses
    lines = "".join(scenes.show(run, written))
    assert lines.count(".png  ") == 12 and " of 120 captions are true" in lines
