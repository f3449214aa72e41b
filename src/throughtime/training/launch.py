"""From a user's data to a trained run folder, and on from a checkpoint."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from throughtime.config import RunConfig, between_commas
from throughtime.data.corpus_tokens import has_begun
from throughtime.data.joined import stem_of
from throughtime.errors import DataError, OptionError, RunError
from throughtime.files import describe_os_error, remove_unfinished
from throughtime.hub.cache import refuse_hub_name
from throughtime.hub.card import write_hub_files
from throughtime.in_memory import Data, Given, found_again, staged
from throughtime.patterns import is_pattern
from throughtime.places import Place, place_here
from throughtime.presets import preset as preset_options
from throughtime.program.files import PROGRAM
from throughtime.recognition import settle
from throughtime.run import CONFIG, PREPARED, Run, run_class
from throughtime.run.history import METRICS, read_metrics
from throughtime.run.layout import TOKENS
from throughtime.run.lock import is_empty, writing
from throughtime.run.loss_picture import PICTURE
from throughtime.run.position import Position
from throughtime.training.additions import Additions
from throughtime.training.callbacks import OnEvaluation, OnStep
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint, check_sizes
from throughtime.training.folds import any_fold_trained, measure_folds
from throughtime.training.following import Together, follow, follow_in
from throughtime.training.log import draw_loss, still_falling
from throughtime.training.machine import go_on_with_threads, pick_device, resolve_precision, set_threads
from throughtime.training.making import make_trainer, prepare
from throughtime.training.own_loss import check_loss, check_task, remember_loss
from throughtime.training.processes import Processes, joined
from throughtime.training.progress import InOtherWords, Progress
from throughtime.training.replacing import set_aside
from throughtime.training.sharing import Sharing
from throughtime.training.signals import Interrupted
from throughtime.training.task import Task
from throughtime.training.trainer import WEIGHTS, Trainer


def train(
    source: Data,
    out: str | Path | None = None,
    preset: str | None = None,
    show: Progress | None = None,
    overwrite: bool = False,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> Run:
    """Train on a file, a folder or data in memory; the task is inferred from it unless `task` names it.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)
        print(run.sample("ROMEO:", length=300))

    Args:
        source: the data, in the format of a task; any other text makes a language model. In memory it may be
            a `Text`, a frame, a tuple (inputs, labels), a list of texts, of pairs or of dictionaries, a data
            set of torch, or numbers over time; `validation` takes the same.
        out: the run folder to make; None is runs/NAME-DATE.
        preset: options to begin with, by name; see `throughtime.presets`.
        show: where progress goes; None is nowhere.
        overwrite: replace the run that is in `out`.
        on_step, on_evaluation: called with an event after each step and each evaluation; "stop" as their
            answer ends the training as early stopping does. An exception ends it after a checkpoint.
        **options: any option of the task in `throughtime.config`, by its name, and `task`. `loss` may be a
            function, of a classifier, a tagger or a language model; see `OwnLoss`.
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
    options = {name: between_commas(name, value) for name, value in options.items()}
    additions = Additions.of(on_step, on_evaluation, options)
    place, show = place_here(), show or Progress()
    if place.rank > 0:
        return follow(additions)[0]
    # The others wait to hear of it, whatever is wrong with the data.
    together = joined(show.remark) if place.count > 1 else contextlib.nullcontext()
    with together, staged(source, options, out) as given:
        options = dict(given.options)
        config, why = settle(options.pop("source"), options, *layers)
        return start(config, out, show, given.in_words(why), overwrite, given, additions)[0]


def with_evaluations(config: RunConfig) -> RunConfig:
    """Ask for what is held out by default: few examples would have no evaluation to tell of."""
    share = getattr(config.data, "validation_fraction", 0.0)
    if not share or config.data.validation is not None:  # type: ignore[attr-defined]
        return config
    return config.changed({"validation_fraction": share})


def start(
    config: RunConfig,
    out: str | Path | None,
    show: Progress,
    why: str = "",
    overwrite: bool = False,
    given: Given | None = None,
    additions: Additions | None = None,
) -> tuple[Run, Position]:
    """Make a run folder for a resolved config and train in it.

    Args:
        config: with data.source.
        out: the folder, or None.
        show: where progress goes.
        why: what the data was recognised as, which is the first line that the user sees.
        overwrite: replace the run that is in the folder, once the new one can be trained.
        given: data in memory, which the run keeps.
        additions: callbacks and a loss of the program's own.
    """
    additions = additions or Additions()
    with joined(show.remark) as processes:
        if not processes.is_first:
            return follow_in(processes, additions)
        if going_on := _restarted(config, out, processes.place):
            show.remark(f"the processes were started again: {going_on} goes on from its last checkpoint")
            return resume(going_on, show, additions=additions)
        return _start(config, out, show, why, overwrite, given, additions, processes)


def _start(
    config: RunConfig,
    out: str | Path | None,
    show: Progress,
    why: str,
    overwrite: bool,
    given: Given | None,
    additions: Additions,
    processes: Processes,
) -> tuple[Run, Position]:
    """`start` in the first process."""
    if additions.loss is not None:
        check_task(additions.loss, config)
    if why:
        show.recognised(why)
    sharing = Sharing(processes, config.training.groups, config.training.seed)
    if "batch" in config.given("training"):
        sharing.check_batch(config.training.batch)  # before the data is read
    folder = Path(out) if out is not None else _default_folder(config)
    if not overwrite:
        _refuse_used(folder)
    check_paths(config)
    set_threads(config.training.threads, show, processes.place)
    device = pick_device(config, processes.place)
    # Saved as it is here: another machine must not go on with another precision.
    precision = resolve_precision(config.training, device)
    config = _with_whole_path(config.changed({"precision": precision}))
    if additions.on_evaluation is not None:
        config = with_evaluations(config)
    with set_aside(folder, config, overwrite, show.remark) as replaced, writing(folder, show.remark):
        _refuse_used(folder)  # in the meantime another process may have
        try:
            if given is not None:
                folder.mkdir(parents=True, exist_ok=True)
                config = given.move_into(folder, config)
            remember_loss(folder, additions.loss)
            # Before the data is read, so that a run that is killed in between can be begun again.
            config.save(folder / CONFIG, only_given=True)
            config = _cross_validated(config, folder, show, additions)
            reading = show if given is None else InOtherWords(show, given.in_words)
            run = prepare(config, folder, reading)
            trainer, task = make_trainer(run, device, show, additions, sharing, begins=True)
        except BaseException:
            if any_fold_trained(folder):
                replaced()  # what they learned is kept, and a resumed training goes on from there
                raise
            if is_pattern(config.source) and has_begun(folder / TOKENS):
                replaced()
                show.remark(
                    f"what was read of the corpus is kept: go on with `throughtime train --resume {folder}`"
                )
                raise
            # Nothing was trained yet, and half a run would only be in the way of the next try.
            shutil.rmtree(folder, ignore_errors=True)
            if out is None:
                with contextlib.suppress(OSError):  # runs/ holds other runs, or never was
                    folder.parent.rmdir()
            raise
        replaced()
        return _run(trainer, task, folder, show, Together(sharing, device))


def resume(
    folder: str | Path,
    show: Progress | None = None,
    epochs: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    checkpoint_seconds: float | None = None,
    additions: Additions | None = None,
    track: list[str] | None = None,
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
        additions: callbacks and a loss of the program's own; a run does not keep them.
        track: as for `train`. A tracker that is new to the run is told what was logged before, too.
    Raises:
        RunError: the folder or the checkpoint is missing or damaged, or another process writes into it.
        OptionError: epochs is not above the epochs done.
    """
    refuse_hub_name(folder, "begin a new training with its weights, by --init-from")
    folder, show, additions = Path(folder), show or Progress(), additions or Additions()
    with joined(show.remark) as processes:
        if not processes.is_first:
            return follow_in(processes, additions)
        given = {
            "epochs": epochs,
            "threads": threads,
            "device": device,
            "checkpoint_seconds": checkpoint_seconds,
            "track": track,
        }
        return _resume(folder, show, given, additions, processes)


def _resume(
    folder: Path, show: Progress, given: dict[str, Any], additions: Additions, processes: Processes
) -> tuple[Run, Position]:
    """`resume` in the first process."""
    epochs, threads, device = given["epochs"], given["threads"], given["device"]
    RunConfig.load(folder / CONFIG)  # what is no run folder gets no lock
    with writing(folder, show.remark):
        saved_config = RunConfig.load(folder / CONFIG)
        remove_unfinished(folder)
        check_loss(folder, additions.loss)
        config = saved_config.changed(given)
        sharing = Sharing(processes, config.training.groups, config.training.seed)
        if not (folder / CHECKPOINT).exists():
            return _begin_again(config, folder, show, additions, sharing)
        checkpoint = Checkpoint.load(folder / CHECKPOINT)
        run = run_class(config.task).kind_for(config)(folder, config)
        run.load()
        run.check_data(show)
        processor = pick_device(config, processes.place)
        check_sizes(run.build_model, checkpoint.group("model"), folder / CHECKPOINT)
        go_on_with_threads(checkpoint, folder, threads, show, sharing, config.training.threads)
        before = saved_config.training.device
        if device is not None and device != before:
            show.remark(
                f"the training had --device {before} and goes on with {device}: its numbers will differ in "
                f"their last bits where that is another kind of processor"
            )
        trainer, task = make_trainer(run, processor, show, additions, sharing)
        with contextlib.closing(trainer):
            trainer.resume(checkpoint, saved_config.training.epochs)
            position = trainer.position
            if epochs is not None and epochs <= position.epoch:
                raise OptionError(f"--epochs {epochs} is not above the {position.epoch} epochs already done")
            if config != saved_config:
                config.save(folder / CONFIG)
            together = Together(sharing, processor, saved_config.training.epochs, epochs is not None)
            return _run(trainer, task, folder, show, together)


def _begin_again(
    config: RunConfig, folder: Path, show: Progress, additions: Additions, sharing: Sharing
) -> tuple[Run, Position]:
    """Train from the beginning, in the folder of a run that was killed before its first checkpoint."""
    if (folder / WEIGHTS).exists():
        raise RunError(
            f"{folder} has trained weights and no {CHECKPOINT}, so it cannot be trained further: it was "
            f"imported or quantised, or its checkpoint is lost"
        )
    config = found_again(config, folder)
    check_paths(config)
    show.remark(f"{folder} was stopped before its first checkpoint: it begins from the start")
    place = sharing.processes.place
    set_threads(config.training.threads, show, place)
    device = pick_device(config, place)
    # What was prepared may be half of it.
    for name in PREPARED:
        if name == TOKENS and is_pattern(config.source):
            continue  # it knows how much of it is whole
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / METRICS).unlink(missing_ok=True)
    config.save(folder / CONFIG, only_given=True)
    config = _cross_validated(config, folder, show, additions)
    (folder / PROGRAM).unlink(missing_ok=True)
    run = prepare(config, folder, show)
    trainer, task = make_trainer(run, device, show, additions, sharing, begins=True)
    return _run(trainer, task, folder, show, Together(sharing, device))


def _cross_validated(config: RunConfig, folder: Path, show: Progress, additions: Additions) -> RunConfig:
    """Measure by folds where that is asked for; the options of the run that learns from everything."""
    if not getattr(config.data, "folds", 0):
        return config
    begin, go_on = partial(start, additions=additions), partial(resume, additions=additions)
    return measure_folds(config, folder, show, begin, go_on)


def _run(
    trainer: Trainer, task: Task, folder: Path, show: Progress, together: Together
) -> tuple[Run, Position]:
    with contextlib.closing(trainer.trackers):
        return _trained(trainer, task, folder, show, together)


def _trained(
    trainer: Trainer, task: Task, folder: Path, show: Progress, together: Together
) -> tuple[Run, Position]:
    processes = together.sharing.processes
    try:
        processes.tell(together.as_message(folder))
        processes.open(together.device)
        if together.extended:
            trainer.extend()
        position = trainer.train()
    except Interrupted:
        with contextlib.suppress(OSError):  # the picture is not worth the message that all is saved
            draw_loss(folder, task.loss_name, task.objective)
        raise
    except Exception as error:
        if error is trainer.callbacks.error:
            show.remark(
                f"stopped by an error in a callback, and saved at step {trainer.position.step:,}. Go on "
                f"with: tt.resume({str(folder)!r})"
            )
            raise
        if not isinstance(error, OSError):
            raise
        raise RunError(
            f"{describe_os_error(error)}. The last checkpoint is kept: once the file can be written, go on "
            f"with `throughtime train --resume {folder}`"
        ) from error
    if said := together.sharing.time_spent(trainer.seconds):
        show.remark(said)
    draw_loss(folder, task.loss_name, task.objective)
    trainer.trackers.artifact(folder / PICTURE)
    run = Run.open(folder)
    if falling := still_falling(read_metrics(folder)):
        longer = f"--epochs {2 * position.epoch}"
        data = run.config.data
        # A longer training of its last part alone would not be what folds measured.
        by_folds = getattr(data, "folds", 0) or getattr(data, "fold", None)
        again = f"with {longer}" if by_folds else f"with `throughtime train --resume {folder} {longer}`"
        show.remark(f"{falling}: it may get better {again}")
    run.conclude()
    try:
        write_hub_files(run)
    except OSError as error:  # the model is complete without its card
        show.remark(f"the model card was not written: {describe_os_error(error)}")
    return run, position


def _restarted(config: RunConfig, out: str | Path | None, place: Place) -> Path | None:
    """The run to go on with, where a launcher gives the same command again after a process has died.

    Raises:
        OptionError: it will restart the processes, and the run folder has no name by which to find it again.
        RunError: what is in the folder was trained with other options.
    """
    if out is None and place.most_restarts:
        raise OptionError(
            "--max-restarts gives the same command again, and needs a run to go on with: name it with --out"
        )
    if out is None or not place.restarts or not (Path(out) / CONFIG).exists():
        return None
    before = RunConfig.load(Path(out) / CONFIG)
    for section in config.sections() if before.task == config.task else ():
        for name in sorted(config.given(section) - {"source", "validation", "precision"}):
            said, made = getattr(getattr(config, section), name), getattr(getattr(before, section), name)
            if said != made and name != "cell":
                raise RunError(f"{out} was trained with {name} {made}, not {said}: choose another --out")
    if before.task != config.task:
        raise RunError(f"{out} is a {before.task}, not a {config.task}: choose another --out")
    return Path(out)


def _with_whole_path(config: RunConfig) -> RunConfig:
    """The config with a cell's file named from the root, so that the run can be resumed from anywhere."""
    place, colon, name = config.model.cell.rpartition(":")
    if not colon or not place.endswith(".py"):
        return config
    return config.changed({"cell": f"{Path(place).resolve()}:{name}"})


def _refuse_used(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
        raise RunError(
            f"{folder} exists already: choose another --out, go on with "
            f"`throughtime train --resume {folder}`, or replace it with --overwrite"
        )


def check_paths(config: RunConfig) -> None:
    """Refuse data that is not there, before a folder is made: a mistyped name leaves no empty run behind."""
    for path in (config.source, getattr(config.data, "validation", None)):
        if path is not None and not is_pattern(path) and not Path(path).exists():
            raise DataError(f"{path}: no such file or folder (the working directory is {Path.cwd()})")


def _default_folder(config: RunConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = stem_of(config.source)
    folder = Path("runs") / f"{name}-{now}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{name}-{now}-{number}")
        number += 1
    return folder
