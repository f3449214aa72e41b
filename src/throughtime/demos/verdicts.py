"""What the demos of classifiers end with: predictions beside the truth, accuracy beside the majority's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from throughtime.tasks.classifier.run import ClassifierRun

_SHOWN = 10


def verdicts(run: ClassifierRun, test: Path) -> Iterator[str]:
    """Text about examples that the model has not been trained on.

    Args:
        run: the trained classifier.
        test: a labelled table.
    """
    for found in islice(run.predict([test]), _SHOWN):
        right = "right" if found["label"] == found["truth"] else f"wrong, it is {found['truth']}"
        yield f"{found['input']}\n    {found['label']} ({found['probability']:.0%}): {right}\n"
    scores = run.evaluate(test)
    yield (
        f"\n{scores['accuracy']:.1%} of {scores['examples']:,} unseen examples are right; "
        f"always naming the most frequent label is right in {scores['majority']:.1%}\n"
    )
