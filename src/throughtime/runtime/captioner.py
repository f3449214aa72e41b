"""A captioner without torch: a picture to words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.attention import AttentionOverImage
from throughtime.runtime.image_encoders import Encoder
from throughtime.runtime.layers import Array, Linear, State
from throughtime.runtime.network import FP32, Compute, linear_of, log_softmax, recurrent_of
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.captioner import CaptionerNetwork


@dataclass(frozen=True)
class Decoding:
    """Where the writing of captions stands.

    Args:
        recurrent: the recurrence's state, arrays (L, B, S).
        image: what enters at every step, (B, W); None where the image enters only once.
        grid: the places that attention chooses among, (B, P, A); None without attention.
        keys: the part of the attention's scores that does not change, (B, P, K); None without attention.
    """

    recurrent: State
    image: Array | None = None
    grid: Array | None = None
    keys: Array | None = None

    def select(self, rows: NDArray[np.int64]) -> Decoding:
        """The state whose row i is row rows[i] of this one."""
        parts = (None if part is None else part[rows] for part in (self.image, self.grid, self.keys))
        return Decoding(tuple(part[:, rows] for part in self.recurrent), *parts)


class Captioner:
    """As `throughtime.models.captioner.Captioner`, in evaluation mode.

    Args:
        weights: its tensors; those of the encoder have been taken.
        config: its options.
        vocabulary_size: V.
        encoder: images, or what was cached of them, to features.
        prefix: of the tensors' names.
        compute: how matrices are kept and multiplied.
    Attributes:
        end, start: the tokens behind the V of the tokenizer.
    Raises:
        CheckpointError: the weights are of another network.
    """

    def __init__(
        self,
        weights: Weights,
        config: CaptionerNetwork,
        vocabulary_size: int,
        encoder: Encoder,
        prefix: str = "",
        compute: Compute = FP32,
    ) -> None:
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.end, self.start = vocabulary_size, vocabulary_size + 1
        self.encoder = encoder
        width = config.image_embedding or encoder.size
        size = vocabulary_size + 2, config.embedding
        self.embedding = weights.tensor(f"{prefix}embedding.weight", size)
        enters_always = config.image_input in ("every-step", "attention")
        inputs = config.embedding + (width if enters_always else 0)
        self.recurrent = recurrent_of(weights, f"{prefix}recurrent.", config, compute, inputs)
        hidden_size, states = self.recurrent.output_size, config.layers * sum(self.recurrent.state_sizes)
        entering = {"first-input": config.embedding, "initial-state": states}.get(config.image_input, width)
        self.image: Linear | None = None
        if not enters_always or config.image_embedding:
            # Where it enters a cell beside the words, it has no bias: the cell has one.
            bias = config.image_input != "every-step"
            name = f"{prefix}image"
            self.image = linear_of(weights, name, compute, encoder.size, entering, bias)
        self.attention: AttentionOverImage | None = None
        self.initial: Linear | None = None
        if config.image_input == "attention":
            name = f"{prefix}attention."
            sizes = width, hidden_size, config.attention_size, config.embedding
            self.attention = AttentionOverImage(weights, name, *sizes, compute)
            self.initial = linear_of(weights, f"{prefix}initial", compute, width, states)
        read = config.embedding if self.attention else hidden_size
        self.output = linear_of(weights, f"{prefix}output", compute, read, vocabulary_size + 1)

    def read(self, images: NDArray[Any], tokens: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Logits of the word after each, with the true words fed.

        Args:
            images: (B, ...) as the encoder reads them.
            tokens: (T, B), START first.
        Returns:
            Logits (T, B, V + 1), and with attention its weights (T, B, P), else None.
        """
        decoding = self.begin(images)
        if self.attention is not None:
            steps = []
            for one in tokens:
                outputs, decoding, alpha = self._attend(self.embedding[one], decoding)
                steps.append((self.output(outputs), alpha))
            return np.stack([logits for logits, _ in steps]), np.stack([alpha for _, alpha in steps])
        words = self.embedding[tokens]
        if decoding.image is not None:
            images = np.broadcast_to(decoding.image, (len(words), *decoding.image.shape))
            words = np.concatenate([words, images], -1)
        outputs, _ = self.recurrent(words, decoding.recurrent)
        return self.output(outputs), None

    def begin(self, images: NDArray[Any]) -> Decoding:
        """Let images (B, ...) in; the next token to read is START."""
        features = self.encoder(images)  # (B, F), or (B, P, F) for attention
        if self.attention is not None and self.initial is not None:
            grid = features if self.image is None else np.maximum(self.image(features), 0)
            state = self._state(self.initial(grid.mean(1)))
            return Decoding(state, grid=grid, keys=self.attention.project(grid))
        if self.config.image_input == "every-step":
            image = features if self.image is None else self.image(features)
            return Decoding(self.recurrent.initial_state(len(image)), image)
        assert self.image is not None
        entered = self.image(features)
        if self.config.image_input == "initial-state":
            return Decoding(self._state(entered))
        _, state = self.recurrent(entered[None])
        return Decoding(state)

    def step(self, tokens: NDArray[np.int64], decoding: Decoding) -> tuple[Array, Decoding]:
        """Read one word (B,) for each caption: logits of the next word (B, V + 1), and where it stands."""
        words = self.embedding[tokens]
        if self.attention is not None:
            outputs, after, _ = self._attend(words, decoding)
            return self.output(outputs), after
        if decoding.image is not None:
            words = np.concatenate([words, decoding.image], -1)
        outputs, state = self.recurrent(words[None], decoding.recurrent)
        return self.output(outputs[0]), replace(decoding, recurrent=state)

    def _attend(self, words: Array, decoding: Decoding) -> tuple[Array, Decoding, Array]:
        """One step with attention, up to what the output layer reads (B, E); and the weights (B, P)."""
        attention, grid, keys = self.attention, decoding.grid, decoding.keys
        assert attention is not None and grid is not None and keys is not None
        context, alpha = attention(decoding.recurrent[0][-1], grid, keys)
        outputs, state = self.recurrent(np.concatenate([words, context], -1)[None], decoding.recurrent)
        return attention.read_out(outputs[0], words, context), replace(decoding, recurrent=state), alpha

    def _state(self, values: Array) -> State:
        """Cut (B, L * sum of S) into the recurrence's state, arrays (L, B, S)."""
        sizes = self.recurrent.state_sizes
        layers = values.reshape(len(values), self.config.layers, sum(sizes)).transpose(1, 0, 2)
        parts = np.split(layers, np.cumsum(sizes)[:-1], -1)
        return tuple(np.ascontiguousarray(part) for part in parts)


class CaptionWriter:
    """A captioner as generation wants it: the state by hand; as `models.captioner.TorchCaptionWriter`."""

    def __init__(self, model: Captioner) -> None:
        self._model = model
        self.vocabulary_size = model.vocabulary_size

    def begin(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], Decoding]:
        """Let images (N, ...) in; return the logits (N, V + 1) of the first word, and the state."""
        return self.feed(np.full(len(images), self._model.start), self._model.begin(images))

    def feed(self, tokens: NDArray[np.int64], state: Decoding) -> tuple[NDArray[np.float32], Decoding]:
        """Read tokens (N,); return the logits (N, V + 1) of the word after, and the state."""
        return self._model.step(tokens, state)

    def select(self, state: Decoding, rows: NDArray[np.int64]) -> Decoding:
        """The state whose row i is row rows[i] of the old one."""
        return state.select(np.asarray(rows, dtype=np.int64))

    def attention(self, image: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Where the model looked for each word of a caption: (T, P), or None without attention.

        Args:
            image: (1, ...), one image.
            tokens: (T,), the caption as it was written.
        """
        _, alpha = self._model.read(image, self._fed(tokens))
        return None if alpha is None else alpha[:, 0]

    def log_probability(
        self, image: NDArray[Any], tokens: NDArray[np.int64], never: Sequence[int] = ()
    ) -> float:
        """The log-probability in nats of a caption (T,), with END where it ended; `never` cannot come."""
        logits, _ = self._model.read(image, self._fed(tokens))
        logits[:, :, list(never)] = -np.inf
        logs = log_softmax(logits[:, 0])
        return float(logs[np.arange(len(tokens)), tokens].sum(dtype=np.float64))

    def _fed(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """What is read while a caption is written: START and all but its last token, (T, 1)."""
        return np.concatenate([[self._model.start], tokens[:-1]])[:, None]
