"""The native part; see native/README.md."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

def version() -> str: ...
def isa() -> str: ...
def available_isas() -> str: ...
def activation(name: str, values: NDArray[np.float32], isa: str = "") -> NDArray[np.float32]: ...
def surprise(
    logits: NDArray[np.float32], targets: NDArray[np.int64], threads: int = 1, isa: str = ""
) -> NDArray[np.float32]: ...
def give_back_memory() -> None: ...
def read_bandwidth(bytes: int, threads: int = 1) -> float: ...
def uniforms(generators: NDArray[np.uint64], steps: int) -> NDArray[np.float64]: ...
def sample(
    logits: NDArray[np.float32],
    uniforms: NDArray[np.float64],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> NDArray[np.int64]: ...

class Linear:
    def __init__(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        precision: str = "fp32",
        isa: str = "",
    ) -> None: ...
    def __call__(self, inputs: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]: ...

class Layer:
    state_sizes: list[int]
    output_size: int
    @staticmethod
    def of_plan(
        numbers: NDArray[np.int64],
        arrays: Sequence[NDArray[np.float32]],
        precision: str = "fp32",
        isa: str = "",
    ) -> Layer: ...
    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.float32]],
        cell: str,
        activation: str = "tanh",
        reset_after: bool = True,
        keep_hidden: float = 0.0,
        keep_cell: float = 0.0,
        precision: str = "fp32",
        isa: str = "",
    ) -> None: ...
    def scan(
        self,
        inputs: NDArray[np.float32],
        state: Sequence[NDArray[np.float32]],
        lengths: NDArray[np.int64] | None = None,
        backward: bool = False,
        threads: int = 1,
    ) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]: ...

class TrainingStep:
    def __init__(
        self,
        numbers: NDArray[np.int64],
        arrays: Sequence[NDArray[np.float32]],
        isa: str = "",
        precision: str = "fp32",
    ) -> None: ...
    def members_of(self, batch: int) -> int: ...
    def run(
        self,
        weights: Sequence[int],
        sequences: NDArray[np.int64],
        steps: int,
        batch: int,
        backward: bool,
        threads: int,
    ) -> None: ...

def multiply_rounded(
    rows: tuple[int, int, int],
    matrix: tuple[int, int, int],
    bias: int,
    out: int,
    sizes: tuple[int, int, int],
    adds: bool,
    threads: int,
    isa: str = "",
) -> None: ...
def softmax_gradients(
    logits: int,
    sizes: tuple[int, int],
    tokens: int,
    ignored: int,
    weight: float,
    smoothing: float,
    losses: int,
    threads: int,
    isa: str = "",
) -> None: ...
def dropout(
    source: int,
    to: int,
    rows: tuple[int, int, int, int, int],
    key: int,
    probability: float,
    threads: int,
    isa: str = "",
) -> None: ...
def training_memory(floats: int) -> NDArray[np.float32]: ...

class Engine:
    vocabulary_size: int
    state_size: int
    weight_bytes: int
    top_in_state: bool
    isa: str
    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.float32]],
        layers: Sequence[Mapping[str, NDArray[np.float32]]],
        cell: str,
        activation: str = "tanh",
        reset_after: bool = True,
        keep_hidden: float = 0.0,
        keep_cell: float = 0.0,
        precision: str = "fp32",
        threads: int = 0,
        isa: str = "",
    ) -> None: ...
    def share(self) -> Engine: ...
    def threads(self, slots: int = 1) -> int: ...
    def open(self, count: int) -> NDArray[np.int64]: ...
    def close(self, slots: NDArray[np.int64]) -> None: ...
    def fork(self, slots: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def copy(self, sources: NDArray[np.int64], targets: NDArray[np.int64], logits: bool = True) -> None: ...
    def states(self, slots: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def set_states(self, slots: NDArray[np.int64], states: NDArray[np.float32]) -> None: ...
    def logits(self, slots: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def set_logits(self, slots: NDArray[np.int64], logits: NDArray[np.float32]) -> None: ...
    def logits_follow(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]: ...
    def recompute_logits(self, slots: NDArray[np.int64]) -> None: ...
    def positions(self, slots: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def set_positions(self, slots: NDArray[np.int64], positions: NDArray[np.int64]) -> None: ...
    def read(
        self, slots: NDArray[np.int64], tokens: NDArray[np.int64], all: bool = False
    ) -> NDArray[np.float32]: ...
    def read_ragged(
        self,
        slots: NDArray[np.int64],
        tokens: NDArray[np.int64],
        lengths: NDArray[np.int64],
        logits: str = "last",
    ) -> NDArray[np.float32] | None: ...
    def draws(
        self, slots: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]: ...
    def set_draws(
        self,
        slots: NDArray[np.int64],
        options: NDArray[np.float64],
        generators: NDArray[np.uint64],
        stops: NDArray[np.int64],
        stop_counts: NDArray[np.int64],
    ) -> None: ...
    def generators(self, slots: NDArray[np.int64]) -> NDArray[np.uint64]: ...
    def set_generators(self, slots: NDArray[np.int64], generators: NDArray[np.uint64]) -> None: ...
    def seen(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]: ...
    def set_seen(self, slots: NDArray[np.int64], seen: NDArray[np.uint8]) -> None: ...
    def advance(
        self, slots: NDArray[np.int64], limits: NDArray[np.int64], together: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]: ...
    def generate(
        self,
        slots: NDArray[np.int64],
        steps: int,
        generators: NDArray[np.uint64],
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seen: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.int64]: ...
