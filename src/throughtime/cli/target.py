"""What commands ask of runs that give several labels."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from throughtime.errors import OptionError

ThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="Several labels: give each from this probability on, and not from the one that training chose.",
        show_default=False,
    ),
]


def says_several_labels(run: Any) -> bool:
    """Whether a run gives several labels to an example or a frame."""
    return getattr(run.config.data, "target", None) == "labels" and run.task in ("classifier", "tagger")


def threshold_for(run: Any, threshold: float | None) -> dict[str, Any]:
    """The keyword for `predict` and `evaluate`; none without a threshold.

    Raises:
        OptionError: the run has no thresholds.
    """
    if threshold is None:
        return {}
    if not says_several_labels(run):
        raise OptionError(f"--threshold is for several labels, and {run.folder} does not give several")
    return {"threshold": threshold}
