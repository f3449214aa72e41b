"""Captions from a model: one token at a time, each fed back, until END."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.generation.beam import Hypothesis, beam_search
from throughtime.runtime.outputs import check_output
from throughtime.runtime.sampling import Sampler, SamplingOptions


class CaptionWriter(Protocol):
    """A captioner that carries its state by hand. END is token V, after the tokenizer's."""

    vocabulary_size: int

    def begin(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], Any]:
        """Let images (N, ...) in; return the logits (N, V + 1) of the first token, and the state."""
        ...

    def feed(self, tokens: NDArray[np.int64], state: Any) -> tuple[NDArray[np.float32], Any]:
        """Read tokens (N,); return the logits (N, V + 1) of the token after, and the state."""
        ...

    def select(self, state: Any, rows: NDArray[np.int64]) -> Any:
        """The state whose row i is row rows[i] of the old one."""
        ...


def best_captions(
    writer: CaptionWriter,
    image: NDArray[Any],
    width: int,
    max_length: int,
    length_penalty: float = 0.0,
    never: Sequence[int] = (),
    word_reward: float = 0.0,
    rewarded_length: int | None = None,
) -> list[Hypothesis]:
    """Captions of one image by beam search, best first; END, where it came, is the last token.

    Args:
        writer: the model.
        image: (...) as the model reads it.
        width: beginnings kept at every step; 1 is greedy.
        max_length: in tokens, with END.
        length_penalty, word_reward, rewarded_length: as in `beam_search`.
        never: tokens that are not written, such as that of unknown words.
    Raises:
        OptionError: an option is out of range.
    """
    logits, state = writer.begin(image[None])

    def step(tokens: NDArray[np.int64], state: Any) -> tuple[NDArray[np.float64], Any]:
        logits, state = writer.feed(tokens, state)
        return log_softmax(_without(logits, never).astype(np.float64)), state

    first = log_softmax(_without(logits, never).astype(np.float64))
    return beam_search(
        step,
        first,
        state,
        writer.select,
        width,
        max_length,
        writer.vocabulary_size,
        length_penalty,
        word_reward,
        rewarded_length,
    )


def sample_captions(
    writer: CaptionWriter,
    images: NDArray[Any],
    max_length: int,
    options: SamplingOptions,
    seed: int = 0,
    never: Sequence[int] = (),
) -> list[list[int]]:
    """A caption for each image, all in one batch; END, where it came, is the last token.

    Args:
        writer, max_length, never: as in `best_captions`.
        images: (N, ...) as the model reads them.
        options: how to draw; temperature 0 is greedy.
        seed: the same seed draws the same captions.
    """
    logits, state = writer.begin(images)
    sampler = Sampler(options, writer.vocabulary_size + 1, seed, len(images))
    captions: list[list[int]] = [[] for _ in range(len(images))]
    running = np.ones(len(images), dtype=bool)
    for written in range(1, max_length + 1):
        tokens = sampler.sample(_without(check_output(logits, f"position {written}"), never))
        for row in np.flatnonzero(running):
            captions[row].append(int(tokens[row]))
        running &= tokens != writer.vocabulary_size
        if not running.any() or written == max_length:
            break
        logits, state = writer.feed(tokens, state)
    return captions


def greedy_captions(
    writer: CaptionWriter, images: NDArray[Any], max_length: int, never: Sequence[int] = ()
) -> list[list[int]]:
    """The most probable token at every step, for many images in one batch; as `sample_captions`."""
    return sample_captions(writer, images, max_length, SamplingOptions(temperature=0), never=never)


def _without(logits: NDArray[np.float32], never: Sequence[int]) -> NDArray[np.float32]:
    if never:
        logits = logits.copy()
        logits[:, list(never)] = -np.inf
    return logits
