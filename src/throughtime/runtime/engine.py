"""A language model without PyTorch: thousands of independent states, any of them advanced as one batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime import _native
from throughtime.arrays import real_numbers, whole_numbers
from throughtime.errors import CheckpointError, OptionError, RunError
from throughtime.facts import shown
from throughtime.program.program import cell_to_json
from throughtime.program.reference import initial_state
from throughtime.runtime.folder import NetworkOptions, read_options
from throughtime.runtime.layers import (
    CELLS,
    cell_program,
    check_precision,
    check_threads,
    initial_states,
    layer_tensors,
    program_tensors,
)
from throughtime.runtime.planning.plan import Plan
from throughtime.runtime.sampling import Sampler
from throughtime.runtime.weights import Weights, read_weights

WEIGHTS = "model.safetensors"
# A program's share of one-hot inputs takes a product of this many columns for each token.
_WIDEST_ONE_HOT = 4096
LANGUAGE_MODEL = "language-model"
_NOT_DRAWN = -1
# Weights of what makes the state that a line begins with out of its conditions: others compute it.
_BEFORE_THE_FIRST_TOKEN = "begin."


class Engine:
    """A language model with packed weights and a slot of state for each stream.

    A slot's numbers do not depend, bit for bit, on which other slots share its batch or on the number of
    threads.

    Example:
        engine = Engine.load("runs/shakespeare", precision="int8")
        slots = engine.open(2)
        logits = engine.step(slots, [5, 9])               # (2, V)
        sampler = Sampler(SamplingOptions(), engine.vocabulary_size, seed=1, rows=2)
        tokens = engine.generate(slots, sampler, 100)     # (2, 100)

    Args:
        options: the network's options, of config.toml.
        weights: its tensors, named as in a run's model.safetensors.
        precision: how weights are kept: "fp32", "bf16", or "int8" (a scale for each row; the vectors that
            they are multiplied with are quantised anew at each step).
        threads: 0 measures when the model is loaded what is fastest, for one slot and for many.
        isa: the instruction set; "" takes the widest of this CPU, or what the environment's THROUGHTIME_ISA
            names.
    Raises:
        CheckpointError: a tensor is missing, has another shape or is not finite.
        OptionError: the precision or the number of threads is out of range.
    """

    def __init__(
        self,
        options: NetworkOptions,
        weights: Mapping[str, NDArray[Any]],
        precision: str = "fp32",
        threads: int = 0,
        isa: str = "",
    ) -> None:
        check_precision(precision)
        check_threads(threads, least=0)
        self.options = options
        self.precision = precision
        self._weights = weights if isinstance(weights, Weights) else Weights(weights)
        names = {"output.weight": 2, "output.bias": 1, "embedding.weight": 2 * bool(options.embedding)}
        tensors = {
            name: self._weights.tensor(name, (None,) * dimensions)
            for name, dimensions in names.items()
            if dimensions
        }
        # One by one: config.toml may ask for a billion layers, of which the first is missing.
        layers = [self._layer(f"recurrent.cells.{layer}.") for layer in range(options.layers)]
        initial = [f"recurrent.initial.{part}" for part in range(self._state_parts())]
        learned = initial_states(self._weights, initial, options.layers, (None,) * len(initial))
        for part, rows in enumerate(learned):
            if rows is not None:
                for layer, row in zip(layers, rows, strict=True):
                    layer[f"initial.{part}"] = np.ascontiguousarray(row)
        self._weights.refuse_unused(but=_BEFORE_THE_FIRST_TOKEN)
        try:
            self._native = _native.Engine(
                tensors,
                layers,
                options.cell,
                activation=options.activation,
                reset_after=options.reset_after,
                keep_hidden=options.zoneout,
                keep_cell=options.zoneout,
                precision=precision,
                threads=threads,
                isa=isa,
            )
        except ValueError as error:
            raise CheckpointError(f"{self._weights.name} does not fit config.toml: {error}") from None
        self.vocabulary_size: int = self._native.vocabulary_size
        # Everything has been packed: neither what was read of the file nor copies of it need stay in memory.
        del tensors, layers
        self._weights.release()
        _native.give_back_memory()

    def _state_parts(self) -> int:
        """How many tensors the state of a layer has."""
        if self.options.cell in CELLS:
            return 2 if self.options.cell == "lstm" else 1
        return len(cell_program(self._weights, "recurrent.cells.0.", self.options.cell).state_sizes)

    def _layer(self, prefix: str) -> dict[str, Any]:
        """What a layer is made of: tensors, or the plan of its program."""
        options = self.options
        if options.cell in CELLS:
            return dict(layer_tensors(self._weights, prefix, options.cell))
        program = cell_program(self._weights, prefix, options.cell)
        tensors = program_tensors(self._weights, prefix, program)
        rates = [options.zoneout] * len(program.state_sizes)
        begins = initial_state(program, tensors, 1)
        if not options.embedding and program.input_size > _WIDEST_ONE_HOT:
            raise OptionError(
                f"a vocabulary of {program.input_size:,} tokens needs an embedding in front of this cell: "
                f"one-hot inputs go up to {_WIDEST_ONE_HOT:,}; train with --embedding"
            )
        plan = Plan(program, tensors, rates).flat()
        return {
            "plan.numbers": plan.numbers,
            "plan.arrays": plan.arrays,
            **{f"initial.{part}": np.array(row[0], np.float32) for part, row in enumerate(begins)},
        }

    @classmethod
    def load(cls, folder: str | Path, precision: str | None = None, threads: int = 0) -> Engine:
        """The language model of a run folder.

        Args:
            precision: None takes what the weights are kept in: fp32, unless `throughtime quantize` made them.
        Raises:
            RunError: the folder is no language model's, is incomplete or is damaged (the message names the
                file).
        """
        folder = Path(folder)
        options = read_options(folder)
        if options.task != LANGUAGE_MODEL:
            raise RunError(f"{folder} is a {shown(options.task)}, and this needs a {LANGUAGE_MODEL}")
        weights = read_weights(folder / WEIGHTS)
        return cls(options, weights, precision or weights.precision, threads)

    @classmethod
    def from_tensors(
        cls,
        options: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        precision: str = "fp32",
        threads: int = 0,
        isa: str = "",
    ) -> Engine:
        """A language model from arrays in memory.

        Args:
            options: cell, layers, and what differs from the defaults of `NetworkOptions`.
            tensors: as in a run's model.safetensors.
        Raises:
            OptionError: an option is unknown or out of its range.
            CheckpointError: as of the class.
        """
        network = NetworkOptions.of({"task": LANGUAGE_MODEL, **options})
        return cls(network, tensors, precision, threads, isa)

    # ---- slots

    def open(self, count: int = 1) -> NDArray[np.int64]:
        """New states, as before the first token: their slots.

        A slot's number never comes again in this engine, whoever has closed it.

        Raises:
            ValueError: count is negative or no whole number.
        """
        if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 0:
            raise ValueError(f"count must be a whole number, 0 or above, not {count!r}")
        return self._native.open(int(count))

    def close(self, slots: ArrayLike) -> None:
        """Give slots back; others may get their memory.

        Raises:
            ValueError: a slot is not open or named twice; then none is closed.
        """
        self._native.close(_slots(slots))

    def fork(self, slots: ArrayLike) -> NDArray[np.int64]:
        """Copies of states, with their logits, in new slots.

        Args:
            slots: (N,); one that is named several times is copied as often.
        Raises:
            ValueError: a slot is not open; then none is opened.
        """
        return self._native.fork(_slots(slots))

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

    def generate(self, slots: ArrayLike, sampler: Sampler, steps: int) -> NDArray[np.int64]:
        """Draw tokens and read them, in one call that leaves Python alone.

        The first is drawn from the logits that the slot has: read something before, or all tokens are equally
        likely. A call that fails, or that a signal's handler ends as in `read`, leaves slots and sampler as
        they were before it.

        Args:
            slots: (N,).
            sampler: with N rows; its random generators move on as if it had drawn each token itself.
            steps: how many for each slot.
        Returns:
            (N, steps) int64.
        Raises:
            ValueError: a slot is not open or named twice, or its logits hold NaN.
        """
        indices = _slots(slots)
        if sampler.rows != len(indices) or sampler.vocabulary_size != self.vocabulary_size:
            raise ValueError(
                f"the sampler is for {sampler.rows} rows of {sampler.vocabulary_size} tokens, and there are "
                f"{len(indices)} slots of {self.vocabulary_size}"
            )
        options = sampler.options
        penalised = options.repetition_penalty != 1
        tokens = np.empty((steps, len(indices)), np.int64)
        tokens.fill(_NOT_DRAWN)
        uniforms = sampler.uniforms(steps)
        try:
            self._native.generate(
                indices,
                uniforms,
                tokens,
                temperature=float(options.temperature),
                top_k=int(options.top_k),
                top_p=float(options.top_p),
                min_p=float(options.min_p),
                repetition_penalty=float(options.repetition_penalty),
                seen=sampler.seen if penalised else None,
            )
        except BaseException:
            # Python also raises a signal's exception behind a call that came to its end: then all has been
            # drawn, and the sampler has to stay with the slots.
            if (tokens == _NOT_DRAWN).any():
                sampler.take_back(steps)
            raise
        return tokens.T

    # ---- facts

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self._native.isa

    @property
    def state_size(self) -> int:
        """S, the numbers of a slot's state."""
        return self._native.state_size

    @property
    def weight_bytes(self) -> int:
        """What a step of one slot reads of the packed weights."""
        return self._native.weight_bytes

    def threads(self, slots: int = 1) -> int:
        """The threads that a step of so many slots uses."""
        return self._native.threads(slots)

    @cached_property
    def fingerprint(self) -> str:
        """The model's fingerprint: equal for equal weights and options, whatever the precision."""
        import hashlib  # here, as it brings a library of cryptography with it

        digest = hashlib.sha256(json.dumps(self.options.equation(), sort_keys=True).encode())
        for name, program in sorted(self._weights.programs.items()):
            digest.update(f"{name} {json.dumps(cell_to_json(program))}".encode())
        for name in sorted(self._weights):
            tensor = self._weights[name]
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).data)
        self._weights.release()
        return digest.hexdigest()


def _slots(slots: ArrayLike) -> NDArray[np.int64]:
    array = np.ascontiguousarray(whole_numbers(slots, "slots"))  # a single one becomes a list of one
    if array.ndim != 1:
        raise ValueError(f"slots have the shape {array.shape}, expected a list of them")
    return array


def _rows(values: ArrayLike, what: str, rows: int, columns: int) -> NDArray[np.float32]:
    array = real_numbers(values, what)
    if array.shape != (rows, columns):
        raise ValueError(f"{what} have the shape {array.shape}, expected {(rows, columns)}")
    return array
