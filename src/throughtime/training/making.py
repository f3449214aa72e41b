"""From a run folder's options to what trains it: prepared data, a network, its task and its trainer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn

from throughtime.config import RunConfig
from throughtime.data.shards import Shards, unpacked
from throughtime.data.tables import BadRows
from throughtime.errors import RunError
from throughtime.patterns import is_shards
from throughtime.program.files import PROGRAM, read_program, write_program
from throughtime.recurrent import Recurrent
from throughtime.run import CONFIG, Run, run_class
from throughtime.run.sources import find_sources, record_sources
from throughtime.trackers.following import Trackers
from throughtime.training.additions import Additions
from throughtime.training.initial_weights import take_weights
from throughtime.training.machine import resolve_precision
from throughtime.training.progress import Progress
from throughtime.training.sharing import Sharing
from throughtime.training.task import Task
from throughtime.training.trainer import Trainer


def prepare(config: RunConfig, folder: Path, show: Progress) -> Run:
    """Read the user's data into the run folder."""
    run = run_class(config.task).kind_for(config)(folder, config)
    sources = find_sources(config)
    with _shards_as_folders(run, show) as show:
        _prepare(run, show)
    record_sources(folder, config, sources)
    run.config.save(folder / CONFIG)  # the run's: `prepare` may have settled what was left to the data
    return run


def _prepare(run: Run, show: Progress) -> None:
    run.backend = "torch"  # which is faster where a CNN has to read many pictures
    # Weights may be drawn while the data is read (a CNN's, for its features), in a fixed state.
    torch.manual_seed(run.config.training.seed)
    run.prepare(show)


@contextmanager
def _shards_as_folders(run: Run, show: Progress) -> Iterator[Progress]:
    """Let a run prepare the folders that its data is as long as it lies in tar files no more.

    Yields:
        What its remarks go to.
    """
    data = run.config.data
    named = {name: getattr(data, name, None) for name in ("source", "validation")}
    packed = {name: str(path) for name, path in named.items() if is_shards(path)}
    if not packed:
        yield show
        return
    bad = BadRows(getattr(data, "skip_bad", False))
    with ExitStack() as stack:
        folders, every = {}, []
        for name, pattern in packed.items():
            show.preparing(f"unpacking {pattern}", 0, 0)
            place = run.folder / "data" / f"{name}-shards"
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            folder, shards = stack.enter_context(unpacked(pattern, place, bad))
            folders[name] = str(folder)
            every.append(shards)
            if shards.aside:
                show.remark(f"{pattern}: files {', '.join(sorted(shards.aside))[:200]} are not read")
        if bad.count:
            show.remark(bad.summary())
        run.config = run.config.changed(folders)
        yield _InWords(show, every)
        run.config = run.config.changed(packed)


class _InWords(Progress):
    """Shows what another one does, with the names of shards in the place of those of their folders."""

    def __init__(self, show: Progress, shards: Sequence[Shards]) -> None:
        self._show = show
        self._shards = shards

    def preparing(self, what: str, done: int, total: int) -> None:
        self._show.preparing(what, done, total)

    def remark(self, text: str) -> None:
        for one in self._shards:
            text = one.in_words(text)
        self._show.remark(text)


def make_trainer(
    run: Run,
    device: torch.device,
    show: Progress,
    additions: Additions,
    sharing: Sharing,
    begins: bool = False,
) -> tuple[Trainer, Task]:
    """The trainer of a prepared run, and its task, with the program captured and the trackers begun.

    Args:
        begins: the training begins, perhaps with the weights of another run.
    """
    model, task = make_task(run, device, show, additions, begins)
    _save_program(run, model)
    training = run.config.training
    followed = [*(("tensorboard",) if training.tensorboard else ()), *training.track]
    trackers = Trackers(run.folder, followed, run.config.model_dump(), show.remark)
    kernels = kernels_of(model, resolve_precision(training, device), training.batch, device)
    trainer = Trainer(task, training, run.folder, show, additions.callbacks(), trackers, sharing, kernels)
    show.described(_facts(run.config, task, device, kernels) + sharing.facts(), task)
    return trainer, task


def make_task(
    run: Run, device: torch.device, show: Progress, additions: Additions, begins: bool = False
) -> tuple[nn.Module, Task]:
    """The network of a prepared run on the device, and its examples and losses.

    Args:
        begins: the training begins, perhaps with the weights of another run.
    """
    torch.manual_seed(run.config.training.seed)
    model = run.build_model()
    if begins:
        run.begin(model)
    if begins and run.config.training.init_from is not None:
        show.remark(take_weights(model, run, run.config.training.init_from))
    model = model.to(device)
    task = run.make_task(model, device)
    if additions.loss is not None:
        task.own_loss = additions.loss
        task.loss_name = f"{additions.loss.name} in training, {task.loss_name}"
    return model, task


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


def _facts(config: RunConfig, task: Task, device: torch.device, kernels: str) -> str:
    """What is about to be trained, on what, with what."""
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    precision = resolve_precision(config.training, device)
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    model = config.model
    own = model.cell.rpartition(":")[2]
    network = f"{own if own != model.cell else own.upper()} {model.layers} x {model.hidden}"
    return (
        f"{network}, {parameters:,} parameters; {task.facts()}; "
        f"{precision} on {where}{f', kernel {kernels}' if kernels else ''}"
    )


def kernels_of(model: nn.Module, precision: str, batch: int, device: torch.device) -> str:
    """The kernels that the recurrent layers of a model run on; of the plain loop, why no other one does."""
    names: dict[str, str] = {}
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for module in model.modules():
            if not isinstance(module, Recurrent):
                continue
            # As many steps as a chunk or an example may have: for very few another kernel is faster.
            inputs = torch.zeros(1, 1, 1, device=device).expand(32, batch, module.input_size)
            for kernel in module.kernel_for(inputs):
                names[kernel.name] = ""
            if "reference" in names and device.type == "cpu":
                names["reference"] = module.why_not("native", inputs)
    return " and ".join(f"{name} (native: {names[name]})" if names[name] else name for name in sorted(names))
