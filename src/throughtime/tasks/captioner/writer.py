"""A captioner by its functions: the state by hand, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.program.network import Functions

State = Mapping[str, NDArray[Any]]


class CaptionWriter:
    """Lets images in and writes words, one after the other.

    Args:
        network: its functions encoder and step; what the encoder gives is the first state, of which step
            gives new_NAME where a NAME of it changes.
        vocabulary_size: V; END is token V and START token V + 1.
    """

    def __init__(self, network: Functions, vocabulary_size: int) -> None:
        self._network = network
        self.vocabulary_size = vocabulary_size
        self._start = vocabulary_size + 1
        self._images = network.functions["encoder"].inputs[0].name
        self._axes = {port.name: port.axis("B") for port in network.functions["step"].inputs}
        self._attends = "grid" in self._axes

    def begin(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], State]:
        """Let images (N, ...) in; return the logits (N, V + 1) of the first word, and the state."""
        state = self._network("encoder", {self._images: images})
        return self.feed(np.full(len(images), self._start), state)

    def feed(self, tokens: NDArray[np.int64], state: State) -> tuple[NDArray[np.float32], State]:
        """Read tokens (N,); return the logits (N, V + 1) of the word after, and the state."""
        found, state = self._step(tokens, state)
        return found["logits"], state

    def select(self, state: State, rows: NDArray[np.int64]) -> State:
        """The state whose row i is row rows[i] of the old one."""
        rows = np.asarray(rows, dtype=np.int64)
        return {name: np.take(part, rows, self._axes[name]) for name, part in state.items()}

    def attention(self, image: NDArray[Any], tokens: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Where the model looked for each word of a caption: (T, P), or None without attention.

        Args:
            image: (1, ...), one image.
            tokens: (T,), the caption as it was written.
        """
        if not self._attends:
            return None
        return np.concatenate([found["attention"] for found in self._read(image, tokens)])

    def log_probability(
        self, image: NDArray[Any], tokens: NDArray[np.int64], never: Sequence[int] = ()
    ) -> float:
        """The log-probability in nats of a caption (T,), with END where it ended; `never` cannot come."""
        logits = np.concatenate([found["logits"] for found in self._read(image, tokens)])
        logits[:, list(never)] = -np.inf
        return float(log_softmax(logits)[np.arange(len(tokens)), tokens].sum(dtype=np.float64))

    def _read(self, image: NDArray[Any], tokens: NDArray[np.int64]) -> list[dict[str, NDArray[Any]]]:
        """What each step gives while a caption is written: START is read, and all but its last token."""
        state: State = self._network("encoder", {self._images: image})
        steps = []
        for token in [self._start, *tokens[:-1].tolist()]:
            found, state = self._step(np.array([token]), state)
            steps.append(found)
        return steps

    def _step(self, tokens: NDArray[np.int64], state: State) -> tuple[dict[str, NDArray[Any]], State]:
        found = self._network("step", {"token": tokens, **state})
        return found, {name: found.get(f"new_{name}", part) for name, part in state.items()}
