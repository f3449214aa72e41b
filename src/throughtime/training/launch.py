"""From a text file to a trained run folder, and on from a checkpoint."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from throughtime.config import RunConfig, resolve
from throughtime.data import TokenFile, Tokenizer, split, write_tokens
from throughtime.errors import CheckpointError, DataError, OptionError, RunError
from throughtime.models import LanguageModel
from throughtime.presets import preset as preset_options
from throughtime.run import CONFIG, TOKENIZER, Run
from throughtime.training.bptt import LanguageModelling
from throughtime.training.checkpoint import Checkpoint
from throughtime.training.log import draw_loss
from throughtime.training.progress import Progress
from throughtime.training.trainer import CHECKPOINT, Interrupted, Position, Trainer, resolve_precision

TRAINING_TOKENS = Path("tokens") / "text.bin"
VALIDATION_TOKENS = Path("tokens") / "validation.bin"


def train(
    source: str | Path,
    out: str | Path | None = None,
    preset: str | None = None,
    show: Progress | None = None,
    **options: Any,
) -> Run:
    """Train a language model on a text file.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)
        print(run.sample("ROMEO:", length=300))

    Args:
        source: a UTF-8 text file; any file with tokenizer="byte".
        out: the run folder to make; None is runs/NAME-DATE.
        preset: options to begin with, by name; see `throughtime.presets`.
        show: where progress goes; None is nowhere.
        **options: any option of `throughtime.config`, by its name.
    Returns:
        The finished run, with the weights that were best on the validation text.
    Raises:
        OptionError: an option is unknown or out of its range.
        DataError: the text cannot be used.
        RunError: the run folder exists already.
        DivergedError: the loss became NaN.
        Interrupted: a signal came; the run can be resumed.
    """
    layers = [preset_options(preset)] if preset else []
    config = resolve(*layers, options, {"source": str(source)})
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
    try:
        tokenizer, training, validation = _prepare(config, folder, show)
    except BaseException:
        # Nothing was trained yet, and half a run would only be in the way of the next try.
        shutil.rmtree(folder, ignore_errors=True)
        if out is None:
            with contextlib.suppress(OSError):  # runs/ holds other runs, or never was
                folder.parent.rmdir()
        raise
    config.save(folder / CONFIG)
    trainer = _make_trainer(config, folder, tokenizer, training, validation, device, show)
    return _run(trainer, folder, tokenizer)


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
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    training, validation = _open_tokens(config, folder, tokenizer)
    if epochs is not None:
        config = resolve(config.model_dump(exclude_none=True), {"epochs": epochs})
    device = _pick_device(config)
    torch.set_num_threads(_threads_of(folder))
    trainer = _make_trainer(config, folder, tokenizer, training, validation, device, show or Progress())
    trainer.resume()
    position = trainer.position
    if epochs is not None:
        if epochs <= position.epoch:
            raise OptionError(f"--epochs {epochs} is not above the {position.epoch} epochs already done")
        config.save(folder / CONFIG)
        trainer.extend()
    return _run(trainer, folder, tokenizer)


def _run(trainer: Trainer, folder: Path, tokenizer: Tokenizer) -> tuple[Run, Position]:
    try:
        position = trainer.train()
    except Interrupted:
        draw_loss(folder, tokenizer.kind == "character")
        raise
    draw_loss(folder, tokenizer.kind == "character")
    return Run.open(folder), position


def _prepare(
    config: RunConfig, folder: Path, show: Progress
) -> tuple[Tokenizer, NDArray[Any], NDArray[Any] | None]:
    """Read the text once; leave tokenizer.json and the token files in the folder."""
    data = config.data

    def progress(what: str, path: str) -> Any:
        total = Path(path).stat().st_size if Path(path).is_file() else 0
        return lambda done: show.tokenising(what, done, total)

    tokenizer = Tokenizer.train(
        data.tokenizer,
        data.source,
        data.vocabulary,
        data.errors,
        progress("building the vocabulary", data.source),
    )
    tokenizer.save(folder / TOKENIZER)
    for path, target in ((data.source, TRAINING_TOKENS), (data.validation, VALIDATION_TOKENS)):
        if path is not None:
            blocks = tokenizer.encode_file(path, data.errors, progress(f"tokenising {Path(path).name}", path))
            write_tokens(folder / target, blocks, tokenizer.vocabulary_size)
    return tokenizer, *_open_tokens(config, folder, tokenizer)


def _open_tokens(
    config: RunConfig, folder: Path, tokenizer: Tokenizer
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    files = [TokenFile.open(folder / TRAINING_TOKENS)]
    if config.data.validation is not None:
        files.append(TokenFile.open(folder / VALIDATION_TOKENS))
    for file in files:
        if file.vocabulary_size != tokenizer.vocabulary_size:
            raise RunError(f"{folder}: the token files do not belong to tokenizer.json")
    if len(files) == 2:
        training, validation = files[0].tokens, files[1].tokens
    else:
        training, validation = split(files[0].tokens, config.data.validation_fraction)
    _check_length(config, len(training))
    return training, validation if len(validation) >= 2 else None


def _check_length(config: RunConfig, tokens: int) -> None:
    batch, chunk = config.training.batch, max(config.training.chunk, 1)
    needed = batch * chunk + 1
    if tokens < needed:
        fitting = max((tokens - 1) // chunk, 0)
        advice = f"--batch {fitting}" if fitting >= 1 else f"a smaller --chunk than {chunk} and --batch 1"
        raise DataError(
            f"{config.data.source}: {tokens:,} training tokens are fewer than one chunk of {chunk} steps in "
            f"{batch} streams ({needed:,}): use a longer text, or {advice}"
        )


def _make_trainer(
    config: RunConfig,
    folder: Path,
    tokenizer: Tokenizer,
    training: NDArray[Any],
    validation: NDArray[Any] | None,
    device: torch.device,
    show: Progress,
) -> Trainer:
    torch.manual_seed(config.training.seed)
    model = LanguageModel(config.model, tokenizer.vocabulary_size).to(device)
    show.described(_facts(config, model, tokenizer, training, device), tokenizer.kind == "character")
    task = LanguageModelling(model, training, validation, config.training)
    return Trainer(task, config.training, folder, show)


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
    for path in (config.data.source, config.data.validation):
        if path is not None and not Path(path).exists():
            raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")


def _default_folder(config: RunConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{Path(config.data.source).stem}-{now}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{Path(config.data.source).stem}-{now}-{number}")
        number += 1
    return folder


def _facts(
    config: RunConfig,
    model: LanguageModel,
    tokenizer: Tokenizer,
    training: NDArray[Any],
    device: torch.device,
) -> str:
    """What is about to be trained, on what, with what."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    example = torch.zeros(2, 1, model.recurrent.input_size, device=device)
    kernels = sorted({kernel.name for kernel in model.recurrent.kernel_for(example)})
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    network = f"{config.model.cell.upper()} {config.model.layers} x {config.model.hidden}"
    return (
        f"{network}, {parameters:,} parameters; "
        f"{len(training):,} training tokens of {tokenizer.vocabulary_size:,} kinds ({tokenizer.kind}); "
        f"{resolve_precision(config.training, device)} on {where}, kernel {' and '.join(kernels)}"
    )
