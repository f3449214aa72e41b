"""Clips of a moving shape, with a label for every frame: where does it go?

No single frame tells: a shape in the middle may be on its way left or right, or stand still.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.video import write_video
from throughtime.demos.tables import write_table
from throughtime.tasks.tagger.segments import find_segments

if TYPE_CHECKING:
    from throughtime.tasks.tagger.run import TaggerRun

SUMMARY = "a small CNN and a GRU label every frame of a video: which way does a shape move?"

OPTIONS: dict[str, Any] = {
    "task": "tagger",
    "cell": "gru",
    "hidden": 64,
    "batch": 8,
    "chunk": 24,
    "epochs": 24,
    "learning_rate": 2e-3,
    # So small a network gains nothing from a second core, and loses much where that one is busy.
    "threads": 1,
}

LABELS = ("left", "right", "up", "down", "still")
_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
ARROWS = {"left": "<", "right": ">", "up": "^", "down": "v", "still": "."}
SHAPES = ("disc", "square", "cross")

SIZE = 64
FRAMES = 96
RATE = 25
TRAINING_CLIPS = 150
UNSEEN_CLIPS = 12
# In frames: long enough to be seen, and short enough that a clip has several.
_SHORTEST, _LONGEST = 8, 24
# Pixels a frame.
_SLOWEST, _FASTEST = 1.5, 3.0
# How near to the edge a shape's middle comes; no shape has a larger radius.
_MARGIN = 10


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
        clip = f"clip_{number:03}.mp4"
        labels, places = draw_path(generator)
        write_video(folder / clip, draw_frames(places, generator), RATE)
        ranges = [(segment.start, segment.stop, LABELS[segment.label]) for segment in find_segments(labels)]
        write_table((folder / clip).with_suffix(".csv"), [("start", "end", "label"), *ranges])
        listed.append((clip, clip.replace(".mp4", ".csv")))
    write_table(folder / "metadata.csv", [("file_name", "labels"), *listed])


def draw_path(generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where the shape is in each frame, (T, 2): across and down; and what it does, (T,) numbers of LABELS.

    It stays in the picture: it goes only where there is room for a whole segment.
    """
    place = generator.uniform(_MARGIN, SIZE - _MARGIN, 2)
    labels: list[int] = []
    places: list[NDArray[np.float64]] = []
    while len(labels) < FRAMES:
        speed = generator.uniform(_SLOWEST, _FASTEST)
        rooms = [_room(place, speed, number) for number in range(len(LABELS))]
        possible = [
            number
            for number, room in enumerate(rooms)
            if room >= _SHORTEST and (not labels or number != labels[-1])
        ]
        label = possible[generator.integers(len(possible))]
        length = int(generator.integers(_SHORTEST, min(_LONGEST, rooms[label]) + 1))
        for _ in range(length):
            place = place + speed * np.array(_STEPS[label])
            places.append(place)
        labels += [label] * length
    return np.array(labels[:FRAMES]), np.array(places[:FRAMES])


def _room(place: NDArray[np.float64], speed: float, label: int) -> int:
    """How many frames the shape can do this for before it leaves the picture."""
    across, down = _STEPS[label]
    if (across, down) == (0, 0):
        return _LONGEST
    at, step = (place[0], across) if across else (place[1], down)
    return int(((SIZE - _MARGIN - at) if step > 0 else (at - _MARGIN)) / speed)


def draw_frames(places: NDArray[np.float64], generator: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip: a shape of some colour and size over a grey background, with a little noise."""
    background = np.full((SIZE, SIZE, 3), generator.integers(10, 60))
    colour = generator.integers(140, 256, 3)
    radius = generator.uniform(6, _MARGIN)
    kind = SHAPES[generator.integers(len(SHAPES))]
    for place in places:
        pixels = background.copy()
        pixels[_shape(kind, place, radius)] = colour
        noise = generator.integers(-8, 9, pixels.shape)
        yield np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _shape(kind: str, place: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Which pixels belong to the shape, (SIZE, SIZE)."""
    axis = np.arange(SIZE)
    across, down = np.abs(axis - place[0])[None, :], np.abs(axis - place[1])[:, None]
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
        f"{1 / len(LABELS):.0%}).\nSegmental F1@50 is {scores['f1@50']:.1%}, the edit score "
        f"{scores['edit']:.1%}.\n"
    )
    yield f"\nA picture: throughtime predict {run.folder} {unseen / 'clip_000.mp4'} --timeline timeline.png\n"


def _signs(labels: list[str]) -> str:
    return "".join(ARROWS[label] for label in labels[::2])
