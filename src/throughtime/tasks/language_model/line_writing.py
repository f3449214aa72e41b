"""Whole lines from a model, many at once, each until its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import OptionError
from throughtime.generation.beam import beam_search
from throughtime.generation.text import Stepper, draw_tokens, read_tokens
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.tasks.language_model.lines import LINE_END

# Lines drawn at once: enough to fill the slots of the engine.
_AT_ONCE = 1024
MOST_LINES = 1_000_000


@dataclass(frozen=True)
class WrittenLine:
    """A line that a model wrote.

    Args:
        text: with what it was to begin with, and without its end.
        complete: the end came; without it the line had as many tokens as were allowed.
        log_probability: of a line that a beam search found, in nats; None where it was drawn.
    """

    text: str
    complete: bool
    log_probability: float | None = None


def end_token(tokenizer: Tokenizer) -> int:
    """The token of a line's end, which is also what is read before its first token."""
    return int(tokenizer.encode(LINE_END)[-1])


def encode_beginning(tokenizer: Tokenizer, prompt: str) -> NDArray[np.int64]:
    """The tokens (T,) that a line begins with, the one before its first included.

    Raises:
        OptionError: there is a line's end in the prompt.
        UnknownTokenError: it holds a character that the model does not know.
    """
    if LINE_END in prompt:
        raise OptionError(
            "the prompt has a line break in it, and the model writes one line: give its beginning"
        )
    return np.concatenate([[end_token(tokenizer)], tokenizer.encode(prompt, "the prompt")]).astype(np.int64)


def write_lines(
    stepper: Stepper,
    tokenizer: Tokenizer,
    count: int,
    length: int,
    options: SamplingOptions,
    seed: int,
    prompt: str = "",
    state: Any = None,
    stop: Sequence[str] = (),
) -> Iterator[WrittenLine]:
    """Draw lines, and yield them some at a time.

    Args:
        stepper: the model.
        tokenizer: its vocabulary.
        count: how many lines.
        length: tokens of a line, at most, besides the prompt and the end.
        options: how to draw.
        seed: the same seed draws the same lines.
        prompt: what each begins with.
        state: of one row, before the first token; None is the model's own.
        stop: a line also ends before the first of these strings.
    Raises:
        OptionError: count or length is out of range, or the prompt holds a line's end.
        UnknownTokenError: the prompt holds a character that the model does not know.
        NotANumberError: the model's output is NaN.
    """
    if not 1 <= count <= MOST_LINES:
        raise OptionError(f"samples must be from 1 to {MOST_LINES:,}, not {count:,}")
    if length < 0:
        raise OptionError(f"length must be 0 or above, not {length}")
    beginning = encode_beginning(tokenizer, prompt)
    logits, state = read_tokens(stepper, beginning, state)
    for number, start in enumerate(range(0, count, _AT_ONCE)):
        rows = min(_AT_ONCE, count - start)
        sampler = Sampler(options, stepper.vocabulary_size, seed + (number << 40), rows)
        # The line's end before the first token counts as nothing that was written.
        sampler.observe(np.broadcast_to(beginning[1:], (rows, len(beginning) - 1)))
        own = stepper.select(state, np.zeros(rows, np.int64))
        repeated = np.repeat(logits, rows, axis=0)
        drawn = _until_end(stepper, sampler, repeated, own, length + 1, end_token(tokenizer))
        yield from (_as_line(tokenizer, prompt, tokens, length, stop) for tokens in drawn)


def likely_lines(
    stepper: Stepper, tokenizer: Tokenizer, width: int, length: int, prompt: str = "", state: Any = None
) -> list[WrittenLine]:
    """The most probable lines by beam search, best first.

    Args:
        width: beginnings kept at every step.
        stepper, tokenizer, length, prompt, state: as for `write_lines`.
    """
    end = end_token(tokenizer)
    logits, state = read_tokens(stepper, encode_beginning(tokenizer, prompt), state)

    def step(tokens: NDArray[np.int64], state: Any) -> tuple[NDArray[np.float64], Any]:
        logits, state = stepper.feed(tokens[:, None], state)
        return log_softmax(logits.astype(np.float64)), state

    first = log_softmax(logits.astype(np.float64))
    found = beam_search(step, first, state, stepper.select, width, length + 1, end)
    lines = []
    for one in found:
        complete = bool(one.tokens) and one.tokens[-1] == end
        tokens = one.tokens[:-1] if complete else one.tokens[:length]
        lines.append(WrittenLine(prompt + tokenizer.decode(np.array(tokens)), complete, one.log_probability))
    return lines


def _until_end(
    stepper: Stepper, sampler: Sampler, logits: NDArray[np.float32], state: Any, length: int, end: int
) -> list[list[int]]:
    """The tokens of each row, up to its end with it, or `length` of them."""
    rows: list[list[int]] = [[] for _ in range(len(logits))]
    running = set(range(len(rows)))
    for tokens in draw_tokens(stepper, sampler, logits, state, length):
        for row in list(running):
            token = int(tokens[row])
            rows[row].append(token)
            if token == end:
                running.discard(row)
        if not running:
            break
    return rows


def _as_line(
    tokenizer: Tokenizer, prompt: str, tokens: list[int], length: int, stop: Sequence[str]
) -> WrittenLine:
    complete = bool(tokens) and tokens[-1] == end_token(tokenizer)
    text = _continued(tokenizer, prompt, tokens[:-1] if complete else tokens[:length])
    places = [place for one in stop if (place := text.find(one)) >= 0]
    if places:
        text, complete = text[: min(places)], True
    return WrittenLine(prompt + text, complete)


def _continued(tokenizer: Tokenizer, prompt: str, tokens: list[int]) -> str:
    """Tokens as text behind a prompt: words get the space between, and bytes their other half."""
    decoder = tokenizer.stream_decoder()
    for token in tokenizer.encode(prompt, "the prompt").tolist():
        decoder.push(token)
    return "".join(decoder.push(token) for token in tokens) + decoder.flush()
