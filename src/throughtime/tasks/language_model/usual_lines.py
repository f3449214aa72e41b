"""Options that suit a model of lines, by how many there are."""

from __future__ import annotations

from typing import Any

# Updates after which the loss on held-out lines hardly moves any more, and what an epoch's batch holds.
_STEPS, _BATCH = 6_000, 64
_MOST_EPOCHS, _FEWEST_EPOCHS = 60, 3
# Where the lines were not counted, there are many.
_MANY = 100_000


def usual_options(lines: int | None) -> dict[str, Any]:
    """What a training on so many lines begins with, where its owner says nothing else.

    Args:
        lines: None is many.
    """
    steps = -(-(lines or _MANY) // _BATCH)
    epochs = min(max(_STEPS // max(steps, 1), _FEWEST_EPOCHS), _MOST_EPOCHS)
    return {
        "layers": 1,
        "dropout": 0.0,
        "hidden": 256,
        "embedding": 64,
        "output_dropout": 0.2,
        "batch": _BATCH,
        "epochs": epochs,
        "learning_rate": 4e-3,
    }
