"""A label for every frame: many to many, aligned."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import LSTM, State
from throughtime.cells.cell import GatedCell
from throughtime.recurrent import Recurrent


class Tagger(nn.Module):
    """Encoder -> recurrence -> logits of each frame's label.

    Example:
        tagger = Tagger(SmallCNN(64), classes=5, cell="lstm", hidden=64)
        logits, state = tagger(frames)                   # (T, B, 32, 32, 3) uint8 -> (T, B, 5)
        logits, state = tagger(more_frames, state)       # the same clip, further on

    Args:
        encoder: maps frames (N, ...) to (N, F), each frame by itself, and has F as `output_size`.
        classes: C.
        cell: a cell of `Recurrent`; "none" is the baseline that sees one frame at a time (`FrameByFrame`).
        hidden: H.
        layers: L.
        bidirectional: also read backwards. Needs the whole clip, or what comes after the frame.
        dropout: before the recurrence, between its layers and before the output.
        **cell_options: of the cell; and forget_bias, for the LSTM.
    """

    def __init__(
        self,
        encoder: nn.Module,
        classes: int,
        cell: str = "lstm",
        hidden: int = 64,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        forget_bias: float | None = None,
        kernel: str = "auto",
        **cell_options: Any,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        size = int(encoder.output_size)  # type: ignore[arg-type]
        if cell == "none":
            width = width_of_same_size(size, hidden, layers, 2 if bidirectional else 1)
            self.recurrent: Recurrent | FrameByFrame = FrameByFrame(size, width, layers + 1, dropout)
        else:
            self.recurrent = Recurrent(
                cell,
                size,
                hidden,
                num_layers=layers,
                bidirectional=bidirectional,
                dropout=dropout,
                kernel=kernel,
                **cell_options,
            )
            for one in self.recurrent.cells:
                _initialise(one, forget_bias)
        self.bidirectional = bidirectional and cell != "none"
        self.dropout = dropout
        self.output = nn.Linear(self.recurrent.output_size, classes)

    def forward(
        self, frames: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits of each frame's label.

        Args:
            frames: (T, B, ...), as the encoder wants them.
            state: what the previous call returned, or None at the beginning of a clip.
            lengths: (B,) int64 on the CPU; frames past a clip's length are ignored. None means T for all.
        Returns:
            Logits (T, B, C), and the state after each clip's last frame.
        """
        features = self._encode(frames, lengths)
        features = F.dropout(features, self.dropout, self.training)
        if isinstance(self.recurrent, FrameByFrame):
            outputs, new_state = self.recurrent(features), ()
        else:
            outputs, new_state = self.recurrent(features, state, lengths)
        return self.output(F.dropout(outputs, self.dropout, self.training)), new_state

    def _encode(self, frames: Tensor, lengths: Tensor | None) -> Tensor:
        T, B = frames.shape[:2]
        if lengths is None or int(lengths.sum()) == T * B:
            return self.encoder(frames.flatten(0, 1)).unflatten(0, (T, B))
        # Padding is left out: encoding a picture costs far more than gathering it.
        valid = torch.arange(T)[:, None] < lengths[None, :]
        valid = valid.to(frames.device)
        encoded = self.encoder(frames[valid])
        features = encoded.new_zeros(T, B, encoded.shape[-1])
        return features.index_put((valid,), encoded)


class FrameByFrame(nn.Module):
    """The baseline without recurrence: the same feed-forward network for each frame by itself.

    Args:
        input_size: F.
        width: of each hidden layer.
        layers: number of hidden layers.
        dropout: between hidden layers.
    """

    def __init__(self, input_size: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        sizes = [input_size] + [width] * layers
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))
        self.dropout = dropout
        self.output_size = width

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) -> (..., width)."""
        for index, layer in enumerate(self.layers):
            if index > 0:
                features = F.dropout(features, self.dropout, self.training)
            features = torch.relu(layer(features))
        return features


def width_of_same_size(input_size: int, hidden: int, layers: int, directions: int = 1) -> int:
    """The width of `layers` + 1 hidden layers that have as many weights as an LSTM.

    So that a recurrent model does not win by size. An LSTM layer has 4 H (I + H + 1) weights with one bias;
    the hidden layers have W (I + 1) + layers * W (W + 1).
    """
    weights = 0
    for layer in range(layers):
        inputs = input_size if layer == 0 else hidden * directions
        weights += directions * 4 * hidden * (inputs + hidden + 1)
    linear = input_size + 1 + layers
    return max(1, round((math.sqrt(linear**2 + 4 * layers * weights) - linear) / (2 * layers)))


@torch.no_grad()
def _initialise(cell: nn.Module, forget_bias: float | None) -> None:
    """Orthogonal recurrent matrices, biases of zero but the forget gate's."""
    if not isinstance(cell, GatedCell):
        return
    nn.init.orthogonal_(cell.weight_hh)
    for bias in (cell.bias_ih, cell.bias_hh):
        if bias is not None:
            nn.init.zeros_(bias)
    if isinstance(cell, LSTM) and forget_bias is not None:
        cell.set_forget_bias(forget_bias)
