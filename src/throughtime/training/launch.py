"""From a user's data to a trained run folder, and on from a checkpoint."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from pathlib import Path
from typing import Any

import torch

from throughtime.config import RunConfig, resolve
from throughtime.errors import CheckpointError, DataError, OptionError, RunError
from throughtime.presets import preset as preset_options
from throughtime.recurrent import Recurrent
from throughtime.run import CONFIG, Run, find_task, run_class
from throughtime.training.checkpoint import Checkpoint
from throughtime.training.log import draw_loss
from throughtime.training.progress import Progress
from throughtime.training.task import Task
from throughtime.training.trainer import CHECKPOINT, Interrupted, Position, Trainer, resolve_precision


def train(
    source: str | Path,
    out: str | Path | None = None,
    preset: str | None = None,
    show: Progress | None = None,
    **options: Any,
) -> Run:
    """Train on a file or a folder; the task is found out from it unless `task` names it.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)
        print(run.sample("ROMEO:", length=300))

    Args:
        source: the data, in the format of a task; any other text makes a language model.
        out: the run folder to make; None is runs/NAME-DATE.
        preset: options to begin with, by name; see `throughtime.presets`.
        show: where progress goes; None is nowhere.
        **options: any option of the task in `throughtime.config`, by its name, and `task`.
    Returns:
        The finished run, with the weights that were best on the validation data.
    Raises:
        OptionError: an option is unknown or out of its range.
        DataError: the data cannot be used.
        RunError: the run folder exists already.
        DivergedError: the loss became NaN.
        Interrupted: a signal came; the run can be resumed.
    """
    layers = [preset_options(preset)] if preset else []
    config = resolve({"task": find_task(source, options)}, *layers, options, {"source": str(source)})
    run, _ = start(config, out, show or Progress())
    return run


def start(config: RunConfig, out: str | Path | None, show: Progress) -> tuple[Run, Position]:
    """Make a run folder for a resolved config and train in it.

    Args:
        config: with data.source.
        out: the folder, or None.
        show: where progress goes.
    """
    folder = Path(out) if out is not None else _default_folder(config)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"{folder} exists already: choose another --out, or go on with "
            f"`throughtime train --resume {folder}`"
        )
    _check_paths(config)
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    device = _pick_device(config)
    # Saved as it is here: another machine must not go on with another precision.
    precision = resolve_precision(config.training, device)
    config = resolve(config.model_dump(exclude_none=True), {"precision": precision})
    run = run_class(config.task)(folder, config)
    run.backend = "torch"  # which is faster where a CNN has to read many pictures
    try:
        # Weights may be drawn while the data is read (a CNN's, for its features), in a fixed state.
        torch.manual_seed(config.training.seed)
        run.prepare(show)
    except BaseException:
        # Nothing was trained yet, and half a run would only be in the way of the next try.
        shutil.rmtree(folder, ignore_errors=True)
        if out is None:
            with contextlib.suppress(OSError):  # runs/ holds other runs, or never was
                folder.parent.rmdir()
        raise
    run.config.save(folder / CONFIG)  # the run's: `prepare` may have settled what was left to the data
    trainer, task = _make_trainer(run, device, show)
    return _run(trainer, task, folder)


def resume(
    folder: str | Path, show: Progress | None = None, epochs: int | None = None
) -> tuple[Run, Position]:
    """Go on with a training from its last checkpoint, bit for bit as if it had never stopped.

    Args:
        folder: the run folder.
        show: where progress goes.
        epochs: a new number of epochs, above the old one, to train longer than planned. The schedule is
            then that of the longer training from here on.
    Raises:
        RunError: the folder or the checkpoint is missing or damaged.
        OptionError: epochs is not above the epochs done.
    """
    folder = Path(folder)
    config = RunConfig.load(folder / CONFIG)
    for unfinished in folder.rglob(".*.partial"):
        unfinished.unlink()  # left by a process that was killed while it wrote
    if not (folder / CHECKPOINT).exists():
        raise RunError(f"{folder} has no checkpoint yet ({CHECKPOINT}): delete it and start again")
    if epochs is not None:
        config = resolve(config.model_dump(exclude_none=True), {"epochs": epochs})
    run = run_class(config.task)(folder, config)
    run.load()
    device = _pick_device(config)
    torch.set_num_threads(_threads_of(folder))
    trainer, task = _make_trainer(run, device, show or Progress())
    trainer.resume()
    position = trainer.position
    if epochs is not None:
        if epochs <= position.epoch:
            raise OptionError(f"--epochs {epochs} is not above the {position.epoch} epochs already done")
        config.save(folder / CONFIG)
        trainer.extend()
    return _run(trainer, task, folder)


def _run(trainer: Trainer, task: Task, folder: Path) -> tuple[Run, Position]:
    try:
        position = trainer.train()
    except Interrupted:
        draw_loss(folder, task.loss_name, task.objective)
        raise
    draw_loss(folder, task.loss_name, task.objective)
    run = Run.open(folder)
    run.conclude()
    return run, position


def _make_trainer(run: Run, device: torch.device, show: Progress) -> tuple[Trainer, Task]:
    torch.manual_seed(run.config.training.seed)
    model = run.build_model().to(device)
    task = run.make_task(model, device)
    show.described(_facts(run.config, task, device), task)
    return Trainer(task, run.config.training, run.folder, show), task


def _threads_of(folder: Path) -> int:
    """The number of threads that a run trained with: sums are split by threads, and round accordingly."""
    path = folder / CHECKPOINT
    try:
        return int(Checkpoint.load(path).state["threads"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit this run: {error!r}") from None


def _pick_device(config: RunConfig) -> torch.device:
    name = config.training.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"--device {name} cannot be used: {reason}; use cpu or auto") from None
    return device


def _check_paths(config: RunConfig) -> None:
    # Before the folder is made: a mistyped name must not leave an empty run behind.
    for path in (config.source, getattr(config.data, "validation", None)):
        if path is not None and not Path(path).exists():
            raise DataError(f"{path}: no such file or folder (the working directory is {Path.cwd()})")


def _default_folder(config: RunConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = Path(config.source).resolve().stem
    folder = Path("runs") / f"{name}-{now}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{name}-{now}-{number}")
        number += 1
    return folder


def _facts(config: RunConfig, task: Task, device: torch.device) -> str:
    """What is about to be trained, on what, with what."""
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    names = {
        kernel.name
        for module in task.model.modules()
        if isinstance(module, Recurrent)
        for kernel in module.kernel_for(torch.zeros(2, 1, module.input_size, device=device))
    }
    kernels = " and ".join(sorted(names))
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    model = config.model
    network = f"{model.cell.upper()} {model.layers} x {model.hidden}"
    return (
        f"{network}, {parameters:,} parameters; {task.facts()}; "
        f"{resolve_precision(config.training, device)} on {where}"
        f"{f', kernel {kernels}' if kernels else ''}"
    )
