"""From a user's data to a trained run folder, and on from a checkpoint."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from throughtime.config import RunConfig
from throughtime.errors import DataError, OptionError, RunError
from throughtime.files import describe_os_error, remove_unfinished
from throughtime.presets import preset as preset_options
from throughtime.program.files import PROGRAM, read_program, write_program
from throughtime.recognition import settle
from throughtime.recurrent import Recurrent
from throughtime.run import CONFIG, PREPARED, Run, run_class
from throughtime.run.history import METRICS, read_metrics
from throughtime.run.lock import is_empty, writing
from throughtime.run.position import Position
from throughtime.saved import Saved
from throughtime.training.checkpoint import Checkpoint, check_sizes
from throughtime.training.folds import any_fold_trained, measure_folds
from throughtime.training.initial_weights import take_weights
from throughtime.training.log import draw_loss, still_falling
from throughtime.training.progress import Progress
from throughtime.training.replacing import set_aside
from throughtime.training.signals import Interrupted
from throughtime.training.task import Task
from throughtime.training.trainer import CHECKPOINT, WEIGHTS, Trainer, resolve_precision, threads_of


def train(
    source: str | Path,
    out: str | Path | None = None,
    preset: str | None = None,
    show: Progress | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Run:
    """Train on a file or a folder; the task is inferred from it unless `task` names it.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)
        print(run.sample("ROMEO:", length=300))

    Args:
        source: the data, in the format of a task; any other text makes a language model.
        out: the run folder to make; None is runs/NAME-DATE.
        preset: options to begin with, by name; see `throughtime.presets`.
        show: where progress goes; None is nowhere.
        overwrite: replace the run that is in `out`.
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
    config, why = settle(source, options, *layers)
    run, _ = start(config, out, show or Progress(), why, overwrite)
    return run


def start(
    config: RunConfig, out: str | Path | None, show: Progress, why: str = "", overwrite: bool = False
) -> tuple[Run, Position]:
    """Make a run folder for a resolved config and train in it.

    Args:
        config: with data.source.
        out: the folder, or None.
        show: where progress goes.
        why: what the data was recognised as, which is the first line that the user sees.
        overwrite: replace the run that is in the folder, once the new one can be trained.
    """
    if why:
        show.recognised(why)
    folder = Path(out) if out is not None else _default_folder(config)
    if not overwrite:
        _refuse_used(folder)
    _check_paths(config)
    _set_threads(config.training.threads)
    device = _pick_device(config)
    # Saved as it is here: another machine must not go on with another precision.
    precision = resolve_precision(config.training, device)
    config = _with_whole_path(config.changed({"precision": precision}))
    with set_aside(folder, config, overwrite, show.remark) as replaced, writing(folder, show.remark):
        _refuse_used(folder)  # in the meantime another process may have
        try:
            # Before the data is read, so that a run that is killed in between can be begun again.
            config.save(folder / CONFIG, only_given=True)
            config = _cross_validated(config, folder, show)
            trainer, task = _make_trainer(_prepare(config, folder, show), device, show, begins=True)
        except BaseException:
            if any_fold_trained(folder):
                replaced()  # what they learned is kept, and a resumed training goes on from there
                raise
            # Nothing was trained yet, and half a run would only be in the way of the next try.
            shutil.rmtree(folder, ignore_errors=True)
            if out is None:
                with contextlib.suppress(OSError):  # runs/ holds other runs, or never was
                    folder.parent.rmdir()
            raise
        replaced()
        return _run(trainer, task, folder, show)


def resume(
    folder: str | Path,
    show: Progress | None = None,
    epochs: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    checkpoint_seconds: float | None = None,
) -> tuple[Run, Position]:
    """Go on with a training from its last checkpoint, bit for bit as if it had never stopped.

    A training that was killed before its first checkpoint begins again, with the options and the data that it
    was started with.

    Args:
        folder: the run folder.
        show: where progress goes.
        epochs: a new number of epochs, above the old one, to train longer than planned. The schedule is
            then that of the longer training from here on.
        threads: a new number of CPU threads; 0 leaves the choice to PyTorch. With another number than before,
            sums are split otherwise, and numbers differ in their last bits from here on.
        device: where to go on, as for `train`. On another kind of processor numbers differ in the same way.
        checkpoint_seconds: as for `train`.
    Raises:
        RunError: the folder or the checkpoint is missing or damaged, or another process writes into it.
        OptionError: epochs is not above the epochs done.
    """
    folder, show = Path(folder), show or Progress()
    RunConfig.load(folder / CONFIG)  # what is no run folder gets no lock
    with writing(folder, show.remark):
        saved_config = RunConfig.load(folder / CONFIG)
        remove_unfinished(folder)
        given = {
            "epochs": epochs,
            "threads": threads,
            "device": device,
            "checkpoint_seconds": checkpoint_seconds,
        }
        config = saved_config.changed(given)
        if not (folder / CHECKPOINT).exists():
            return _begin_again(config, folder, show)
        checkpoint = Checkpoint.load(folder / CHECKPOINT)
        run = run_class(config.task).kind_for(config)(folder, config)
        run.load()
        run.check_data(show)
        processor = _pick_device(config)
        check_sizes(run.build_model, checkpoint.group("model"), folder / CHECKPOINT)
        _go_on_with_threads(checkpoint, folder, threads, show)
        before = saved_config.training.device
        if device is not None and device != before:
            show.remark(
                f"the training had --device {before} and goes on with {device}: its numbers will differ in "
                f"their last bits where that is another kind of processor"
            )
        trainer, task = _make_trainer(run, processor, show)
        with contextlib.closing(trainer):
            trainer.resume(checkpoint, saved_config.training.epochs)
            position = trainer.position
            if epochs is not None and epochs <= position.epoch:
                raise OptionError(f"--epochs {epochs} is not above the {position.epoch} epochs already done")
            if config != saved_config:
                config.save(folder / CONFIG)
            if epochs is not None:
                trainer.extend()
            return _run(trainer, task, folder, show)


def _begin_again(config: RunConfig, folder: Path, show: Progress) -> tuple[Run, Position]:
    """Train from the beginning, in the folder of a run that was killed before its first checkpoint."""
    if (folder / WEIGHTS).exists():
        raise RunError(
            f"{folder} has trained weights and no {CHECKPOINT}, so it cannot be trained further: it was "
            f"imported or quantised, or its checkpoint is lost"
        )
    _check_paths(config)
    show.remark(f"{folder} was stopped before its first checkpoint: it begins from the start")
    _set_threads(config.training.threads)
    device = _pick_device(config)
    # What was prepared may be half of it.
    for name in PREPARED:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / METRICS).unlink(missing_ok=True)
    config.save(folder / CONFIG, only_given=True)
    config = _cross_validated(config, folder, show)
    (folder / PROGRAM).unlink(missing_ok=True)
    trainer, task = _make_trainer(_prepare(config, folder, show), device, show, begins=True)
    return _run(trainer, task, folder, show)


def _cross_validated(config: RunConfig, folder: Path, show: Progress) -> RunConfig:
    """Measure by folds where that is asked for; the options of the run that learns from everything."""
    if not getattr(config.data, "folds", 0):
        return config
    return measure_folds(config, folder, show, start, resume)


def _prepare(config: RunConfig, folder: Path, show: Progress) -> Run:
    """Read the user's data into the run folder."""
    run = run_class(config.task).kind_for(config)(folder, config)
    run.backend = "torch"  # which is faster where a CNN has to read many pictures
    # Weights may be drawn while the data is read (a CNN's, for its features), in a fixed state.
    torch.manual_seed(config.training.seed)
    run.prepare(show)
    run.config.save(folder / CONFIG)  # the run's: `prepare` may have settled what was left to the data
    return run


def _run(trainer: Trainer, task: Task, folder: Path, show: Progress) -> tuple[Run, Position]:
    try:
        position = trainer.train()
    except Interrupted:
        with contextlib.suppress(OSError):  # the picture is not worth the message that all is saved
            draw_loss(folder, task.loss_name, task.objective)
        raise
    except OSError as error:
        raise RunError(
            f"{describe_os_error(error)}. The last checkpoint is kept: once the file can be written, go on "
            f"with `throughtime train --resume {folder}`"
        ) from error
    draw_loss(folder, task.loss_name, task.objective)
    run = Run.open(folder)
    if falling := still_falling(read_metrics(folder)):
        longer = f"--epochs {2 * position.epoch}"
        data = run.config.data
        # A longer training of its last part alone would not be what folds measured.
        by_folds = getattr(data, "folds", 0) or getattr(data, "fold", None)
        again = f"with {longer}" if by_folds else f"with `throughtime train --resume {folder} {longer}`"
        show.remark(f"{falling}: it may get better {again}")
    run.conclude()
    return run, position


def _make_trainer(
    run: Run, device: torch.device, show: Progress, begins: bool = False
) -> tuple[Trainer, Task]:
    torch.manual_seed(run.config.training.seed)
    model = run.build_model()
    if begins:
        run.begin(model)
    if begins and run.config.training.init_from is not None:
        show.remark(take_weights(model, run, run.config.training.init_from))
    model = model.to(device)
    _save_program(run, model)
    task = run.make_task(model, device)
    show.described(_facts(run.config, task, device), task)
    return Trainer(task, run.config.training, run.folder, show), task


def _save_program(run: Run, model: nn.Module) -> None:
    """Capture the network once: what runs it elsewhere needs neither its source nor torch.

    Raises:
        OptionError: a cell cannot become a program (the message names the line).
        RunError: the program that the folder has is another.
    """
    from throughtime.capture.network import capture_network

    path = run.folder / PROGRAM
    own = run.config.model.cell.rpartition(":")[1] != ""
    before = read_program(path)
    if before is not None and not own:
        return
    found = capture_network(model, run.config.model.computed())
    if before is None:
        write_program(path, found)
    elif before != found:
        raise RunError(
            f"{run.config.model.cell} computes something else than {path}, which this run was trained with: "
            f"put back the cell as it was, or train another run"
        )


def _with_whole_path(config: RunConfig) -> RunConfig:
    """The config with a cell's file named from the root, so that the run can be resumed from anywhere."""
    place, colon, name = config.model.cell.rpartition(":")
    if not colon or not place.endswith(".py"):
        return config
    return config.changed({"cell": f"{Path(place).resolve()}:{name}"})


def _set_threads(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)


def _go_on_with_threads(checkpoint: Checkpoint, folder: Path, threads: int | None, show: Progress) -> None:
    """Take as many threads as the training had, or as many as are asked for, and say what that costs."""
    before = threads_of(Saved(checkpoint.state, folder / CHECKPOINT))
    _set_threads(before if threads is None else threads)
    now, processors = torch.get_num_threads(), os.cpu_count() or 1
    if now != before:
        show.remark(
            f"the training had {before} threads and goes on with {now}: its numbers will differ in their "
            f"last bits from those of {before} threads, because sums are split by threads"
        )
    elif now > processors and threads is None:
        show.remark(
            f"the training had {before} threads and goes on with as many, to end with the same bits: this "
            f"machine has {processors} processors, and --threads {processors} would be faster"
        )


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
        raise RunError(
            f"{folder} exists already: choose another --out, go on with "
            f"`throughtime train --resume {folder}`, or replace it with --overwrite"
        )


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
        # As many steps as a chunk or an example may have: for very few another kernel is faster.
        for kernel in module.kernel_for(torch.zeros(32, 1, module.input_size, device=device))
    }
    kernels = " and ".join(sorted(names))
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    model = config.model
    own = model.cell.rpartition(":")[2]
    network = f"{own if own != model.cell else own.upper()} {model.layers} x {model.hidden}"
    return (
        f"{network}, {parameters:,} parameters; {task.facts()}; "
        f"{resolve_precision(config.training, device)} on {where}"
        f"{f', kernel {kernels}' if kernels else ''}"
    )
