"""What is in a run folder, told without its weights being read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from throughtime.config.idle import idle_options
from throughtime.errors import CheckpointError
from throughtime.facts import parse_json
from throughtime.run.folds import FoldMetrics
from throughtime.run.layout import CHECKPOINT, OF_MODEL, WEIGHTS
from throughtime.run.own_loss import own_loss_name
from throughtime.run.position import Position
from throughtime.runtime.weights import SCALE
from throughtime.saved import Saved

if TYPE_CHECKING:
    from throughtime.run.run import Run


def describe(run: Run) -> dict[str, Any]:
    """What `Run.describe` tells.

    Raises:
        RunError: the weights or the checkpoint are damaged.
    """
    shapes = _shapes(run)
    saved = _training_state(run.folder)
    position = None if saved is None else _position(saved, run)
    tied = run.parameters_tied()
    counted = [
        shape
        for name, shape in shapes.items()
        if name not in tied and not (name.endswith(SCALE) and name.removesuffix(SCALE) in shapes)
    ]
    folds = FoldMetrics.load(run.folder)
    return {
        "run": str(run.folder),
        "task": run.task,
        "config": run.config.model_dump(),
        "idle_options": idle_options(run.config),
        **run.facts(),
        "folds": None if folds is None else folds.values,
        "own_loss": own_loss_name(run.folder),
        "parameters": sum(math.prod(shape) for shape in counted),
        **{
            name: None if position is None else getattr(position, name)
            for name in ("step", "epoch", "tokens", "seconds", "finished", "best")
        },
        "trained_on": None if saved is None else _trained_on(saved),
        "files": {
            str(path.relative_to(run.folder)): path.stat().st_size
            for path in sorted(run.folder.rglob("*"))
            if path.is_file()
        },
    }


def training_position(run: Run) -> Position | None:
    """How far training has come; None without a checkpoint.

    Raises:
        RunError: the checkpoint is damaged.
    """
    saved = _training_state(run.folder)
    return None if saved is None else _position(saved, run)


def _shapes(run: Run) -> dict[str, list[int]]:
    """The shapes of the weights, or of a checkpoint's where there are none yet."""
    if not run.is_unfinished:
        return _read_header(run.folder / WEIGHTS)["shapes"]
    every = _read_header(run.folder / CHECKPOINT)["shapes"]
    return {name.removeprefix(OF_MODEL): every[name] for name in every if name.startswith(OF_MODEL)}


def _training_state(folder: Path) -> Saved | None:
    """What a checkpoint says beside its tensors; None without one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    text = _read_header(path)["metadata"].get("state", "")
    return Saved(parse_json(text, dict[str, Any], f"{path} (its state)"), path)


def _position(saved: Saved, run: Run) -> Position:
    return Position.restore(saved.part("position"), run.config.training.epochs)


def _trained_on(saved: Saved) -> dict[str, Any]:
    """What the last bits of a training depend on beside the options; "" for kernels is not known."""
    return {
        "kernels": saved.text("kernels") if "kernels" in saved else "",  # older checkpoints do not say
        "threads": saved.integer("threads", least=1),
        "torch": saved.text("torch"),
    }


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return {"shapes": shapes, "metadata": file.metadata() or {}}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut off: {error}") from None
