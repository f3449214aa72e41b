"""Clips of a moving shape, with a label for every frame: where does it go?

No single frame tells: a shape in the middle may be on its way left or right, or stand still.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.video import write_video

if TYPE_CHECKING:
    from throughtime.run.tagger import TaggerRun

SUMMARY = "a small CNN and an LSTM label every frame of a video: which way does a shape move?"

OPTIONS: dict[str, Any] = {
    "task": "tagger",
    "hidden": 64,
    "batch": 8,
    "chunk": 40,
    "epochs": 40,
    "learning_rate": 3e-3,
    "dropout": 0.1,
}

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
ARROWS = {"left": "<", "right": ">", "up": "^", "down": "v", "still": "."}

SIZE = 64
FRAMES = 96
RATE = 25
TRAINING_CLIPS = 60
UNSEEN_CLIPS = 12
# A segment is long enough to be seen, and short enough that a clip has several.
_SHORTEST, _LONGEST = 8, 24


def write(folder: Path, seed: int) -> Path:
    """Write the training clips, and unseen ones beside them.

    Returns:
        The folder of the training clips: metadata.csv, clips and their labels.
    """
    generator = np.random.default_rng(seed)
    for name, count in (("training", TRAINING_CLIPS), ("unseen", UNSEEN_CLIPS)):
        write_clips(folder / name, count, generator)
    return folder / "training"


def write_clips(folder: Path, count: int, generator: np.random.Generator) -> None:
    """Write clips as .mp4, the ranges of their labels as .csv, and a metadata.csv that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number in range(count):
        segments = draw_segments(generator)
        write_video(folder / f"clip_{number:03}.mp4", draw_frames(segments, generator), RATE)
        with (folder / f"clip_{number:03}.csv").open("w", newline="", encoding="utf-8") as file:
            rows, start = csv.writer(file, lineterminator="\n"), 0
            rows.writerow(["start", "end", "label"])
            for label, length in segments:
                rows.writerow([start, start + length, label])
                start += length
        listed.append([f"clip_{number:03}.mp4", f"clip_{number:03}.csv"])
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["file_name", "labels"], *listed])


def draw_segments(generator: np.random.Generator) -> list[tuple[str, int]]:
    """Labels and lengths that fill a clip; neighbours differ."""
    segments: list[tuple[str, int]] = []
    remaining = FRAMES
    while remaining > 0:
        length = int(generator.integers(_SHORTEST, _LONGEST + 1))
        if remaining - length < _SHORTEST:
            length = remaining
        others = [label for label in DIRECTIONS if not segments or label != segments[-1][0]]
        segments.append((others[generator.integers(len(others))], length))
        remaining -= length
    return segments


def draw_frames(
    segments: list[tuple[str, int]], generator: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip: a shape over a still, blotchy background, both with a little noise.

    The picture has no walls: what leaves it on one side comes in on the other, so that the place of the
    shape says nothing about where it goes.
    """
    background = np.full((SIZE, SIZE, 3), generator.integers(10, 60))
    colour = generator.integers(140, 256, 3)
    radius = generator.uniform(7, 11)
    kind = ("disc", "square", "cross")[generator.integers(3)]
    place = generator.uniform(0, SIZE, 2)
    for label, length in segments:
        speed = generator.uniform(1.5, 3.0)
        for _ in range(length):
            place = (place + speed * np.array(DIRECTIONS[label])) % SIZE
            pixels = background.copy()
            pixels[_shape(kind, place, radius)] = colour
            noise = generator.integers(-8, 9, pixels.shape)
            yield np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _shape(kind: str, place: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Which pixels belong to the shape, (SIZE, SIZE)."""
    axis = np.arange(SIZE)
    across, down = ((axis - position + SIZE / 2) % SIZE - SIZE / 2 for position in place)
    across, down = np.abs(across)[None, :], np.abs(down)[:, None]
    if kind == "disc":
        return across**2 + down**2 <= radius**2
    if kind == "square":
        return (across <= 0.9 * radius) & (down <= 0.9 * radius)
    return ((across <= radius) & (down <= radius / 3)) | ((across <= radius / 3) & (down <= radius))


def show(run: TaggerRun, folder: Path) -> Iterator[str]:
    """The labels of unseen clips beside the truth, and how good they are."""
    unseen = folder / "unseen"
    yield "Unseen clips, a sign for every second frame (< left, > right, ^ up, v down, . still):\n"
    for number in range(3):
        clip = unseen / f"clip_{number:03}.mp4"
        truth = [run.labels[label] for label in run.read_labels(clip.with_suffix(".csv"), clip)]
        yield f"\n  truth      {_signs(truth)}\n  predicted  {_signs(run.label_frames(clip))}\n"
    scores = run.evaluate(unseen)
    yield (
        f"\nOn all {UNSEEN_CLIPS} unseen clips {scores['accuracy']:.1%} of the frames are right (by chance: "
        f"{1 / len(DIRECTIONS):.0%}).\nSegmental F1@50 is {scores['f1@50']:.1%}, the edit score "
        f"{scores['edit']:.1%}.\n"
    )
    yield f"\nA picture: throughtime predict {run.folder} {unseen / 'clip_000.mp4'} --timeline timeline.png\n"


def _signs(labels: list[str]) -> str:
    return "".join(ARROWS[label] for label in labels[::2])
