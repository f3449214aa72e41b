"""Runs side by side: one self-contained HTML page, and the pictures beside it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.files import write_atomically
from throughtime.inspection import plots
from throughtime.inspection.coloured_text import html_text
from throughtime.inspection.report import Report
from throughtime.pictures import page


@dataclass(frozen=True)
class Compared:
    """One of the runs.

    Args:
        name: how the page calls it.
        facts: of `Run.describe`.
        metrics: the lines of metrics.jsonl.
        report: of the inspection, on the same text for all.
    """

    name: str
    facts: dict[str, Any]
    metrics: list[dict[str, float]]
    report: Report

    def row(self) -> dict[str, str]:
        """The table's cells, by heading."""
        model, flow = self.facts["config"]["model"], self.report.flow
        speeds = sorted(entry["tokens_per_second"] for entry in self.metrics if "tokens_per_second" in entry)
        best = min((entry["val_loss"] for entry in self.metrics if "val_loss" in entry), default=None)
        memory = flow.effective_memory
        longest = max(flow.layers, key=lambda layer: layer.curve[-1])
        rate, low, high = longest.rate
        cut = self.report.truncation
        window = cut.chunks[-1].chunk
        keeps = [
            f"{chunk}" if chunk and chunk < window else "> " + str(cut.chunks[-2].chunk)
            for chunk in (cut.smallest(0.95), cut.smallest(0.99))
        ]
        return {
            "run": self.name,
            "model": f"{model['cell'].upper()} {model['layers']} x {model['hidden']}",
            "parameters": f"{self.facts['parameters']:,}",
            "validation loss": "" if best is None else f"{best:.4f}",
            "tokens/s": f"{speeds[len(speeds) // 2]:,.0f}" if speeds else "",
            "effective memory": f"> {self.report.lags}" if memory is None else str(memory),
            "factor a step": f"{rate:.3f} ({low:.3f} to {high:.3f})",
            "chunk for 95 %": keeps[0],
            "chunk for 99 %": keeps[1],
            "verdict": self.report.verdict,
        }


def write_comparison(runs: Sequence[Compared], folder: Path) -> Path:
    """Write index.html and its pictures.

    Args:
        runs: at least one.
        folder: where to.
    Returns:
        The page.
    """
    pictures = {
        "Loss": _draw_losses(runs, folder / "loss.png"),
        "Where the gradient goes": plots.draw_flow(
            {run.name: run.report.flow for run in runs}, folder / "gradient_flow.png"
        ),
        "What truncation costs": plots.draw_truncation(
            {run.name: run.report.truncation for run in runs}, folder / "truncation.png"
        ),
    }
    for number, run in enumerate(runs, 1):
        picture = plots.draw_gates(run.report.gates, folder / f"gates_{number}.png")
        if picture is not None:
            pictures[f"Gates of {run.name}"] = picture
    rows = [run.row() for run in runs]
    parts = [
        f"<h1>{html.escape(' and '.join(run.name for run in runs))}</h1>",
        page.table(rows),
        "<ul>",
        *(
            f"<li><b>{html.escape(run.name)}</b>: {html.escape(' '.join(run.report.sentences()))}</li>"
            for run in runs
        ),
        "</ul>",
    ]
    for title, picture in pictures.items():
        parts.append(page.picture(title, picture))
    for run in runs:
        pieces, values, target = run.report.example
        relative = values / max(values.max(), 1e-12)
        parts.append(
            f"<h2>What mattered to {html.escape(run.name)}</h2><p>Before it predicted "
            f"<code>{html.escape(repr(target))}</code>:</p>{html_text(pieces, relative)}"
        )
    title = "Throughtime: " + " and ".join(run.name for run in runs)
    write_atomically(folder / "index.html", page.page(title, parts))
    return folder / "index.html"


def _draw_losses(runs: Sequence[Compared], path: Path) -> Path:
    picture = plots.figure(7, 4)
    axes = picture.subplots()
    for index, run in enumerate(runs):
        colour = plots.COLOURS[index % len(plots.COLOURS)]
        for name, style in (
            ("train_loss", {"alpha": 0.35}),
            ("val_loss", {"marker": "o", "label": run.name}),
        ):
            points = [(entry["epoch"], entry[name]) for entry in run.metrics if name in entry]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, **style)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss in nats per token")
    axes.set_title("Loss (pale: training)")
    axes.grid(alpha=0.3)
    plots.legend(axes)
    return plots.save(picture, path)
