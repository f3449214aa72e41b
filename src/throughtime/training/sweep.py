"""Several trainings at once: every combination of options with every seed, resumed where they stopped."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from throughtime.config import RunConfig
from throughtime.errors import OptionError, RunError, ThroughtimeError
from throughtime.facts import parse_json
from throughtime.files import describe_os_error, refuse_odd_name, write_atomically
from throughtime.processes import threads_of_children
from throughtime.run import run_class
from throughtime.run.description import training_position
from throughtime.run.layout import CHECKPOINT, CONFIG, WEIGHTS
from throughtime.run.run import Run
from throughtime.training.signals import Interrupted, catch_signals

SWEEP = "sweep.json"
# Of one sweep; each has a folder, and its options are checked before the first begins.
MOST_TRAININGS = 10_000
# Seconds until a process that was asked to save and end is made to: a large checkpoint takes a while.
_PATIENCE = 60


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Args:
        values: the swept options.
        seed: its seed.
        folder: its run folder.
        config: all its options.
    """

    values: dict[str, Any]
    seed: int
    folder: Path
    config: RunConfig

    @property
    def name(self) -> str:
        """As a user reads it."""
        return self.folder.name


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        best: the objective at its best evaluation; None where it failed or had none.
        seconds: that it took, over all starts.
        error: why it failed; "" where it did not.
    """

    best: float | None
    seconds: float
    error: str = ""


Report = Callable[[Trial, Outcome, bool], None]


def combinations(
    sweep: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> list[tuple[dict[str, Any], int]]:
    """Every combination of values with every seed, in order.

    Raises:
        OptionError: they are more than anybody waits for.
    """
    count = math.prod(map(len, sweep.values())) * len(seeds)
    if count > MOST_TRAININGS:
        raise OptionError(
            f"--sweep and --seeds ask for {count:,} trainings, and {MOST_TRAININGS:,} are the most"
        )
    values = [dict(zip(sweep, chosen, strict=True)) for chosen in itertools.product(*sweep.values())]
    return [(each, seed) for each in values for seed in seeds]


def folder_name(values: Mapping[str, Any], seed: int) -> str:
    """What the run folder of a combination is called, whatever else is swept with it."""
    text = "_".join(f"{name.replace('_', '-')}={value}" for name, value in {**values, "seed": seed}.items())
    plain = re.sub(r"[^\w.=+-]", "-", text)
    # Values may differ only in what a file name cannot hold.
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def settle_folder(out: Path, base: dict[str, Any]) -> None:
    """Begin a sweep in a folder, or go on with one that had the same options.

    Args:
        out: the folder.
        base: the data and the options that all trainings share, as JSON has them.
    Raises:
        RunError: the folder holds something else, or a sweep with other options.
    """
    refuse_odd_name(out)
    path = out / SWEEP
    base = json.loads(json.dumps(base))  # as it is read back: tuples are lists
    if path.exists():
        before = parse_json(path.read_bytes(), dict[str, Any], str(path))
        for name in sorted({*before, *base}):
            if before.get(name) != base.get(name):
                raise RunError(
                    f"{out} was begun with {name} {before.get(name)!r}, and now it is {base.get(name)!r}: "
                    f"name another folder with --out"
                )
        return
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty, and holds no {SWEEP}: name another folder with --out")
    write_atomically(path, (json.dumps(base, ensure_ascii=False, indent=1) + "\n").encode())


def run_of(trial: Trial) -> Run:
    """The run folder of a training that has begun, with the options as the data settled them."""
    config = RunConfig.load(trial.folder / CONFIG)
    return run_class(config.task).kind_for(config)(trial.folder, config)


def outcome_of(trial: Trial) -> Outcome | None:
    """How a training ended; None where it is not finished."""
    if not (trial.folder / WEIGHTS).exists() or not (trial.folder / CHECKPOINT).exists():
        return None
    position = training_position(run_of(trial))
    if position is None or not position.finished:
        return None
    return Outcome(position.best, position.seconds)


def train_all(trials: Sequence[Trial], processes: int, threads: int, report: Report) -> dict[str, Outcome]:
    """Train what is not trained yet.

    Args:
        trials: the trainings.
        processes: how many run at the same time; one is this process itself.
        threads: of each.
        report: called as trainings end, with whether they had ended before.
    Returns:
        How each ended, by its name. One that diverged, or failed otherwise, does not end the others.
    Raises:
        Interrupted: a signal stopped them, after checkpoints.
    """
    outcomes: dict[str, Outcome] = {}
    left: list[Trial] = []
    for trial in trials:
        found = outcome_of(trial)
        if found is None:
            left.append(trial)
        else:
            outcomes[trial.name] = found
            report(trial, found, True)

    def ended(trial: Trial, outcome: Outcome) -> None:
        outcomes[trial.name] = outcome
        report(trial, outcome, False)

    if len(left) == 1 or processes == 1:
        for trial in left:
            ended(trial, _train(trial))
    elif left:
        _train_side_by_side(left, min(processes, len(left)), threads, ended)
    return outcomes


def _train(trial: Trial) -> Outcome:
    """Train, or go on with a training, in this process."""
    from throughtime.training.launch import resume, start
    from throughtime.training.progress import Progress

    began = time.perf_counter()
    try:
        if (trial.folder / CONFIG).exists():
            _, position = resume(trial.folder, Progress())
        else:
            _, position = start(trial.config, trial.folder, Progress())
    except ThroughtimeError as error:
        return Outcome(None, time.perf_counter() - began, str(error))
    except OSError as error:
        return Outcome(None, time.perf_counter() - began, describe_os_error(error))
    return Outcome(position.best, position.seconds)


def _train_side_by_side(
    trials: Sequence[Trial], processes: int, threads: int, ended: Callable[[Trial, Outcome], None]
) -> None:
    left = iter(trials)
    with _started(processes, threads) as workers, catch_signals() as caught:
        busy: dict[Connection, tuple[Any, Trial]] = {}
        for process, connection in workers:
            _give(process, connection, left, busy)
        told = False
        while busy:
            if caught and not told:
                told = True
                left = iter(())
                for process, _ in busy.values():
                    process.terminate()  # which has it save, and end
            for connection in wait(list(busy), timeout=0.5):
                assert isinstance(connection, Connection)
                process, trial = busy.pop(connection)
                try:
                    outcome = connection.recv()
                except (EOFError, OSError):
                    if told:
                        continue
                    process.join()
                    outcome = Outcome(None, 0.0, f"its process ended with exit code {process.exitcode}")
                    ended(trial, outcome)
                    continue
                if outcome is not None:  # None: it was stopped
                    ended(trial, outcome)
                    _give(process, connection, left, busy)
        for trial in () if caught else left:  # every process died
            ended(trial, Outcome(None, 0.0, "no process was left to train it"))
        if caught:
            raise Interrupted(caught[0], trials[0].folder.parent, 0)


def _give(process: Any, connection: Connection, left: Iterator[Trial], busy: dict[Any, Any]) -> None:
    trial = next(left, None)
    with suppress(OSError):
        connection.send(trial)
    if trial is not None:
        busy[connection] = process, trial


@contextmanager
def _started(processes: int, threads: int) -> Iterator[list[tuple[Any, Connection]]]:
    context = multiprocessing.get_context("spawn")
    workers: list[tuple[Any, Connection]] = []
    try:
        with threads_of_children(threads):
            for _ in range(processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
                process.start()
                theirs.close()
                workers.append((process, ours))
        yield workers
    finally:
        for _, connection in workers:
            connection.close()
        for process, _ in workers:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()


def _serve(connection: Connection, parent: int) -> None:
    """A process: it trains one after the other, for as long as its parent lives."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches who hands out the trainings, and that tells us once
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        while (trial := connection.recv()) is not None:
            try:
                connection.send(_train(trial))
            except Interrupted:
                connection.send(None)
                break
    except (EOFError, OSError):
        pass
    # All is on the disk. To take PyTorch apart would take seconds.
    os._exit(0)


def _watch(parent: int) -> None:
    """Save and end where who hands out the trainings was killed: another one may go on with them."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def values_of(name: str, known: Mapping[str, Any], text: str) -> tuple[str, list[Any]]:
    """An option and its values, of NAME=VALUE,VALUE.

    Args:
        name: for errors: what the user wrote before.
        known: the options that there are.
        text: as on the command line.
    Raises:
        OptionError: it is written otherwise, the option is unknown, or a value stands twice.
    """
    from difflib import get_close_matches

    option, equals, values = text.partition("=")
    option = _SHORT.get(option, option.removeprefix("--").replace("-", "_"))
    if not equals or not option or not values:
        raise OptionError(
            f"{name} {text!r} is not NAME=VALUE,VALUE, as in {name} lr=1e-3,2e-3 hidden=256,512"
        )
    if option not in known or option in ("source", "seed", "cell_option"):
        close = get_close_matches(option, known, n=1)
        hint = f": did you mean {close[0].replace('_', '-')}?" if close and option not in known else ""
        hint = ": --seeds gives several seeds" if option == "seed" else hint
        raise OptionError(f"{name} {text!r}: {option.replace('_', '-')!r} cannot be swept{hint}")
    found = [_value(one.strip()) for one in values.split(",")]
    if len(set(map(repr, found))) < len(found):
        raise OptionError(f"{name} {text!r}: a value stands there twice")
    return option, found


# What everyone calls them.
_SHORT = {"lr": "learning_rate"}


def _value(text: str) -> Any:
    if text in ("true", "false", "on", "off"):
        return text in ("true", "on")
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
