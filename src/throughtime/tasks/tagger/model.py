"""An answer for every frame: many to many, aligned."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.draws import dropout
from throughtime.models.functions import Definition, begin_of, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.targets.target import Target
from throughtime.tasks.tagger.options import TaggerNetwork

# Frames that go through the encoder together outside training, so that a long clip needs little memory.
_FRAMES_AT_A_TIME = 512


class Tagger(nn.Module):
    """Encoder -> recurrence -> what the target takes of each frame.

    Example:
        tagger = Tagger(config, SmallCNN(64), FrameLabels(Labels("abcde")))
        logits, state = tagger(frames)                   # (T, B, 32, 32, 3) uint8 -> (T, B, 5)
        logits, state = tagger(more_frames, state)       # the same clip, further on

    Args:
        config: the sizes and options. cell "none" is the baseline that sees one frame at a time.
        encoder: maps frames (N, ...) to (N, F), each frame by itself, has F as `output_size`, and
            says in `reads` what a frame is: its shape, dtype and meaning.
        target: what is said of a frame: its W outputs, and what they are.
    """

    def __init__(self, config: TaggerNetwork, encoder: nn.Module, target: Target) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.target = target
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
        self.output = nn.Linear(self.recurrent.output_size, target.width)
        initialise(self, config)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame's label depends on later frames."""
        return isinstance(self.recurrent, Recurrent) and self.recurrent.bidirectional

    def forward(
        self, frames: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The outputs of each frame.

        Args:
            frames: (T, B, ...), as the encoder wants them.
            state: what the previous call returned, or None at the beginning of a clip.
            lengths: (B,) int64 on the CPU; frames past a clip's length are ignored. None means T for all.
        Returns:
            (T, B, W), and the state after each clip's last frame.
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
        """The part after the encoder: features (T, B, F) to outputs (T, B, W) and the state."""
        features = self._drop(features, self.config.input_dropout)
        if isinstance(self.recurrent, FrameByFrame):
            outputs, new_state = self.recurrent(features), ()
        else:
            outputs, new_state = self.recurrent(features, state, lengths)
        return self.output(self._drop(outputs, self.config.output_dropout)), new_state

    def functions(self) -> dict[str, Definition]:
        """encode: frames (T, B, ...), each by itself, to features (T, B, F). tag: these to logits (T, B, W),
        or values. begin: the state before the first frame.

        A network that reads backwards sees whole clips and has no state to carry.
        """

        def encode(frames: Tensor) -> tuple[Tensor]:
            return (self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]),)

        def tag(features: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            outputs, new = self.tag(features, state or None, lengths)
            return outputs, *(new if states else ())

        shape, dtype, meaning = self.encoder.reads  # type: ignore[misc]
        size = int(self.encoder.output_size)  # type: ignore[arg-type]
        states: tuple[Port, ...] = ()
        if isinstance(self.recurrent, Recurrent) and not self.looks_ahead:
            states = state_ports(self.recurrent)
        frames = Port("frames", dtype, ("T", "B", *shape), meaning)  # type: ignore[arg-type]
        features = Port("features", "float32", ("T", "B", size), "what the encoder says of each frame")
        lengths = Port("lengths", "int64", ("B",), "frames of each clip that count", "T")
        after = state_outputs(self.recurrent) if states else {}  # type: ignore[arg-type]
        read = (features, lengths, *states)
        found = {
            "encode": Definition(encode, (frames,), {"features": features.meaning}),
            "tag": Definition(
                tag, read, {self.target.port: f"of each frame: {self.target.meaning}", **after}
            ),
        }
        if states:
            found["begin"] = begin_of([self.recurrent], states)  # type: ignore[list-item]
        return found

    def carry(self, state: State, kept: NDArray[np.int64], beginning: int) -> State | None:
        """The state at a chunk's start: carried on in some rows, initial in those that begin a clip.

        Args:
            state: at the end of the chunk before, of its rows.
            kept: which of these rows go on; they come first.
            beginning: how many rows begin.
        """
        if not isinstance(self.recurrent, Recurrent) or len(kept) == 0:
            return None
        index = torch.from_numpy(kept).to(state[0].device)
        old = tuple(part.index_select(1, index) for part in state)
        if beginning == 0:
            return old
        new = self.recurrent.initial_state(beginning, old[0])
        return tuple(torch.cat(parts, 1) for parts in zip(old, new, strict=True))

    def _encode(self, frames: Tensor) -> Tensor:
        if self.training or len(frames) <= _FRAMES_AT_A_TIME:
            return self.encoder(frames)
        return torch.cat([self.encoder(block) for block in frames.split(_FRAMES_AT_A_TIME)])

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training)


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
                features = dropout(features, self.dropout, self.training)
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
