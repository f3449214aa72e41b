"""A picture to words: one to many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.config.captioner import CaptionerNetwork
from throughtime.encoders.encoder import Encoder
from throughtime.models.attention_over_image import AttentionOverImage
from throughtime.models.initialise import initialise
from throughtime.recurrent import Recurrent, locked_dropout


@dataclass(frozen=True)
class Decoding:
    """Where the writing of captions stands.

    Args:
        recurrent: the recurrence's state, tensors (L, B, S).
        image: what enters at every step, (B, W); None where the image enters only once.
        grid: the places that attention chooses among, (B, P, A); None without attention.
        keys: the part of the attention's scores that does not change, (B, P, K); None without attention.
    """

    recurrent: State
    image: Tensor | None = None
    grid: Tensor | None = None
    keys: Tensor | None = None

    def select(self, rows: Tensor) -> Decoding:
        """The state whose row i is row rows[i] of this one."""
        parts = (None if part is None else part[rows] for part in (self.image, self.grid, self.keys))
        return Decoding(tuple(part.index_select(1, rows) for part in self.recurrent), *parts)


class Captioner(nn.Module):
    """Image features enter a recurrence; words come out until END.

    The features v enter in one of four ways, `config.image_input`:

        every-step      h_t = tanh(W_hh h_{t-1} + W_xh x_t + W_ih v)   (Karpathy and Fei-Fei 2015; Mao et al.
                        2015). For every cell: v stands beside the word in the cell's input.
        first-input     x_0 = W v, then START and the words (Vinyals et al. 2015, equations 10 to 12)
        initial-state   h_0 (and c_0) = W v + b
        attention       x_t and a mean over the feature grid, weighted anew at each step (Xu et al. 2015)

    Tokens: those of the tokenizer, 0 to V - 1, then END = V and START = V + 1. START is read, never written.

    Args:
        config: the sizes and options.
        vocabulary_size: V.
        encoder: images, or what was cached of them, to features.
    """

    def __init__(self, config: CaptionerNetwork, vocabulary_size: int, encoder: Encoder) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.end, self.start = vocabulary_size, vocabulary_size + 1
        self.encoder = encoder
        width = config.image_embedding or encoder.size
        self.embedding = nn.Embedding(vocabulary_size + 2, config.embedding)
        enters_always = config.image_input in ("every-step", "attention")
        self.recurrent = Recurrent(
            config.cell,
            config.embedding + (width if enters_always else 0),
            config.hidden,
            **config.recurrent_options(),
        )
        self.image: nn.Linear | None = None
        if config.image_input == "first-input":
            self.image = nn.Linear(encoder.size, config.embedding)
        elif config.image_input == "initial-state":
            self.image = nn.Linear(encoder.size, config.layers * sum(self.recurrent.state_sizes))
        elif config.image_embedding:
            # Without a bias: the cell has one.
            self.image = nn.Linear(encoder.size, width, bias=config.image_input == "attention")
        self.attention = (
            AttentionOverImage(width, self.recurrent.output_size, config.attention_size, config.embedding)
            if config.image_input == "attention"
            else None
        )
        self.initial = (
            nn.Linear(width, config.layers * sum(self.recurrent.state_sizes)) if self.attention else None
        )
        read = config.embedding if self.attention else self.recurrent.output_size
        self.output = nn.Linear(read, vocabulary_size + 1)
        initialise(self, config)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of the word after each, with the true words fed (teacher forcing).

        Args:
            images: (B, ...) as the encoder reads them.
            tokens: (T, B) int64, START first.
        Returns:
            Logits (T, B, V + 1), and with attention its weights (T, B, P), else None.
        """
        decoding = self.begin(images)
        words = self._drop(self.embedding(tokens), self.config.input_dropout)
        if self.attention is not None:
            return self._attend_through_time(words, decoding)
        if decoding.image is not None:
            words = torch.cat([words, decoding.image.to(words.dtype).expand(len(words), -1, -1)], -1)
        outputs, _ = self.recurrent(words, decoding.recurrent)
        return self.output(self._drop(outputs, self.config.output_dropout)), None

    def begin(self, images: Tensor) -> Decoding:
        """Let the image in; the next token to read is START.

        Args:
            images: (B, ...) as the encoder reads them.
        """
        features = self.encoder(images)  # (B, F), or (B, P, F) for attention
        features = F.dropout(features, self.config.feature_dropout, self.training)
        if self.attention is not None and self.initial is not None:
            grid = features if self.image is None else torch.relu(self.image(features))
            state = self._state(self.initial(grid.mean(1)))
            return Decoding(state, grid=grid, keys=self.attention.project(grid))
        if self.config.image_input == "every-step":
            image = features if self.image is None else self.image(features)
            return Decoding(self.recurrent.initial_state(len(image), image), image)
        assert self.image is not None
        entered = self.image(features)
        if self.config.image_input == "initial-state":
            return Decoding(self._state(entered))
        _, state = self.recurrent(entered[None])
        return Decoding(state)

    def step(self, tokens: Tensor, decoding: Decoding) -> tuple[Tensor, Decoding]:
        """Read one word for each caption.

        Args:
            tokens: (B,) int64.
            decoding: what `begin` or the previous step returned.
        Returns:
            Logits of the next word (B, V + 1), and where the writing stands.
        """
        words = self.embedding(tokens)
        if self.attention is not None:
            outputs, after, _ = self._attend(words, decoding)
            return self.output(outputs), after
        if decoding.image is not None:
            words = torch.cat([words, decoding.image.to(words.dtype)], -1)
        outputs, state = self.recurrent(words[None], decoding.recurrent)
        return self.output(outputs[0]), replace(decoding, recurrent=state)

    def _attend(
        self, words: Tensor, decoding: Decoding, mask: Tensor | None = None
    ) -> tuple[Tensor, Decoding, Tensor]:
        """One step with attention, up to what the output layer reads (B, E); and the weights (B, P)."""
        attention, grid, keys = self.attention, decoding.grid, decoding.keys
        assert attention is not None and grid is not None and keys is not None
        context, alpha = attention(decoding.recurrent[0][-1], grid, keys)
        inputs = torch.cat([words, context.to(words.dtype)], -1)
        outputs, state = self.recurrent(inputs[None], decoding.recurrent)
        hidden = outputs[0] if mask is None else outputs[0] * mask
        return attention.read_out(hidden, words, context), replace(decoding, recurrent=state), alpha

    def _attend_through_time(self, words: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
        """A loop over time: what is looked at depends on the state."""
        ones = words.new_ones(*words.shape[:2], self.recurrent.output_size)
        masks = self._drop(ones, self.config.output_dropout)
        outputs: list[Tensor] = []
        alphas: list[Tensor] = []
        for word, mask in zip(words.unbind(0), masks.unbind(0), strict=True):
            output, decoding, alpha = self._attend(word, decoding, mask)
            outputs.append(output)
            alphas.append(alpha)
        return self.output(torch.stack(outputs)), torch.stack(alphas)

    def _state(self, values: Tensor) -> State:
        """Cut (B, L * sum of S) into the recurrence's state, tensors (L, B, S)."""
        sizes = self.recurrent.state_sizes
        layers = values.view(len(values), self.config.layers, sum(sizes)).transpose(0, 1)
        return tuple(part.contiguous() for part in layers.split(sizes, -1))

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return F.dropout(sequence, probability, self.training)


class TorchCaptionWriter:
    """A captioner as generation wants it: NumPy in, NumPy out, the state by hand."""

    def __init__(self, model: Captioner) -> None:
        self._model = model.eval()
        self._device = model.output.weight.device
        self.vocabulary_size = model.vocabulary_size

    @torch.inference_mode()
    def begin(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], Decoding]:
        """Let images (N, ...) in; return the logits (N, V + 1) of the first word, and the state."""
        decoding = self._model.begin(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))
        starts = torch.full((len(images),), self._model.start, device=self._device)
        logits, decoding = self._model.step(starts, decoding)
        return logits.float().cpu().numpy(), decoding

    @torch.inference_mode()
    def feed(self, tokens: NDArray[np.int64], state: Decoding) -> tuple[NDArray[np.float32], Decoding]:
        """Read tokens (N,); return the logits (N, V + 1) of the word after, and the state."""
        logits, state = self._model.step(torch.from_numpy(tokens).to(self._device), state)
        return logits.float().cpu().numpy(), state

    def select(self, state: Decoding, rows: NDArray[np.int64]) -> Decoding:
        """The state whose row i is row rows[i] of the old one."""
        return state.select(torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self._device))

    @torch.inference_mode()
    def attention(self, image: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Where the model looked for each word of a caption: (T, P), or None without attention.

        Args:
            image: (1, ...), one image.
            tokens: (T,), the caption as it was written.
        """
        read = np.concatenate([[self._model.start], tokens[:-1]])
        images = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        _, alpha = self._model(images, torch.from_numpy(read)[:, None].to(self._device))
        return None if alpha is None else alpha[:, 0].float().cpu().numpy()

    @torch.inference_mode()
    def log_probability(
        self, image: NDArray[Any], tokens: NDArray[np.int64], never: Sequence[int] = ()
    ) -> float:
        """The log-probability in nats of a caption (T,), with END where it ended; `never` cannot come."""
        read = np.concatenate([[self._model.start], tokens[:-1]])
        images = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        logits, _ = self._model(images, torch.from_numpy(read)[:, None].to(self._device))
        logits = logits[:, 0].float().cpu()
        logits[:, list(never)] = -torch.inf
        logs = torch.log_softmax(logits, -1)
        return float(logs[torch.arange(len(tokens)), torch.from_numpy(tokens)].sum())
