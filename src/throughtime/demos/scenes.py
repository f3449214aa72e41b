"""Scenes of coloured shapes, drawn here, with captions that say where they stand to each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.demos.tables import write_table
from throughtime.files import naming

if TYPE_CHECKING:
    from PIL import Image

SUMMARY = "a CNN and an LSTM learn together to say what stands where in a picture, and where to look"
OPTIONS: dict[str, Any] = {
    "task": "captioner",
    "hidden": 128,
    "embedding": 64,
    "image_input": "late-attention",
    "attention_size": 64,
    # Seven words need not look at all of 64 places.
    "attention_penalty": 0.0,
    # The CNN's 128 features as they are: a narrower way in loses shapes that it has just learned to see.
    "image_embedding": 0,
    "input_dropout": 0.0,
    "output_dropout": 0.0,
    "feature_dropout": 0.0,
    "epochs": 18,
    "batch": 64,
    "learning_rate": 2e-3,
}

COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 180),
    "yellow": (250, 210, 20),
    "purple": (148, 60, 189),
}
SHAPES = ("circle", "square", "triangle")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

SIDE = 64
# Scenes are drawn larger and made smaller, for smooth edges.
_SCALE = 4
# Pictures of each split, and of how many of the 420 scenes: the splits share none.
_PICTURES = {"train": 3000, "validation": 120, "test": 120}
_SCENES = {"train": 300, "validation": 60, "test": 60}
_REFERENCES = 3
_SHOWN = 12


@dataclass(frozen=True)
class Thing:
    """A coloured shape."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Two things and how the first stands to the second."""

    first: Thing
    relation: str
    second: Thing

    @staticmethod
    def all() -> list[Scene]:
        """Every scene, once: what is left of the other comes first, or above it."""
        things = [Thing(colour, shape) for colour in COLOURS for shape in SHAPES]
        return [
            Scene(first, relation, second)
            for first in things
            for second in things
            for relation in ("left of", "above")
            if first != second
        ]

    def turned(self) -> Scene:
        """The same, said from the other thing."""
        return Scene(self.second, OPPOSITE[self.relation], self.first)

    def captions(self) -> list[str]:
        """Everything that is said of the scene: both orders, in two wordings."""
        return [
            f"{beginning}a {scene.first} {scene.relation} a {scene.second}"
            for beginning in ("", "there is ")
            for scene in (self, self.turned())
        ]

    def picture(self, generator: random.Random) -> Image.Image:
        """The scene with sizes, places and background by chance, 64 x 64."""
        from PIL import Image, ImageDraw

        side, grey = SIDE * _SCALE, generator.randint(225, 255)
        image = Image.new("RGB", (side, side), (grey, grey, grey))
        draw = ImageDraw.Draw(image)
        along = (generator.uniform(0.20, 0.32), generator.uniform(0.68, 0.80))
        # Across the relation both lie anywhere, but nearer to each other than along it.
        middle = generator.uniform(0.3, 0.7)
        across = [min(max(middle + generator.uniform(-0.12, 0.12), 0.2), 0.8) for _ in range(2)]
        for thing, a, b in zip((self.first, self.second), along, across, strict=True):
            x, y = (a, b) if self.relation == "left of" else (b, a)
            _draw_thing(draw, thing, x * side, y * side, generator.uniform(0.11, 0.17) * side)
        return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def write(folder: Path, seed: int) -> Path:
    """Write scenes as PNG files with metadata.csv. The test pictures show scenes that no training one shows.

    Args:
        folder: gets the images and the table.
        seed: the same seed draws the same scenes.
    Returns:
        The folder: what `throughtime train` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    scenes = Scene.all()
    generator.shuffle(scenes)
    rows = [("file_name", "caption", "split")]
    for split, count in _PICTURES.items():
        known, scenes = scenes[: _SCENES[split]], scenes[_SCENES[split] :]
        for number in range(count):
            scene = generator.choice(known)
            name = f"{split}_{number:04}.png"
            with naming(folder / name):
                scene.picture(generator).save(folder / name)
            captions = scene.captions()
            # A training picture has some of what can be said, as real data does; a test picture all.
            said = generator.sample(captions, _REFERENCES) if split == "train" else captions
            rows += [(name, caption, split) for caption in said]
    write_table(folder / "metadata.csv", rows)
    return folder


def show(run: Any, folder: Path) -> Iterator[str]:
    """Captions of unseen scenes beside what is there, and how many say something true."""
    from throughtime.data.tables import BadRows
    from throughtime.tasks.captioner.captions import read_captions

    test = read_captions(folder, BadRows(), normalise=True).of_split("test")
    captions = run.caption([image.path for image in test])
    true = 0
    yield "Scenes that were in no training picture, what the model says, and one thing that is true:\n\n"
    for number, (image, caption) in enumerate(zip(test, captions, strict=True)):
        right = caption.text in image.captions
        true += right
        if number < _SHOWN:
            mark = "yes" if right else "no "
            yield f"  {mark}  {image.name}  {caption.text:58}  {image.captions[0]}\n"
    yield f"\n{true} of {len(test)} captions are true.\n"
    first = test[0].path
    yield f"Where it looked: throughtime caption {run.folder} {first} --show captioned.png\n"


def _draw_thing(draw: Any, thing: Thing, x: float, y: float, radius: float) -> None:
    colour, box = COLOURS[thing.colour], (x - radius, y - radius, x + radius, y + radius)
    if thing.shape == "circle":
        draw.ellipse(box, fill=colour)
    elif thing.shape == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)], fill=colour)
