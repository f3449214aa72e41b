"""The losses of a training as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from throughtime.notebooks import showing
from throughtime.run.history import read_metrics

PICTURE = "loss.png"


def loss_figure(folder: Path, loss_name: str, objective: str = "val_loss") -> Any:
    """Draw the losses in metrics.jsonl against the epoch, as a figure of matplotlib.

    Args:
        folder: the run folder.
        loss_name: for the axis.
        objective: the metric that picks the weights; where it is not the loss, it gets a panel of its own.
    """
    from matplotlib.figure import Figure

    entries = read_metrics(folder)
    panels = 1 if objective == "val_loss" else 2
    figure = Figure(figsize=(7, 4 if panels == 1 else 6), dpi=150, layout="constrained")
    axes = figure.subplots(panels, sharex=True, squeeze=False)[:, 0]
    # Blue and orange of the colour-blind-safe palette of Okabe and Ito.
    training = {"color": "#0072B2", "linewidth": 1.2}
    validation = {"color": "#D55E00", "linewidth": 2, "marker": "o", "markersize": 4}
    _plot(axes[0], entries, "train_loss", "training", training)
    best = _plot(axes[0], entries, "val_loss", "validation", validation)
    if best is not None and panels == 1:
        unit = f"{best:.4f} nats = {best / math.log(2):.4f} bits"
        axes[0].axhline(best, color="#999999", linewidth=0.8, linestyle="--")
        axes[0].annotate(
            f"best {unit}", (0, best), (4, -12), textcoords="offset points", color="#555555", fontsize=9
        )
    axes[0].set_ylabel(loss_name)
    if panels == 2:
        _plot(axes[1], entries, objective, "validation", validation)
        axes[1].set_ylabel(objective.removeprefix("val_").replace("_", " "))
    axes[0].set_title(folder.resolve().name)
    axes[-1].set_xlabel("epoch")
    for panel in axes:
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(frameon=False)
    return showing(figure)


def _plot(
    axes: Any, entries: list[dict[str, float]], name: str, label: str, style: dict[str, Any]
) -> float | None:
    """Draw one metric against the epoch; return its lowest value."""
    points = [(entry["epoch"], entry[name]) for entry in entries if name in entry]
    if points:
        axes.plot(*zip(*points, strict=True), label=label, **style)
    return min((value for _, value in points), default=None)
