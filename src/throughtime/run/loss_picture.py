"""The losses of a training as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from throughtime.notebooks import showing
from throughtime.run.history import read_metrics
from throughtime.run.own_loss import own_loss_name

PICTURE = "loss.png"


def loss_figure(folder: Path, loss_name: str, objective: str = "val_loss") -> Any:
    """Draw the losses in metrics.jsonl against the epoch, as a figure of matplotlib.

    Training and validation are one quantity. A loss of the user's own, which no validation measures, has a
    panel of its own.

    Args:
        folder: the run folder.
        loss_name: for the axis.
        objective: the metric that picks the weights; where it is not the loss, it gets a panel of its own.
    """
    from matplotlib.figure import Figure

    entries, own = read_metrics(folder), own_loss_name(folder)
    has_objective = objective != "val_loss"
    panels = 1 + has_objective + (own is not None)
    figure = Figure(figsize=(7, 2 + 2 * panels), dpi=150, layout="constrained")
    axes = figure.subplots(panels, sharex=True, squeeze=False)[:, 0]
    # Blue and orange of the colour-blind-safe palette of Okabe and Ito.
    training = {"color": "#0072B2", "linewidth": 1.2}
    validation = {"color": "#D55E00", "linewidth": 2, "marker": "o", "markersize": 4}
    _plot(axes[0 if own is None else -1], entries, "train_loss", "training", training)
    best = _plot(axes[0], entries, "val_loss", "validation", validation)
    if best is not None and not has_objective:
        form = ".4f" if abs(best) < 1e6 else ".4g"
        unit = f"{best:{form}}"
        if "nats" in loss_name:
            unit += f" nats = {best / math.log(2):{form}} bits"
        axes[0].axhline(best, color="#999999", linewidth=0.8, linestyle="--")
        axes[0].annotate(
            f"best {unit}", (0, best), (4, -12), textcoords="offset points", color="#555555", fontsize=9
        )
    axes[0].set_ylabel(loss_name)
    if own is not None:
        axes[-1].set_ylabel(own or "your own loss", parse_math=False)
    if has_objective:
        _plot(axes[1], entries, objective, "validation", validation)
        axes[1].set_ylabel(objective.removeprefix("val_").replace("_", " "))
    axes[0].set_title(folder.resolve().name, parse_math=False)
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
