"""Text from a language model: sampled in a batch, streamed, or found by beam search."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.data import Tokenizer
from throughtime.errors import OptionError, UnknownTokenError
from throughtime.generation.beam import beam_search
from throughtime.generation.stop import StopStrings
from throughtime.runtime.outputs import check_output
from throughtime.runtime.sampling import Sampler, SamplingOptions

# A prompt is read in pieces: each piece's logits are V numbers for every step.
_PROMPT_CHUNK = 256
# The first tokens are shown at once; then so many a call that calling costs nothing and nobody sees it wait.
_LARGEST_DRAW = 32
_SO_FAR = "the text so far"
# Texts in one batch: each has a state, logits and a random generator, and takes about 1 MB with them.
MAX_SAMPLES = 4096


class Stepper(Protocol):
    """A language model that reads tokens and carries its state by hand."""

    vocabulary_size: int

    def feed(self, tokens: NDArray[np.int64], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        """Read tokens (N, T), T >= 1; return the logits (N, V) of the token after the last, and the state."""
        ...

    def select(self, state: Any, rows: NDArray[np.int64]) -> Any:
        """The state whose row i is row rows[i] of the old one."""
        ...


@runtime_checkable
class Drawer(Protocol):
    """A stepper that draws several tokens and reads them in one call."""

    def draw(
        self, sampler: Sampler, logits: NDArray[np.float32], state: Any, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], Any]:
        """Tokens (N, count), the first from logits (N, V); the logits after the last, and the state."""
        ...


def stream(
    stepper: Stepper,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    options: SamplingOptions,
    seed: int | None = None,
    stop: Sequence[str] = (),
    samples: int = 1,
) -> Iterator[tuple[int, str]]:
    """Sample continuations of a prompt, all in one batch, each piece of text as soon as it is known.

    Args:
        stepper: the model.
        tokenizer: its vocabulary.
        prompt: what the text begins with; "" begins after a line's end.
        length: tokens to draw for each sample, at most.
        options: how to draw.
        seed: the same seed draws the same text; None draws a new one.
        stop: a sample ends before the first of these strings.
        samples: N.
    Yields:
        (sample from 0, text), never an empty text.
    Raises:
        OptionError: length or samples is out of range.
        UnknownTokenError: the prompt holds a character that the model does not know.
        NotANumberError: the model's output is NaN.
    """
    if length < 0:
        raise OptionError(f"length must be 0 or above, not {length}")
    if not 1 <= samples <= MAX_SAMPLES:
        raise OptionError(f"samples must be from 1 to {MAX_SAMPLES:,}, not {samples:,}")
    sampler = Sampler(options, stepper.vocabulary_size, random_seed() if seed is None else seed, samples)
    prompt_tokens = tokenizer.encode(prompt, "the prompt")
    sampler.observe(np.broadcast_to(prompt_tokens, (samples, len(prompt_tokens))))
    decoders = [tokenizer.stream_decoder() for _ in range(samples)]
    for decoder in decoders:
        for token in prompt_tokens:
            decoder.push(int(token))
    stops = [StopStrings(stop) for _ in range(samples)]
    if length == 0:
        return
    logits, state = read_prompt(stepper, tokenizer, prompt_tokens)
    rows = np.zeros(samples, dtype=np.int64)
    logits, state = np.repeat(logits, samples, axis=0), stepper.select(state, rows)
    running = set(range(samples))
    for tokens in draw_tokens(stepper, sampler, logits, state, length):
        for row in sorted(running):
            text, stopped = stops[row].push(decoders[row].push(int(tokens[row])))
            if text:
                yield row, text
            if stopped:
                running.discard(row)
        if not running:
            break
    for row in sorted(running):
        text, stopped = stops[row].push(decoders[row].flush())
        text += "" if stopped else stops[row].flush()
        if text:
            yield row, text


def draw_tokens(
    stepper: Stepper, sampler: Sampler, logits: NDArray[np.float32], state: Any, length: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the tokens (N,) of one step after the other.

    Args:
        stepper: the model.
        sampler: of N rows.
        logits: (N, V) of the first token.
        state: of N rows, the one that gave these logits.
        length: steps.
    """
    if isinstance(stepper, Drawer):
        count = 1
        while length > 0:
            try:
                tokens, logits, state = stepper.draw(sampler, logits, state, min(count, length))
            except ValueError as error:
                # The sampler's own, from among many tokens that are drawn in one call.
                if "NaN" in str(error) or "inf" in str(error):
                    check_output(np.array([np.nan]), _SO_FAR)
                raise
            yield from tokens.T
            length -= count
            count = min(2 * count, _LARGEST_DRAW)
        return
    for left in range(length, 0, -1):
        tokens = sampler.sample(check_output(logits, _SO_FAR))
        yield tokens
        if left > 1:
            logits, state = stepper.feed(tokens[:, None], state)


def most_probable(
    stepper: Stepper,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    width: int,
    stop: Sequence[str] = (),
) -> list[tuple[str, float]]:
    """Continuations found by beam search, best first, each with its log-probability in nats.

    Args:
        stepper, tokenizer, prompt, length, stop: as in `stream`.
        width: beginnings kept at every step.
    """
    prompt_tokens = tokenizer.encode(prompt, "the prompt")
    if length == 0:
        return [("", 0.0)]
    logits, state = read_prompt(stepper, tokenizer, prompt_tokens)

    def step(tokens: NDArray[np.int64], state: Any) -> tuple[NDArray[np.float64], Any]:
        logits, state = stepper.feed(tokens[:, None], state)
        return log_softmax(logits.astype(np.float64)), state

    found = beam_search(step, log_softmax(logits.astype(np.float64)), state, stepper.select, width, length)
    results = []
    for hypothesis in found:
        decoder = tokenizer.stream_decoder()
        for token in prompt_tokens:
            decoder.push(int(token))
        stops = StopStrings(stop)
        text, stopped = "", False
        for token in hypothesis.tokens:
            piece, stopped = stops.push(decoder.push(token))
            text += piece
            if stopped:
                break
        if not stopped:
            text += stops.push(decoder.flush())[0] + stops.flush()
        results.append((text, hypothesis.log_probability))
    return results


def read_prompt(
    stepper: Stepper, tokenizer: Tokenizer, prompt_tokens: NDArray[np.int64]
) -> tuple[NDArray[np.float32], Any]:
    """The logits (1, V) after the prompt, and the state."""
    if len(prompt_tokens) == 0:
        prompt_tokens = np.array([line_end(tokenizer)], dtype=np.int64)
    return read_tokens(stepper, prompt_tokens)


def read_tokens(
    stepper: Stepper, tokens: NDArray[np.int64], state: Any = None
) -> tuple[NDArray[np.float32], Any]:
    """The logits (1, V) after tokens (T,), T >= 1, and the state.

    Args:
        state: of one row, before them; None is the model's own first one.
    """
    logits = np.zeros((1, stepper.vocabulary_size), dtype=np.float32)
    for start in range(0, len(tokens), _PROMPT_CHUNK):
        logits, state = stepper.feed(tokens[None, start : start + _PROMPT_CHUNK], state)
    return logits, state


def line_end(tokenizer: Tokenizer) -> int:
    """The token of a line's end, after which a text may begin; token 0 where the vocabulary has none."""
    try:
        return int(tokenizer.encode("\n")[-1])
    except UnknownTokenError:
        return 0


def random_seed() -> int:
    """A new seed, short enough to type."""
    return secrets.randbelow(2**31)
