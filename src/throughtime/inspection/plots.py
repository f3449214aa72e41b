"""The pictures of an inspection. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.inspection.flow import FORGOTTEN, GradientFlow
from throughtime.inspection.gates import GateStatistics
from throughtime.inspection.truncation import TruncationError
from throughtime.notebooks import showing
from throughtime.pictures import COLOURS
from throughtime.pictures.writing import write_picture


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure."""
    from matplotlib.figure import Figure

    return showing(Figure(figsize=(width, height), dpi=150, layout="constrained"))


def legend(axes: Any) -> None:
    """Name the lines; the name of a run is no formula, whatever stands between its dollar signs."""
    for text in axes.legend(frameon=False).get_texts():
        text.set_parse_math(False)


def save(picture: Any, path: Path) -> Path:
    """Write a figure as PNG."""
    write_picture(path, picture)
    return path


def flow_figure(flows: dict[str, GradientFlow]) -> Any:
    """The gradient's norm against lag: all layers of one run, or the longest layer of several."""
    picture = figure(7, 4.2)
    axes = picture.subplots()
    for index, (name, flow) in enumerate(flows.items()):
        layers = flow.layers if len(flows) == 1 else [max(flow.layers, key=lambda layer: layer.curve[-1])]
        for number, layer in enumerate(layers):
            label = layer.name if len(flows) == 1 else name
            colour = COLOURS[(number if len(flows) == 1 else index) % len(COLOURS)]
            axes.semilogy(np.maximum(layer.curve, 1e-12), color=colour, label=label, linewidth=1.8)
    axes.axhline(FORGOTTEN, color="#777777", linestyle="--", linewidth=1)
    axes.annotate(
        "1 %",
        (1, FORGOTTEN),
        (0.99, FORGOTTEN),
        textcoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color="#555555",
        fontsize=9,
    )
    axes.set_ylim(bottom=max(1e-8, axes.get_ylim()[0]))
    axes.set_xlabel("lag k in steps")
    axes.set_ylabel("norm of $dL_t/dh_{t-k}$, lag 0 = 1")
    axes.set_title("Where the gradient goes")
    axes.grid(alpha=0.3)
    legend(axes)
    return picture


def draw_flow(flows: dict[str, GradientFlow], path: Path) -> Path:
    """The same as PNG."""
    return save(flow_figure(flows), path)


def truncation_figure(errors: dict[str, TruncationError]) -> Any:
    """The share of the gradient that each chunk length keeps."""
    picture = figure(7, 4)
    axes = picture.subplots()
    for index, (name, error) in enumerate(errors.items()):
        chunks = [one.chunk for one in error.chunks]
        kept = [max(one.kept, 0.0) for one in error.chunks]
        axes.semilogx(chunks, kept, "o-", base=2, color=COLOURS[index % len(COLOURS)], label=name)
    for share in (0.95, 0.99):
        axes.axhline(share, color="#777777", linestyle="--", linewidth=1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("chunk length in steps")
    axes.set_ylabel("share of the full gradient kept")
    axes.set_title("What truncation costs (dashed: 95 % and 99 %)")
    axes.grid(alpha=0.3)
    if len(errors) > 1:
        legend(axes)
    return picture


def draw_truncation(errors: dict[str, TruncationError], path: Path) -> Path:
    """The same as PNG."""
    return save(truncation_figure(errors), path)


def draw_gates(gates: Sequence[GateStatistics], path: Path) -> Path | None:
    """The distribution of every gate; None where the cell has none."""
    if not gates:
        return None
    layers = list(dict.fromkeys(gate.layer for gate in gates))
    names = list(dict.fromkeys(gate.gate for gate in gates))
    picture = figure(2.6 * len(names), 2.1 * len(layers) + 0.4)
    panels = picture.subplots(len(layers), len(names), squeeze=False, sharey="row")
    for gate in gates:
        row, column = layers.index(gate.layer), names.index(gate.gate)
        axes = panels[row, column]
        edges = np.linspace(gate.low, gate.high, len(gate.histogram) + 1)
        axes.stairs(gate.histogram * len(gate.histogram), edges, fill=True, color=COLOURS[row % len(COLOURS)])
        axes.set_title(f"{gate.gate}, mean {gate.mean:.2f}", fontsize=9)
        axes.set_yticks([])
        if column == 0:
            axes.set_ylabel(gate.layer)
    return save(picture, path)


def draw_spectrum(spectra: dict[str, dict[str, NDArray[np.complex128]]], path: Path) -> Path:
    """The eigenvalues of the recurrent matrices beside the unit circle, a panel for each matrix."""
    panels = [(layer, gate, values) for layer, gates in spectra.items() for gate, values in gates.items()]
    columns = max(len(gates) for gates in spectra.values())
    picture = figure(2.8 * columns, 2.8 * len(spectra) + 0.3)
    grid = picture.subplots(len(spectra), columns, squeeze=False)
    turn = np.linspace(0, 2 * np.pi, 200)
    reach = 1.05 * max(1.0, *(np.abs(values).max() for _, _, values in panels))
    for axes, (layer, gate, values) in zip(grid.ravel(), panels, strict=False):
        axes.plot(np.cos(turn), np.sin(turn), color="#999999", linewidth=1)
        axes.plot(values.real, values.imag, ".", color=COLOURS[0], markersize=3)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.set_aspect("equal")
        axes.set_title(f"{layer}, {gate}\nradius {np.abs(values).max():.2f}", fontsize=9)
    return save(picture, path)


def draw_influence(shares: NDArray[np.float64], path: Path) -> Path:
    """The mean influence of an input on the prediction, by how long ago it was read."""
    picture = figure(7, 3.6)
    axes = picture.subplots()
    axes.semilogy(np.arange(len(shares)), np.maximum(shares, 1e-12), color=COLOURS[0])
    axes.set_xlabel("steps before the prediction")
    axes.set_ylabel("share of the influence")
    axes.set_title("How much each earlier input matters")
    axes.grid(alpha=0.3)
    return save(picture, path)
