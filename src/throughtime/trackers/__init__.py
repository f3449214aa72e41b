"""Where the numbers of a training can be followed besides metrics.jsonl: TensorBoard, W&B, trackio, MLflow.

metrics.jsonl is the truth, and a tracker a copy of it: a line has its place in that file as its number, so a
tracker is never told the same line twice, and can be told all of them later (`throughtime track`).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from throughtime.errors import MissingExtraError, OptionError
from throughtime.extras import install_command
from throughtime.trackers.tracker import Tracker

# By the name of the tracker: the module and the class of its adapter.
_ADAPTERS = {
    "tensorboard": ("tensorboard", "TensorBoard"),
    "wandb": ("wandb_runs", "WandbRun"),
    "trackio": ("wandb_runs", "WandbRun"),
    "mlflow": ("mlflow_runs", "MlflowRun"),
}
TRACKERS = tuple(_ADAPTERS)

__all__ = ["TRACKERS", "Tracker", "make_tracker"]


def make_tracker(name: str, folder: Path, run: str = "", lines: int = 0) -> Tracker:
    """The adapter of a tracker, not yet started.

    Args:
        name: one of TRACKERS.
        folder: the run folder.
        run: what the tracker calls this run, where it knows it already.
        lines: how many lines of metrics.jsonl it has.
    Raises:
        OptionError: there is no such tracker.
        MissingExtraError: its library is not installed.
    """
    if name not in _ADAPTERS:
        raise OptionError(f"tracker {name!r} is unknown: use {', '.join(TRACKERS)}")
    module, adapter = _ADAPTERS[name]
    kind: type[Tracker] = getattr(import_module(f"throughtime.trackers.{module}"), adapter)
    try:
        return kind(name, folder, run, lines)
    except ImportError:
        extra = "train" if name == "tensorboard" else name
        raise MissingExtraError(
            f"{name} is not installed: install it with `{install_command(extra, name)}`"
        ) from None
