"""The drawn scenes: what is said of them is true, and the splits share none."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.demos import scenes
from throughtime.demos.scenes import COLOURS, Scene, Thing
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


@pytest.mark.slow  # trains in smaller batches than the command does, and for half as long
def test_the_demonstration_learns(written: Path, tmp_path: Path) -> None:
    import throughtime as tt

    run = tt.train(str(written), out=tmp_path / "run", **{**scenes.OPTIONS, "epochs": 9, "batch": 32})
    lines = "".join(scenes.show(run, written))
    true = int(lines.split(" of 120 captions are true")[0].split("\n")[-1])
    # By chance 1 of 420 would be, and all are when the command is done (docs/results.md).
    assert true >= 10, lines
