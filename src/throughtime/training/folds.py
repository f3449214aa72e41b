"""Cross-validation: every example is held out once, and then the run itself learns from all of them.

With tens of examples a held-out part is too small to say how good a model is, and too large to do without.

Source: Stone 1974, "Cross-validatory choice and assessment of statistical predictions".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from throughtime.config import RunConfig
from throughtime.errors import RunError
from throughtime.files import write_atomically
from throughtime.run import CONFIG, Run
from throughtime.run.folds import FOLDS, FoldMetrics
from throughtime.run.history import METRICS, read_metrics
from throughtime.run.layout import CHECKPOINT
from throughtime.run.position import Position
from throughtime.training.progress import Progress
from throughtime.training.signals import Interrupted

_PARTS = "folds"

Begin = Callable[[RunConfig, Path, Progress], tuple[Run, Position]]
GoOn = Callable[[Path, Progress], tuple[Run, Position]]


def measure_folds(config: RunConfig, folder: Path, show: Progress, begin: Begin, go_on: GoOn) -> RunConfig:
    """Train and measure a run for each fold in FOLDER/folds, and write what they say to folds.json.

    Folds that are done stay, so that a stopped training goes on where it was.

    Args:
        config: with data.folds.
        folder: of the run that is to learn from all examples.
        begin, go_on: train in a folder from the start, and from a checkpoint.
    Returns:
        The options of that run: nothing is held out.
    Raises:
        Interrupted: a signal came; `resume` of the run goes on.
    """
    count: int = config.data.folds  # type: ignore[attr-defined]
    found: dict[str, list[float]] = {}
    for number in range(1, count + 1):
        part = folder / _PARTS / str(number)
        # The last weights and not the best: which are the best is not to be told by what measures them.
        options = config.changed({"folds": 0, "fold": f"{number}/{count}", "keep": "last"})
        try:
            run, _ = go_on(part, show) if (part / CONFIG).exists() else begin(options, part, show)
            metrics = _last_evaluation(run.folder)
        except Interrupted as stop:
            raise Interrupted(stop.signal_number, folder, stop.step) from None
        except RunError as error:
            raise RunError(
                f"fold {number} of {count}: {error}. `throughtime train --resume {folder}` then goes on with "
                f"the other folds"
            ) from error
        show.remark(f"fold {number} of {count}: {_listed(metrics)}")
        for name, value in metrics.items():
            found.setdefault(name, []).append(value)
    measured = FoldMetrics(found)
    write_atomically(folder / FOLDS, json.dumps(measured.values, indent=1).encode())
    show.remark(f"{count} folds: {measured.summary()}; now a model learns from all examples")
    return config.changed({"validation_fraction": 0.0, "keep": "last"})


def any_fold_trained(folder: Path) -> bool:
    """Whether a fold of a run has a checkpoint."""
    return any((folder / _PARTS).glob(f"*/{CHECKPOINT}"))


def _last_evaluation(folder: Path) -> dict[str, float]:
    """The metrics of the weights that a run kept."""
    last = next((entry for entry in reversed(read_metrics(folder)) if "val_loss" in entry), None)
    if last is None:
        raise RunError(
            f"{folder / METRICS} is damaged: it has no evaluation; delete {folder} to train it again"
        )
    return {name.removeprefix("val_"): value for name, value in last.items() if name.startswith("val_")}


def _listed(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in metrics.items())
