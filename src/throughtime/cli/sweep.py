"""`throughtime train` with --seeds or --sweep: several trainings, one table, one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from throughtime.cli.terminal import error_console, print_json, result_console
from throughtime.config import RunConfig, every_option
from throughtime.errors import OptionError
from throughtime.patterns import is_pattern
from throughtime.processes import cores
from throughtime.units import duration

# What may differ between two starts of a sweep: it affects how long the trainings take.
_FREE = ("threads", "device", "checkpoint_seconds")


def run_sweep(
    source: str,
    out: Path | None,
    given: dict[str, Any],
    layers: Mapping[str, Any],
    seeds: int | None,
    sweep: Sequence[str],
    settle: Callable[[dict[str, Any]], tuple[RunConfig, str]],
    quiet: bool,
    as_json: bool,
) -> None:
    """Train every combination of options with every seed, and rank them.

    Args:
        source: the training data.
        out: the folder of the sweep.
        given: the options that the user gave.
        layers: the preset and the file of options, by what names them.
        seeds: how many.
        sweep: as on the command line, NAME=VALUE,VALUE each.
        settle: resolves options.
        quiet, as_json: as of `train`.
    """
    from throughtime.training.signals import Interrupted
    from throughtime.training.sweep import Outcome, Trial, settle_folder, train_all
    from throughtime.training.sweep_report import objective_of, rank, write_page

    if out is None:
        raise OptionError("--sweep and --seeds need --out FOLDER: the same command goes on there")
    threads = given.get("threads") or 1
    trials, why = _trials(out, given, seeds, sweep, threads, settle)
    shared = {name: value for name, value in given.items() if name not in (*_FREE, "seed")}
    settle_folder(
        out,
        {
            "source": source if is_pattern(source) else str(Path(source).resolve()),
            "options": shared,
            **layers,
        },
    )
    processes = max(1, min(cores() // threads, len(trials)))
    console = error_console()
    if not quiet:
        console.print(why, soft_wrap=True)
        console.print(
            f"{len(trials)} trainings in {out}, {processes} at a time, each on {threads} "
            f"thread{'s' * (threads > 1)}",
            soft_wrap=True,
        )
    count = 0

    def report(trial: Trial, outcome: Outcome, before: bool) -> None:
        nonlocal count
        count += 1
        if not quiet:
            said = outcome.error or ("done" if outcome.best is None else f"{outcome.best:.4f}")
            when = "done before" if before else f"in {duration(outcome.seconds)}"
            console.print(f"{count} of {len(trials)}: {trial.name}: {said} {when}", soft_wrap=True)

    try:
        outcomes = train_all(trials, processes, threads, report)
    except Interrupted as stop:
        console.print(f"Stopped and saved in {out}. The same command goes on.", soft_wrap=True)
        raise typer.Exit(128 + stop.signal_number) from None
    rows = rank(trials, outcomes)
    objective = objective_of(rows)
    page = write_page(rows, objective, out)
    if as_json:
        print_json({"page": str(page), "objective": objective, "table": [row.as_dict() for row in rows]})
    else:
        _print_table([row.cells(objective) for row in rows])
        if not quiet:
            console.print(f"The page: {page}", soft_wrap=True)
    if not any(row.scores for row in rows):
        raise OptionError(f"every training failed: {rows[0].errors[0]}")


def _trials(
    out: Path,
    given: dict[str, Any],
    seeds: int | None,
    sweep: Sequence[str],
    threads: int,
    settle: Callable[[dict[str, Any]], tuple[RunConfig, str]],
) -> tuple[list[Any], str]:
    """Every training with its options, all of which are checked before the first begins."""
    from throughtime.training.launch import with_evaluations
    from throughtime.training.sweep import MOST_TRAININGS, Trial, combinations, folder_name, values_of

    swept: dict[str, list[Any]] = {}
    for text in sweep:
        name, values = values_of("--sweep", every_option(), text)
        flag = name.replace("_", "-")
        if name in swept:
            raise OptionError(f"--sweep names {flag} twice")
        if name in given:
            raise OptionError(f"--{flag} is given, and --sweep varies it: leave one of them out")
        if name in _FREE:
            raise OptionError(
                f"--sweep {flag}: it affects the time that a training takes, not what it learns"
            )
        swept[name] = values
    trials, why = [], ""
    first = given.get("seed")
    for values, place in combinations(swept, range(min(seeds or 1, MOST_TRAININGS + 1))):
        config, why = settle({**given, **values, "threads": threads})
        config = with_evaluations(config)  # without them there is nothing to rank by
        seed = (config.training.seed if first is None else first) + place
        folder = out / folder_name(values, seed)
        trials.append(Trial(values, seed, folder, config.changed({"seed": seed})))
    return trials, why


def _print_table(cells: Sequence[dict[str, str]]) -> None:
    from rich.table import Table

    output = result_console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in cells[0]:
        table.add_column(name, justify="right")
    for row in cells:
        table.add_row(*(output.cell(value) for value in row.values()))
    output.print(table)
