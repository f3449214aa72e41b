"""What a sweep found: one table, best first, and one page with the curves."""

from __future__ import annotations

import html
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.files import write_atomically
from throughtime.pictures import page
from throughtime.pictures.writing import write_picture
from throughtime.run import run_class
from throughtime.run.history import read_metrics
from throughtime.training.sweep import Outcome, Trial, outcome_of, run_of
from throughtime.units import duration

# Okabe and Ito 2008; combinations behind the best seven are grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GREY = "#BBBBBB"


@dataclass(frozen=True)
class Row:
    """A combination of values, over its seeds.

    Args:
        values: the swept options.
        trials: one for each seed.
        scores: of those that ended well.
        errors: of those that did not.
        seconds: of all together.
    """

    values: dict[str, Any]
    trials: tuple[Trial, ...]
    scores: tuple[float, ...]
    errors: tuple[str, ...]
    seconds: float

    @property
    def name(self) -> str:
        """As a user reads it."""
        return " ".join(f"{name.replace('_', '-')}={value}" for name, value in self.values.items()) or "all"

    @property
    def median(self) -> float | None:
        """The median of the scores."""
        return statistics.median(self.scores) if self.scores else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "options": self.values,
            "median": self.median,
            "lowest": min(self.scores, default=None),
            "highest": max(self.scores, default=None),
            "runs": [str(trial.folder) for trial in self.trials],
            "failed": len(self.errors),
            "errors": list(self.errors),
            "seconds": round(self.seconds, 3),
        }

    def cells(self, objective: str) -> dict[str, str]:
        """The table's cells, by heading."""
        cells = {name.replace("_", "-"): str(value) for name, value in self.values.items()}
        cells[f"median {objective}"] = "failed" if self.median is None else f"{self.median:.4f}"
        several = len(self.scores) > 1
        cells["range"] = f"{min(self.scores):.4f} to {max(self.scores):.4f}" if several else ""
        cells["runs"] = str(len(self.trials)) + (f" ({len(self.errors)} failed)" if self.errors else "")
        cells["time"] = duration(self.seconds)
        return cells


def rank(trials: Sequence[Trial], outcomes: dict[str, Outcome]) -> list[Row]:
    """The combinations, best median first; those that failed last."""
    grouped: dict[str, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(repr(trial.values), []).append(trial)
    rows = []
    for group in grouped.values():
        ended = [outcomes[trial.name] for trial in group]
        scores = tuple(one.best for one in ended if one.best is not None)
        errors = tuple(one.error or "it was never evaluated" for one in ended if one.best is None)
        rows.append(Row(group[0].values, tuple(group), scores, errors, sum(one.seconds for one in ended)))
    sign = -1 if run_class(trials[0].config.task).higher_is_better else 1
    return sorted(rows, key=lambda row: (row.median is None, sign * (row.median or 0.0), row.name))


def objective_of(rows: Sequence[Row]) -> str:
    """The metric by which the trainings are ranked."""
    best = next((row for row in rows if row.scores), None)
    if best is None:
        return "val_loss"
    ended = next(trial for trial in best.trials if outcome_of(trial) is not None)
    run = run_of(ended)
    run.load()
    return run.objective


def write_page(rows: Sequence[Row], objective: str, out: Path) -> Path:
    """Write index.html with the table and the curves, and the curves as pictures beside it.

    Returns:
        The page.
    """
    figure = _curves(rows, objective)
    for name in ("curves.png", "curves.svg"):
        write_picture(out / name, figure)
    title = f"Sweep: {out.resolve().name}"
    errors = [f"<li>{html.escape(f'{row.name}: {error}')}</li>" for row in rows for error in row.errors]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        page.table([row.cells(objective) for row in rows]),
        f"<ul>{''.join(errors)}</ul>" if errors else "",
        page.picture("Curves", out / "curves.svg"),
    ]
    write_atomically(out / "index.html", page.page(title, parts))
    return out / "index.html"


def _curves(rows: Sequence[Row], objective: str) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    for place, row in reversed(list(enumerate(rows))):
        colour = _COLOURS[place] if place < len(_COLOURS) else _GREY
        label = row.name if place < len(_COLOURS) else None
        for trial in row.trials:
            points = [
                (one["epoch"], one[objective]) for one in read_metrics(trial.folder) if objective in one
            ]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="o", markersize=3)
                label = None
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(objective.removeprefix("val_").replace("_", " ") + " (validation)")
    axes.set_title("A line for each seed, a colour for each combination")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(handles[::-1], labels[::-1], frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure
