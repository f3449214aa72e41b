"""What an engine does with its slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime import _native
from throughtime.arrays import real_numbers, whole_numbers
from throughtime.runtime import draws as drawing
from throughtime.runtime.draws import Draws
from throughtime.runtime.sampling import Sampler


class EngineCalls:
    """The calls of `throughtime.runtime.Engine` on its slots.

    Each takes its turn: calls from several threads on one engine come one after the other.
    """

    _native: _native.Engine
    vocabulary_size: int

    @property
    def state_size(self) -> int:
        """S, the numbers of a slot's state."""
        return self._native.state_size

    # ---- slots

    def open(self, count: int = 1) -> NDArray[np.int64]:
        """New states, as before the first token: their slots.

        A slot's number never comes again in this engine, whoever has closed it.

        Raises:
            ValueError: count is negative or no whole number.
        """
        return self._native.open(_count(count, "count"))

    def close(self, slots: ArrayLike) -> None:
        """Give slots back; others may get their memory.

        Raises:
            ValueError: a slot is not open or named twice; then none is closed.
        """
        self._native.close(_slots(slots))

    def fork(self, slots: ArrayLike) -> NDArray[np.int64]:
        """Copies of all that slots hold, in new slots: state, logits, draws, position.

        Args:
            slots: (N,); one that is named several times is copied as often.
        Raises:
            ValueError: a slot is not open; then none is opened.
        """
        return self._native.fork(_slots(slots))

    def copy(self, sources: ArrayLike, targets: ArrayLike, logits: bool = True) -> None:
        """Make open slots what others are, as `fork` does with new ones.

        A recurrent model cannot take back a token: who may have to, copies first, and goes on from the copy.

        Args:
            sources: (N,); one may be named several times.
            targets: (N,), each named once and none of them a source.
            logits: False leaves the targets' logits as they are: they are V numbers a slot, and whoever reads
                a token next, or calls `recompute_logits`, has no need of them.
        Raises:
            ValueError: a slot is not open, or a target is named twice or is a source; then none is changed.
        """
        self._native.copy(_slots(sources), _slots(targets), bool(logits))

    def states(self, slots: ArrayLike) -> NDArray[np.float32]:
        """The states (N, S): for each layer its hidden state, then its cell state where it has one.

        Raises:
            ValueError: a slot is not open.
        """
        return self._native.states(_slots(slots))

    def set_states(self, slots: ArrayLike, states: ArrayLike) -> None:
        """Put states (N, S) of `states` in place.

        Raises:
            ValueError: a slot is not open or named twice, or the shape is another.
        """
        indices = _slots(slots)
        self._native.set_states(indices, _rows(states, "the states", len(indices), self.state_size))

    def logits(self, slots: ArrayLike) -> NDArray[np.float32]:
        """The logits (N, V) of the token after the last that each slot has read.

        Raises:
            ValueError: a slot is not open.
        """
        return self._native.logits(_slots(slots))

    def set_logits(self, slots: ArrayLike, logits: ArrayLike) -> None:
        """Put logits (N, V) in place, from which `generate` draws first.

        Raises:
            ValueError: a slot is not open or named twice, or the shape is another.
        """
        indices = _slots(slots)
        self._native.set_logits(indices, _rows(logits, "the logits", len(indices), self.vocabulary_size))

    def logits_follow(self, slots: ArrayLike) -> NDArray[np.bool_]:
        """Whether each slot's logits are those that `recompute_logits` would give (N,).

        They are after tokens have been read, where the model's last layer keeps its output in its state.
        """
        return self._native.logits_follow(_slots(slots))

    def recompute_logits(self, slots: ArrayLike) -> None:
        """Put the logits in place that the states give: bit for bit those that reading gave.

        Raises:
            ValueError: a slot is not open or named twice, or the last layer's output is not in its state.
        """
        self._native.recompute_logits(_slots(slots))

    def positions(self, slots: ArrayLike) -> NDArray[np.int64]:
        """The tokens that each slot has read, those that it drew included (N,)."""
        return self._native.positions(_slots(slots))

    def set_positions(self, slots: ArrayLike, positions: ArrayLike) -> None:
        """Count on from these (N,)."""
        self._native.set_positions(_slots(slots), _list(positions, "positions"))

    @property
    def top_in_state(self) -> bool:
        """Whether logits follow from a state, and `recompute_logits` gives them."""
        return self._native.top_in_state

    # ---- draws

    def draws(self, slots: ArrayLike) -> list[Draws]:
        """How each slot draws, its generator where it is now."""
        return drawing.from_arrays(*self._native.draws(_slots(slots)))

    def set_draws(self, slots: ArrayLike, draws: Sequence[Draws]) -> None:
        """Let slots draw so; a new one draws with plain options and seed 0.

        A slot remembers which tokens it has seen from the time on that it has a repetition penalty.

        Args:
            slots: (N,).
            draws: N of them.
        Raises:
            ValueError: a slot is not open or named twice, or a stop token lies outside the vocabulary; then
                none is changed.
        """
        self._native.set_draws(_slots(slots), *drawing.to_arrays(draws))

    def generators(self, slots: ArrayLike) -> NDArray[np.uint64]:
        """The random generators (N, 4), see `throughtime.runtime.generators`."""
        return self._native.generators(_slots(slots))

    def set_generators(self, slots: ArrayLike, generators: NDArray[np.uint64]) -> None:
        """Put generators (N, 4) in place."""
        self._native.set_generators(_slots(slots), np.ascontiguousarray(generators, np.uint64))

    def seen(self, slots: ArrayLike) -> NDArray[np.uint8]:
        """Which tokens each slot has seen (N, V), 1 or 0; 0 everywhere without a repetition penalty."""
        return self._native.seen(_slots(slots))

    def set_seen(self, slots: ArrayLike, seen: ArrayLike) -> None:
        """Put marks (N, V) in place; slots without a repetition penalty take none."""
        marks = np.ascontiguousarray(seen)
        if marks.dtype != np.uint8:
            marks = np.ascontiguousarray(marks != 0).view(np.uint8)
        self._native.set_seen(_slots(slots), marks)

    # ---- tokens

    def step(self, slots: ArrayLike, tokens: ArrayLike) -> NDArray[np.float32]:
        """Read a token for each slot.

        Args:
            slots: (N,), each open and named once.
            tokens: (N,) whole numbers, each in [0, V).
        Returns:
            The logits (N, V) of the next.
        Raises:
            ValueError: a slot is not open or named twice, or a token lies outside the vocabulary or is no
                whole number.
        """
        array = np.ascontiguousarray(whole_numbers(tokens, "tokens"))  # a single one becomes a list of one
        if array.ndim != 1:
            raise ValueError(f"tokens have the shape {array.shape}, expected (slots,)")
        return self._native.read(_slots(slots), array.reshape(-1, 1), False)

    def read(self, slots: ArrayLike, tokens: ArrayLike, all_logits: bool = False) -> NDArray[np.float32]:
        """Read several tokens for each slot, layer by layer: the same numbers as step by step, sooner.

        Where a signal's handler raises, as Python's own does on Ctrl-C, the call ends within 0.1 s (or at the
        end of the step, where one takes longer), and the slots are as they were before it.

        Args:
            slots: (N,).
            tokens: (N, T) whole numbers, T >= 1.
            all_logits: give the logits after each token.
        Returns:
            The logits (N, V) after the last, or (N, T, V).
        Raises:
            ValueError: as `step`.
        """
        array = np.ascontiguousarray(whole_numbers(tokens, "tokens"))
        if array.ndim != 2 or array.shape[1] < 1:
            raise ValueError(
                f"tokens have the shape {array.shape}, expected (slots, steps) with a step or more"
            )
        return self._native.read(_slots(slots), array, all_logits)

    def read_ragged(
        self,
        slots: ArrayLike,
        tokens: ArrayLike,
        lengths: ArrayLike,
        logits: bool = True,
        all_logits: bool = False,
    ) -> NDArray[np.float32] | None:
        """Read a text of its own length for each slot, in one call: the same numbers as one by one.

        Args:
            slots: (N,).
            tokens: (sum of the lengths,), one slot's text behind the other's.
            lengths: (N,), each 0 or above.
            logits: False returns None.
            all_logits: give the logits after each token.
        Returns:
            The logits (N, V) after each slot's last token, or (sum of the lengths, V).
        Raises:
            ValueError: as `step`, or the lengths do not add up.
        """
        wanted = "all" if all_logits else "last" if logits else "none"
        return self._native.read_ragged(
            _slots(slots), _list(tokens, "tokens"), _list(lengths, "lengths"), wanted
        )

    def advance(
        self, slots: ArrayLike, limits: ArrayLike, together: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        """Let slots draw and read, each as its own `draws` say, in one call that leaves Python alone.

        The first token is drawn from the logits that the slot has. A slot leaves the call when it has its
        tokens, or has drawn one of its stop tokens, which it reads as well; it costs nothing from then on.
        Its tokens are the same, bit for bit, whoever shares the batch and however they are cut into calls. A
        call that fails, or that a signal's handler ends as in `read`, leaves everything as it was.

        Args:
            slots: (N,).
            limits: (N,), how many tokens each slot draws at most; 0 is none.
            together: a slot that cannot be drawn from fails the call; otherwise it alone is left as it was.
        Returns:
            The tokens (N, K), K being the largest limit, with -1 behind a slot's last; how many each slot
            has (N,); and why it left (N,), of `throughtime.runtime.draws.Ended`.
        Raises:
            ValueError: a slot is not open or named twice, a limit is below 0, or `together` and a slot's
                logits hold NaN.
        """
        return self._native.advance(_slots(slots), _list(limits, "limits"), bool(together))

    def generate(self, slots: ArrayLike, sampler: Sampler, steps: int) -> NDArray[np.int64]:
        """As `advance`, with a sampler of the caller's in place of the slots' own draws.

        Args:
            slots: (N,).
            sampler: with N rows; its random generators move on as if it had drawn each token itself.
            steps: how many for each slot.
        Returns:
            (N, steps) int64.
        Raises:
            ValueError: a slot is not open or named twice, or its logits hold NaN; then slots and sampler are
                as they were.
        """
        indices = _slots(slots)
        if sampler.rows != len(indices) or sampler.vocabulary_size != self.vocabulary_size:
            raise ValueError(
                f"the sampler is for {sampler.rows} rows of {sampler.vocabulary_size} tokens, and there are "
                f"{len(indices)} slots of {self.vocabulary_size}"
            )
        options = sampler.options
        return self._native.generate(
            indices,
            _count(steps, "steps"),
            sampler.generators,
            temperature=float(options.temperature),
            top_k=int(options.top_k),
            top_p=float(options.top_p),
            min_p=float(options.min_p),
            repetition_penalty=float(options.repetition_penalty),
            seen=sampler.seen if options.repetition_penalty != 1 else None,
        )


def _count(value: object, what: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{what} must be a whole number, 0 or above, not {value!r}")
    return int(value)


def _slots(slots: ArrayLike) -> NDArray[np.int64]:
    array = np.ascontiguousarray(whole_numbers(slots, "slots"))  # a single one becomes a list of one
    if array.ndim != 1:
        raise ValueError(f"slots have the shape {array.shape}, expected a list of them")
    return array


def _list(values: ArrayLike, what: str) -> NDArray[np.int64]:
    array = np.ascontiguousarray(whole_numbers(values, what))
    if array.ndim != 1:
        raise ValueError(f"{what} have the shape {array.shape}, expected a list of them")
    return array


def _rows(values: ArrayLike, what: str, rows: int, columns: int) -> NDArray[np.float32]:
    array = real_numbers(values, what)
    if array.shape != (rows, columns):
        raise ValueError(f"{what} have the shape {array.shape}, expected {(rows, columns)}")
    return array
