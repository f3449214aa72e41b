"""A label for every frame: many to many, aligned."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.config.tagger import TaggerNetwork
from throughtime.errors import OptionError
from throughtime.models.initialise import initialise
from throughtime.recurrent import Recurrent, locked_dropout

# Frames that go through the encoder together outside training, so that a long clip needs little memory.
_FRAMES_AT_A_TIME = 512


class Tagger(nn.Module):
    """Encoder -> recurrence -> logits of each frame's label.

    Example:
        tagger = Tagger(config, SmallCNN(64), classes=5)
        logits, state = tagger(frames)                   # (T, B, 32, 32, 3) uint8 -> (T, B, 5)
        logits, state = tagger(more_frames, state)       # the same clip, further on

    Args:
        config: the sizes and options. cell "none" is the baseline that sees one frame at a time.
        encoder: maps frames (N, ...) to (N, F), each frame by itself, and has F as `output_size`.
        classes: C.
    """

    def __init__(self, config: TaggerNetwork, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.classes = classes
        size = int(encoder.output_size)  # type: ignore[arg-type]
        directions = 2 if config.bidirectional else 1
        self.recurrent: Recurrent | FrameByFrame
        if config.cell == "none":
            width = width_of_same_size(size, config.hidden, config.layers, directions)
            self.recurrent = FrameByFrame(size, width, config.layers + 1, config.dropout)
        else:
            self.recurrent = Recurrent(
                config.cell,
                size,
                config.hidden,
                bidirectional=config.bidirectional,
                **config.recurrent_options(),
            )
        self.output = nn.Linear(self.recurrent.output_size, classes)
        initialise(self, config)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame's label depends on later frames."""
        return isinstance(self.recurrent, Recurrent) and self.recurrent.bidirectional

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
        return self.tag(self.encode(frames, lengths), state, lengths)

    def encode(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The encoder's features of frames (T, B, ...): (T, B, F)."""
        T, B = frames.shape[:2]
        if lengths is None or int(lengths.sum()) == T * B:
            return self._encode(frames.flatten(0, 1)).unflatten(0, (T, B))
        # Padding is left out: encoding a picture costs far more than gathering it.
        valid = (torch.arange(T)[:, None] < lengths[None, :]).to(frames.device)
        encoded = self._encode(frames[valid])
        return encoded.new_zeros(T, B, encoded.shape[-1]).index_put((valid,), encoded)

    def tag(
        self, features: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The part after the encoder: features (T, B, F) to logits (T, B, C) and the state."""
        features = self._drop(features, self.config.input_dropout)
        if isinstance(self.recurrent, FrameByFrame):
            outputs, new_state = self.recurrent(features), ()
        else:
            outputs, new_state = self.recurrent(features, state, lengths)
        return self.output(self._drop(outputs, self.config.output_dropout)), new_state

    def _encode(self, frames: Tensor) -> Tensor:
        if self.training or len(frames) <= _FRAMES_AT_A_TIME:
            return self.encoder(frames)
        return torch.cat([self.encoder(block) for block in frames.split(_FRAMES_AT_A_TIME)])

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return F.dropout(sequence, probability, self.training)


class FrameStepper:
    """A causal tagger that is fed as frames come, with nothing kept but its state.

    Args:
        model: the network; its encoder's part of the work is done here as well.
    Raises:
        OptionError: the network reads backwards.
    """

    def __init__(self, model: Tagger) -> None:
        if model.looks_ahead:
            raise OptionError(
                "this tagger is bidirectional: the label of a frame depends on frames that have not come "
                "yet, so it cannot run as a stream; train one without --bidirectional, or predict whole clips"
            )
        self._model = model.eval()
        self._device = model.output.weight.device
        self._state: State | None = None

    @torch.inference_mode()
    def feed(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """Read frames (N, ...); return the probabilities (N, C) of each one's label."""
        logits, self._state = self._model(torch.from_numpy(frames).unsqueeze(1).to(self._device), self._state)
        return torch.softmax(logits[:, 0].float(), -1).cpu().numpy()


@torch.inference_mode()
def label_whole_clip(model: Tagger, blocks: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
    """The probabilities (T, C) of a clip's labels, from the whole clip at once.

    Args:
        model: in evaluation mode.
        blocks: the clip's frames, (N, ...) at a time; only their features are kept.
    """
    device = model.output.weight.device
    features = [model.encode(torch.from_numpy(block).unsqueeze(1).to(device)) for block in blocks]
    logits, _ = model.tag(torch.cat(features))
    return torch.softmax(logits[:, 0].float(), -1).cpu().numpy()


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
