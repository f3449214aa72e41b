"""Options that suit a model of lines, by how many there are and how long they are."""

from __future__ import annotations

from typing import Any

# On 29,000 names, updates after which the loss on held-out ones rose again.
_STEPS = 4_800
# What two cores read in about ten minutes, with this network; lines of a log are long, and a few epochs do.
_TOKENS = 12_000_000
_MOST_EPOCHS = 30
# Few lines make few updates: smaller batches then. Up to so many lines, so many a batch.
_BATCHES = ((2_000, 16), (10_000, 32))
_LARGEST_BATCH = 64
# Where the lines were not counted, there are many.
_MANY, _LONG = 100_000, 100.0


def usual_options(lines: int | None, length: float | None) -> dict[str, Any]:
    """What a training on lines begins with, where its owner says nothing else.

    Args:
        lines: how many; None is many.
        length: of a line, in characters, on average; None is long.
    """
    lines, length = lines or _MANY, length or _LONG
    batch = next((size for most, size in _BATCHES if lines <= most), _LARGEST_BATCH)
    steps, tokens = -(-lines // batch), lines * (length + 1)
    epochs = min(_STEPS // steps, int(_TOKENS / tokens), _MOST_EPOCHS)
    return {
        "layers": 1,
        "dropout": 0.0,
        "hidden": 256,
        "embedding": 64,
        "output_dropout": 0.3,
        "batch": batch,
        "epochs": max(epochs, 1),
        "learning_rate": 4e-3,
    }
