"""A picture of an attention matrix: which source token each target token came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from throughtime.pictures import require_matplotlib
from throughtime.pictures.writing import write_picture

_INCHES_PER_TOKEN = 0.32
_MARGIN_INCHES = 1.6


def draw_alignment(
    attention: ArrayLike,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    path: str | Path,
    quantity: str = "attention",
) -> None:
    """Draw an attention matrix, or shares of influence, source across and target down.

    Args:
        attention: (T, S), each row summing to 1.
        source_tokens: S texts.
        target_tokens: T texts.
        path: the picture; its ending chooses the format.
        quantity: what the numbers are.
    Raises:
        OptionError: the picture cannot be written, or its format is unknown.
        MissingExtraError: matplotlib is not installed.
    Source: the picture of Bahdanau, Cho and Bengio 2015, figure 3.
    """
    require_matplotlib()
    import numpy as np
    from matplotlib.figure import Figure

    from throughtime.errors import OptionError

    weights = np.asarray(attention)
    if weights.shape != (len(target_tokens), len(source_tokens)):
        raise ValueError(
            f"the attention is {weights.shape}, expected {(len(target_tokens), len(source_tokens))}"
        )
    width = _MARGIN_INCHES + 1.0 + _INCHES_PER_TOKEN * len(source_tokens)
    height = _MARGIN_INCHES + _INCHES_PER_TOKEN * len(target_tokens)
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    most = 1.0 if quantity == "attention" else float(weights.max())
    image = axes.imshow(weights, cmap="viridis", vmin=0, vmax=most, aspect="equal")
    axes.set_xticks(range(len(source_tokens)), [_visible(token) for token in source_tokens], rotation=60)
    for label in axes.get_xticklabels():
        label.set(ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(target_tokens)), [_visible(token) for token in target_tokens])
    axes.set_xlabel("source, as it is read")
    axes.set_ylabel("target, as it is written")
    axes.set_xticks(np.arange(len(source_tokens) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(target_tokens) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#444444", linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, label=quantity, shrink=0.8)
    try:
        write_picture(path, figure)
    except ValueError as error:
        raise OptionError(f"{path} cannot be written: {error}") from None


def _visible(token: str) -> str:
    """A token with its spaces shown, and nothing that matplotlib would read as mathematics."""
    return token.replace(" ", "\u2423").replace("\n", "\u21b5").replace("$", "\\$")
