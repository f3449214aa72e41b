"""Drawing the next token of each stream from its logits.

`Sampler` is what generation uses; it runs the native function. `reference_sample` is the same in plain NumPy:
the definition to read, and what the tests hold the native one to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime import _native
from throughtime.arrays import whole_numbers
from throughtime.errors import OptionError
from throughtime.facts import shown
from throughtime.runtime import generators
from throughtime.saved import Saved

# More than any vocabulary has, and what the native sampler's numbers hold.
_LARGEST_TOP_K = 2**31 - 1


@dataclass(frozen=True)
class SamplingOptions:
    """How to turn logits into a token; the defaults sample from the model's own distribution.

    Args:
        temperature: divides the logits; 0 is greedy (the largest logit, the lowest token on a tie).
        top_k: keep only the k most probable tokens; 0 is off.
        top_p: keep the fewest most probable tokens that hold this much probability together; 1 is off.
        min_p: drop tokens less probable than this fraction of the most probable one; 0 is off.
        repetition_penalty: makes tokens seen before less likely when above 1, more likely below; 1 is off.
    Raises:
        OptionError: an option is out of its range (the message names it).
    Source: top-k Fan et al. 2018; top-p Holtzman et al. 2020; min-p Nguyen et al. 2024;
        repetition penalty Keskar et al. 2019.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        # Each condition is written so that NaN fails it.
        _require(0 <= self.temperature < math.inf, "temperature", "0 (greedy) or above", self.temperature)
        _require(
            _is_whole(self.top_k) and 0 <= self.top_k <= _LARGEST_TOP_K,
            "top_k",
            f"a whole number, from 0 (off) to {_LARGEST_TOP_K:,}",
            self.top_k,
        )
        _require(0 < self.top_p <= 1, "top_p", "above 0 and at most 1 (off)", self.top_p)
        _require(0 <= self.min_p <= 1, "min_p", "from 0 (off) to 1", self.min_p)
        _require(
            0 < self.repetition_penalty < math.inf,
            "repetition_penalty",
            "above 0 (1 is off)",
            self.repetition_penalty,
        )


class Sampler:
    """Draws the tokens of a batch of streams, each row from a random generator of its own.

    Row i's draws depend on the seed, on i and on row i's logits, never on how many rows share the batch.

    Example:
        sampler = Sampler(SamplingOptions(temperature=0.8, top_p=0.95), vocabulary_size=V, seed=1, rows=N)
        sampler.observe(prompt_tokens)             # (N, T); needed for the repetition penalty only
        for _ in range(length):
            tokens = sampler.sample(logits)        # (N, V) -> (N,)
            logits, state = model.step(tokens, state)

    Args:
        options: how to sample.
        vocabulary_size: V, the number of columns of the logits.
        seed: 0 or above; the same seed draws the same tokens from the same logits.
        rows: N, the number of streams.
    Raises:
        OptionError: vocabulary_size, seed or rows is out of range.
    """

    def __init__(self, options: SamplingOptions, vocabulary_size: int, seed: int, rows: int) -> None:
        _require(
            _is_whole(vocabulary_size) and vocabulary_size >= 1,
            "vocabulary_size",
            "a whole number, 1 or above",
            vocabulary_size,
        )
        generators.check_seed(seed)
        _require(_is_whole(rows) and rows >= 0, "rows", "a whole number, 0 or above", rows)
        self.options = options
        self.vocabulary_size = int(vocabulary_size)
        self.rows = int(rows)
        # (N, 4), moved on in place by whoever draws: a signal's handler that raises between two lines of
        # Python cannot part them from what was drawn.
        self.generators = generators.seeded(seed, range(self.rows))
        self._seen: NDArray[np.bool_] = np.zeros((self.rows, self.vocabulary_size), dtype=np.bool_)

    def sample(self, logits: ArrayLike) -> NDArray[np.int64]:
        """Draw one token for each row, and observe it where there is a repetition penalty.

        Args:
            logits: (N, V) float32; -inf is a token that cannot be drawn.
        Returns:
            tokens (N,) int64.
        Raises:
            ValueError: the shape is not (N, V), or a row holds NaN, +inf or nothing but -inf (the message
                names the row).
        """
        logits = np.ascontiguousarray(logits, dtype=np.float32)
        if logits.shape != (self.rows, self.vocabulary_size):
            raise ValueError(
                f"logits have shape {logits.shape}, expected {(self.rows, self.vocabulary_size)}"
            )
        if self.options.repetition_penalty != 1:
            logits = penalise_repetition(logits, self._seen, self.options.repetition_penalty)
        tokens = _native.sample(
            logits,
            self.uniforms(1)[0],
            temperature=float(self.options.temperature),
            top_k=int(self.options.top_k),
            top_p=float(self.options.top_p),
            min_p=float(self.options.min_p),
        )
        if self.options.repetition_penalty != 1:
            self.observe(tokens)
        return tokens

    def uniforms(self, steps: int) -> NDArray[np.float64]:
        """The next random numbers (T, N) in [0, 1): whoever takes them draws the tokens of T steps."""
        return _native.uniforms(self.generators, steps)

    @property
    def seen(self) -> NDArray[np.uint8]:
        """Which tokens each row has seen, (N, V), 1 or 0; whoever draws tokens may mark them here."""
        return self._seen.view(np.uint8)

    def observe(self, tokens: ArrayLike) -> None:
        """Record tokens as seen, for the repetition penalty; a token observed twice counts once.

        Args:
            tokens: (N,) or (N, T) whole numbers, each in [0, V); -1 fills up rows shorter than others.
        Raises:
            ValueError: the shape does not start with N, or a token lies outside the vocabulary.
        """
        tokens = whole_numbers(tokens, "tokens")
        if tokens.ndim not in (1, 2) or tokens.shape[0] != self.rows:
            raise ValueError(f"tokens have shape {tokens.shape}, expected ({self.rows},) or ({self.rows}, T)")
        if tokens.size == 0:
            return
        tokens = tokens.reshape(self.rows, -1)
        outside = np.argwhere((tokens < -1) | (tokens >= self.vocabulary_size))
        if outside.size:
            row, column = outside[0]
            raise ValueError(
                f"row {row} holds token {tokens[row, column]}, outside the vocabulary of "
                f"{self.vocabulary_size} tokens"
            )
        rows, columns = np.nonzero(tokens >= 0)
        self._seen[rows, tokens[rows, columns]] = True

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on exactly here, as a dict that JSON can hold."""
        return {
            "rows": self.rows,
            "vocabulary_size": self.vocabulary_size,
            "generators": generators.to_json(self.generators),
            "seen": [np.flatnonzero(row).tolist() for row in self._seen],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken; a state that does not fit leaves the sampler as it was.

        Raises:
            CheckpointError: the state is damaged, or of another number of rows or another vocabulary.
        """
        with Saved(state, "the sampler's state") as saved:
            saved.integer("rows", self.rows, self.rows)
            saved.integer("vocabulary_size", self.vocabulary_size, self.vocabulary_size)
            saved_generators = saved.parts("generators")
            seen = saved.rows_of_integers("seen", most=self.vocabulary_size - 1)
        for name, rows in (("generators", saved_generators), ("seen", seen)):
            if len(rows) != self.rows:
                saved.refuse(name, f"{len(rows)} long", f"{self.rows} of them")
        moved = generators.from_json(saved_generators)
        marks = np.zeros_like(self._seen)
        for row, tokens in zip(marks, seen, strict=True):
            row[tokens] = True
        self.generators, self._seen = moved, marks


def penalise_repetition(
    logits: NDArray[np.float32], seen: NDArray[np.bool_], penalty: float
) -> NDArray[np.float32]:
    """Make seen tokens less likely: divide a positive logit by the penalty, multiply a negative one.

    Args:
        logits: (N, V) float32, left as they are.
        seen: (N, V), true where the row has seen the token.
        penalty: above 0; above 1 discourages.
    Returns:
        (N, V) float32.
    Source: Keskar et al. 2019 (CTRL), section 4.1; the sign rule keeps a negative logit from growing.
    """
    with np.errstate(over="ignore"):
        penalised = np.where(logits > 0, logits / np.float32(penalty), logits * np.float32(penalty))
    return np.where(seen, penalised, logits)


def reference_sample(
    logits: NDArray[np.float32],
    uniforms: NDArray[np.float64],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> NDArray[np.int64]:
    """Draw one token for each row, as `throughtime._native.sample` does, in plain NumPy.

    Args:
        logits: (N, V) float32; -inf is a token of probability 0.
        uniforms: (N,) float64, each in [0, 1); not read when temperature is 0.
        temperature, top_k, top_p, min_p: as in `SamplingOptions`.
    Returns:
        tokens (N,) int64.
    Raises:
        ValueError: a row holds NaN, +inf or nothing but -inf (the message names the row), or an option is out
            of range.
    """
    SamplingOptions(temperature, top_k, top_p, min_p)
    tokens = np.zeros(len(logits), dtype=np.int64)
    for row, row_logits in enumerate(np.asarray(logits, dtype=np.float64)):
        if np.isnan(row_logits).any() or np.isposinf(row_logits).any():
            raise ValueError(f"logits row {row} holds NaN or +inf")
        if np.isneginf(row_logits).all():
            raise ValueError(f"logits row {row} is -inf everywhere: no token is left")
        if temperature == 0:
            tokens[row] = np.argmax(row_logits)
            continue
        if not 0 <= uniforms[row] < 1:
            raise ValueError(f"uniforms row {row} is {uniforms[row]}, which is outside [0, 1)")
        weights = _truncated_weights(row_logits, temperature, top_k, top_p, min_p)
        tokens[row] = _inverse_cumulative(weights, uniforms[row])
    return tokens


def _truncated_weights(
    logits: NDArray[np.float64], temperature: float, top_k: int, top_p: float, min_p: float
) -> NDArray[np.float64]:
    """The (V,) unnormalised probabilities after truncation; the most probable token's is 1."""
    # math.exp, because NumPy's own rounds differently from the C library's that the native function calls.
    # np.cumsum(...)[-1], because np.sum adds in another order.
    most_probable_first = np.argsort(-logits, kind="stable")
    kept = most_probable_first[:top_k] if top_k else most_probable_first
    with np.errstate(over="ignore"):
        scaled = (logits - logits.max()) / temperature
    weights = np.zeros(len(logits))
    weights[kept] = [math.exp(value) for value in scaled[kept]]
    if top_p < 1:
        total = np.cumsum(weights)[-1]
        reaches = np.flatnonzero(np.cumsum(weights[kept]) >= top_p * total)
        if reaches.size:
            weights[kept[reaches[0] + 1 :]] = 0
    weights[weights < min_p * weights.max()] = 0
    return weights


def _inverse_cumulative(weights: NDArray[np.float64], uniform: float) -> int:
    cumulative = np.cumsum(weights)
    # uniform * total can round up to the total itself; then the last possible token is meant.
    token = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return min(token, int(np.flatnonzero(weights)[-1]))


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _require(condition: bool, name: str, allowed: str, value: object) -> None:
    if not condition:
        raise OptionError(f"{name} must be {allowed}, not {shown(value)}")
