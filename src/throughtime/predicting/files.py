"""Predicting for many files: what a command or a program asks for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime import __version__
from throughtime.data.joined import without_empty
from throughtime.data.sources import find_files
from throughtime.data.tables import TableFormat
from throughtime.errors import OptionError
from throughtime.files import remove_unfinished, write_atomically
from throughtime.predicting.local import work_locally
from throughtime.predicting.parts import FORMATS, SUCCESS, Finished, Output
from throughtime.predicting.plan import Plan, fingerprint, settle_plan
from throughtime.predicting.predictor import Predictor
from throughtime.predicting.tables import TableFile, describe_table, is_readable
from throughtime.predicting.work import Job
from throughtime.processes import cores
from throughtime.run.row_prediction import Kind

ENGINES = ("local", "ray")
# A few seconds of work for a classifier of short texts: what a kill may cost each process.
PART_ROWS = 20_000


@dataclass(frozen=True)
class Settings:
    """How many files are predicted.

    Args:
        out: the folder of the output.
        engine: "local" or "ray".
        processes: how many; 0 takes one for each core.
        shard: (i, n): do only every n-th unit from the i-th on, where others do the rest.
        format: of the parts, "jsonl" or "parquet".
        part_rows: rows of a part at most.
        skip_bad: leave out rows that cannot be used, with the reason in a file of errors.
    """

    out: Path
    engine: str = "local"
    processes: int = 0
    shard: tuple[int, int] = (0, 1)
    format: str = "jsonl"
    part_rows: int = PART_ROWS
    skip_bad: bool = False

    def check(self) -> None:
        """Raise OptionError for what cannot be."""
        if self.engine not in ENGINES:
            raise OptionError(f"--engine {self.engine!r} is unknown: use {' or '.join(ENGINES)}")
        if self.format not in FORMATS:
            raise OptionError(f"--format {self.format!r} is unknown: use {' or '.join(FORMATS)}")
        if re.match(r"\w{2,}:/", str(self.out)):  # a Path makes one slash of two
            raise OptionError(f"--out {self.out} is a URL: name a folder, on a disk that all processes share")
        index, count = self.shard
        if not 0 <= index < count:
            raise OptionError(
                f"--shard {index}/{count}: the first of {count} shards is 0, the last {count - 1}"
            )


@dataclass
class State:
    """How far the work is, for who shows it.

    Attributes:
        files: of the input.
        parts: of this shard.
        done: parts that are done, those of an earlier start among them.
        rows: predictions in these.
        left_out: rows that could not be used.
        read: rows that this start has read so far.
        share: of the bytes of input that are done.
        seconds: since this start began to predict.
        went_on: the folder was begun before.
        is_complete: every part of the whole work is done, other shards' among them.
    """

    files: int = 0
    parts: int = 0
    done: int = 0
    rows: int = 0
    left_out: int = 0
    read: int = 0
    share: float = 0.0
    seconds: float = 0.0
    seconds_left: float | None = None
    went_on: bool = False
    is_complete: bool = False


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str],
    settings: Settings,
    show: Callable[[State], None] = lambda state: None,
) -> State:
    """Predict for the rows of many tables.

    Args:
        predictor: the model.
        inputs: files, folders, patterns and URLs; see `find_files`.
        settings: how.
        show: called as the work goes on.
    Returns:
        How it ended.
    Raises:
        ThroughtimeError: an input, the folder or an option cannot be used, or a row cannot.
    """
    settings.check()
    if not inputs:
        raise OptionError("name the files to predict for: --out takes no standard input")
    _ = predictor.rows  # refused before anything is read
    form = _form(predictor)
    sources = without_empty(find_files(inputs, is_readable))

    def describe(source: Any) -> TableFile:
        found = describe_table(source, form, settings.part_rows)
        predictor.needed(found.columns, str(source))
        return found

    options = {
        "throughtime": __version__,
        "format": settings.format,
        "keep": list(predictor.keep),
        **predictor.facts(),
    }
    plan, went_on = settle_plan(
        settings.out, sources, describe, settings.part_rows, fingerprint(predictor.run.folder), options
    )
    units = plan.units()
    output = Output(settings.out, settings.format, len(units))
    index, count = settings.shard
    ours = units[index::count]
    # What another machine is writing looks like what a killed process left.
    names = None if count == 1 else {path.name for unit in ours for path in output.files(unit.number)}
    remove_unfinished(settings.out, names)
    state = State(len(sources), len(ours), went_on=went_on)
    todo: list[int] = []
    sizes = {unit.number: max(unit.size, 1) for unit in ours}
    total = sum(sizes.values())
    before = 0
    for unit in ours:
        found = output.finished(unit.number)
        if found is None:
            todo.append(unit.number)
        else:
            before += sizes[unit.number]
            _add(state, found)
    state.share = before / total if total else 1.0
    show(state)
    began = time.perf_counter()
    done = before

    def report(number: int | None, found: Finished | int) -> None:
        nonlocal done
        state.seconds = time.perf_counter() - began
        if number is None:
            assert isinstance(found, int)
            state.read += found
        else:
            assert isinstance(found, Finished)
            _add(state, found)
            done += sizes[number]
            state.share = done / total
            state.seconds_left = state.seconds * (total - done) / max(done - before, 1)
        show(state)

    if todo:
        processes = settings.processes or cores()
        kept: dict[str, Kind] = {name: _kind(plan, name) for name in predictor.keep}
        job = Job(predictor, settings.out.resolve(), settings.format, form, settings.skip_bad, kept)
        if settings.engine == "ray":
            from throughtime.predicting.ray_engine import work_with_ray as work
        else:
            work = work_locally
        try:
            work(job, todo, processes, predictor.threads, report)
        except BaseException:
            if settings.engine == "local":  # others may still be at work on other machines
                remove_unfinished(settings.out, names)
            raise
        # All our parts are there. Actors of Ray outlive a command that was killed by seconds: what one of
        # them still writes is there already.
        remove_unfinished(settings.out, names, also_of_running=settings.engine == "ray")
    every = [found for unit in units if (found := output.finished(unit.number)) is not None]
    state.is_complete = len(every) == len(units)
    if state.is_complete:
        rows, left_out = sum(one.rows for one in every), sum(one.left_out for one in every)
        facts = {"parts": len(every), "rows": rows, "left_out": left_out}
        write_atomically(settings.out / SUCCESS, (json.dumps(facts) + "\n").encode())
    return state


def _add(state: State, found: Finished) -> None:
    state.done += 1
    state.rows += found.rows
    state.left_out += found.left_out


def _kind(plan: Plan, column: str) -> type:
    """What a column that is kept holds in every file; text where they differ."""
    kinds = {file.kind(column) for file in plan.files}
    return kinds.pop() if len(kinds) == 1 else str


def _form(predictor: Predictor) -> TableFormat:
    """How the run's own tables are written, which those to predict for are written like."""
    form = TableFormat.of(predictor.run.config.data)
    if form.groups is not None:
        raise OptionError(
            f"{predictor.folder} joins rows by `{form.groups.column}` (--group-by), and parts of files would "
            f"tear them apart: use `throughtime predict` without --out"
        )
    return form
