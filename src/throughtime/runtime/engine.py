"""A language model without PyTorch: thousands of independent states, any of them advanced as one batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime import _native
from throughtime.errors import CheckpointError, OptionError, RunError
from throughtime.facts import shown
from throughtime.program.program import cell_to_json
from throughtime.program.reference import initial_state
from throughtime.runtime.engine_calls import EngineCalls
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
from throughtime.runtime.weights import Weights, read_weights

WEIGHTS = "model.safetensors"
# A program's share of one-hot inputs takes a product of this many columns for each token.
_WIDEST_ONE_HOT = 4096
LANGUAGE_MODEL = "language-model"
# Weights of what makes the state that a line begins with out of its conditions: others compute it.
_BEFORE_THE_FIRST_TOKEN = "begin."


class Engine(EngineCalls):
    """A language model with packed weights and a slot of state for each stream.

    A slot's numbers do not depend, bit for bit, on which other slots share its batch or on the number of
    threads.

    Example:
        engine = Engine.load("runs/shakespeare", precision="int8")
        slots = engine.open(2)
        logits = engine.step(slots, [5, 9])               # (2, V)
        engine.set_draws(slots, [Draws.seeded(seed=1), Draws.seeded(SamplingOptions(top_p=0.9), seed=2)])
        tokens, counts, ended = engine.advance(slots, [100, 20])   # (2, 100), -1 behind the 20

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

    def share(self) -> Engine:
        """Another engine over the same packed weights, with slots and turns of its own.

        Two threads that each have one run at the same time; the second takes no memory but that of its slots.
        """
        engine = object.__new__(Engine)
        engine.__dict__.update(self.__dict__)
        engine._native = self._native.share()
        return engine

    # ---- facts

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self._native.isa

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
