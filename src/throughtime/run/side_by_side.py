"""Runs of one task side by side: what they measured in training, on one HTML page. Needs no torch."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.errors import OptionError
from throughtime.files import write_atomically
from throughtime.pictures import COLOURS, page
from throughtime.pictures.writing import write_picture
from throughtime.run.history import read_metrics

if TYPE_CHECKING:
    from throughtime.run.run import Run

_VALIDATION = "val_"


def check_comparable(runs: Sequence[Run]) -> None:
    """Raise OptionError where runs are of different tasks: their metrics are not of the same things."""
    tasks = {run.task: run for run in runs}
    if len(tasks) > 1:
        said = " and ".join(f"{run.folder} is a {task}" for task, run in tasks.items())
        raise OptionError(f"only runs of one task are compared, and {said}")


def different_data(runs: Sequence[Run]) -> str:
    """What to know where the runs were not trained and validated on the same files; else ""."""
    sources = list(dict.fromkeys(run.describe()["config"]["data"]["source"] for run in runs))
    return "" if len(sources) == 1 else f"the runs are measured on different data: {', '.join(sources)}"


def rows_of(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, str]]:
    """A table's cells by heading, a row for each run: its model, and the metrics at its best evaluation."""
    found = [(run, read_metrics(run.folder)) for run in runs]
    metrics = _metrics([entries for _, entries in found])
    rows = []
    for name, (run, entries) in zip(names, found, strict=True):
        facts = run.describe()
        model = facts["config"]["model"]
        best = _best(entries, run.objective, run.higher_is_better)
        speeds = sorted(entry["tokens_per_second"] for entry in entries if "tokens_per_second" in entry)
        row = {
            "run": name,
            "model": f"{model['cell'].upper()} {model['layers']} x {model['hidden']}",
            "parameters": f"{facts['parameters']:,}",
            "best epoch": f"{best['epoch']:g}" if best else "",
        }
        for metric in metrics:
            row[_title(metric)] = f"{best[metric]:.4f}" if metric in best else ""
        row["tokens/s"] = f"{speeds[len(speeds) // 2]:,.0f}" if speeds else ""
        rows.append(row)
    return rows


def write_side_by_side(
    runs: Sequence[Run], names: Sequence[str], rows: Sequence[dict[str, str]], folder: Path
) -> Path:
    """Write index.html with the table and the curves, which also lie beside it.

    Args:
        runs: of one task.
        names: how the page calls them.
        rows: of `rows_of`.
        folder: where to.
    Returns:
        The page.
    """
    curves = folder / "curves.png"
    write_picture(curves, _curves(runs, names))
    title = " and ".join(names)
    different = different_data(runs)
    parts = [f"<h1>{html.escape(title)}</h1>", page.table(rows)]
    parts += [f"<p>Note: {html.escape(different)}.</p>"] if different else []
    parts.append(page.picture("What was measured in training", curves))
    write_atomically(folder / "index.html", page.page(f"Throughtime: {title}", parts))
    return folder / "index.html"


def _metrics(runs: Sequence[Sequence[dict[str, float]]]) -> list[str]:
    """What any of the runs measured on its validation data, the loss first."""
    names = dict.fromkeys(name for entries in runs for entry in entries for name in entry)
    return [name for name in names if name.startswith(_VALIDATION)]


def _best(entries: Sequence[dict[str, float]], objective: str, higher: bool) -> dict[str, float]:
    measured = [entry for entry in entries if objective in entry]
    choose = max if higher else min
    return choose(measured, key=lambda entry: entry[objective]) if measured else {}


def _title(metric: str) -> str:
    return "validation loss" if metric == "val_loss" else metric.removeprefix(_VALIDATION).replace("_", " ")


def _curves(runs: Sequence[Run], names: Sequence[str]) -> Any:
    """A panel for the loss, training pale, and one for each metric."""
    from matplotlib.figure import Figure

    found = [read_metrics(run.folder) for run in runs]
    metrics = ["val_loss", *(name for name in _metrics(found) if name != "val_loss")]
    columns = min(2, len(metrics))
    lines = -(-len(metrics) // columns)
    figure = Figure(figsize=(5.5 * columns, 3.2 * lines), dpi=150, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        for index, (name, entries) in enumerate(zip(names, found, strict=True)):
            style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)]}
            if metric == "val_loss":
                _plot(axes, entries, "train_loss", alpha=0.35, **style)
            _plot(axes, entries, metric, marker="o", markersize=3, label=name, **style)
        title = "loss (pale: training)" if metric == "val_loss" else _title(metric)
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    for text in (
        panels[0].legend(frameon=False).get_texts() if panels[0].get_legend_handles_labels()[0] else ()
    ):
        text.set_parse_math(False)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    return figure


def _plot(axes: Any, entries: Sequence[dict[str, float]], metric: str, **style: Any) -> None:
    points = [(entry["epoch"], entry[metric]) for entry in entries if metric in entry]
    if points:
        axes.plot(*zip(*points, strict=True), **style)
