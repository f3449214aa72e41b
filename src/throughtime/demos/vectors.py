"""Vectors: shapes that were measured, each five numbers with noise, to be named (one to one).

No single number tells a square from a circle, as both come in all sizes; what they are lies in how area,
outline and sides go together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.demos.tables import write_table

if TYPE_CHECKING:
    from throughtime.tasks.classifier.run import ClassifierRun

SUMMARY = "five measurements of a shape, and which shape it is (one to one)"
OPTIONS: dict[str, Any] = {
    "task": "classifier",
    "cell": "none",
    "hidden": 64,
    "layers": 2,
    "dropout": 0.0,
    "output_dropout": 0.0,
    "input_dropout": 0.0,
    "epochs": 20,
    "batch": 32,
    "learning_rate": 5e-3,
}

TRAINING, TEST = "shapes.csv", "unseen.csv"
SHAPES = ("circle", "square", "rectangle", "triangle")
COLUMNS = ("width", "height", "area", "outline", "corners_seen")


def write(folder: Path, seed: int) -> Path:
    """Write shapes.csv (2,000) and unseen.csv (500 others), a column for each measurement and the label."""
    generator = np.random.Generator(np.random.PCG64(seed))
    for name, count in ((TRAINING, 2000), (TEST, 500)):
        rows: list[tuple[str, ...]] = [(*COLUMNS, "label")]
        for _ in range(count):
            measurements, shape = measure(generator)
            rows.append((*(f"{value:.4f}" for value in measurements), shape))
        write_table(folder / name, rows)
    return folder / TRAINING


def show(run: ClassifierRun, folder: Path) -> Iterator[str]:
    """Shapes that the model has not seen, with what it says, and how often it is right."""
    from throughtime.demos.verdicts import verdicts

    return verdicts(run, folder / TEST)


def measure(generator: np.random.Generator) -> tuple[list[float], str]:
    """The measurements of one shape in centimetres, each wrong by 3 % or so, and what it is."""
    shape = SHAPES[generator.integers(len(SHAPES))]
    width = generator.uniform(1, 10)
    # A triangle is an isosceles one on its base; a rectangle is clearly no square.
    ratio = 1.0 if shape in ("circle", "square") else float(generator.choice([0.5, 0.7, 1.4, 2.0]))
    height = width * ratio
    if shape == "circle":
        area, outline, corners = math.pi * width**2 / 4, math.pi * width, 0
    elif shape == "triangle":
        area, outline, corners = width * height / 2, width + 2 * math.hypot(width / 2, height), 3
    else:
        area, outline, corners = width * height, 2 * (width + height), 4
    exact = np.array([width, height, area, outline])
    noisy = exact * generator.normal(1, 0.03, len(exact))
    # The camera misses every third corner: the count alone is a weak hint.
    return [*noisy, float(generator.binomial(corners, 2 / 3))], shape
