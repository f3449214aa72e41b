"""ONNX graphs run by onnxruntime on random inputs, against the run's own model."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import MissingExtraError, RunError
from throughtime.extras import install_command
from throughtime.interchange.onnx_network import GraphPlan, call_graph
from throughtime.program.network import Port
from throughtime.run import Run, require_torch

# Of the largest value of an output: float32 sums in another order differ by a few 1e-6 over so few steps.
TOLERANCE = 1e-4

# Steps and rows: a single one of each, and sizes that no register or block divides. Few steps, because a
# network may blow rounding up: a 2 x 512 RNN with recurrent weights from N(0, 0.3^2) reaches 9e-4 after 7
# steps, 6e-5 after 3. A wrong graph shows in the first ones.
_SIZES = (
    {"T": 1, "S": 1, "B": 1, "W": 1},
    {"T": 3, "S": 3, "B": 3, "W": 4},
    {"T": 2, "S": 5, "B": 1, "W": 3},
)


@dataclass(frozen=True)
class Model:
    """A finished graph.

    Args:
        plan: which functions of the network it is made of.
        name: "step", "sequence", "encoder" or "spell".
        content: the file's bytes.
        inputs, outputs: its ports.
    """

    plan: GraphPlan
    name: str
    content: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Difference:
    """How far an output is from the model's, over all inputs tried.

    Args:
        graph, output: which.
        largest: absolute.
        relative: to the largest value of the output.
    """

    graph: str
    output: str
    largest: float
    relative: float


def check(run: Run, models: list[Model], seed: int = 0) -> list[Difference]:
    """Compare every output of every graph.

    Args:
        run: the run they come from.
        models: its graphs.
        seed: of the random inputs.
    Raises:
        RunError: an output differs by more than `TOLERANCE`.
        MissingExtraError: onnxruntime or torch is not installed.
    """
    require_onnxruntime()
    require_torch()
    from throughtime.models.functions import TorchNetwork

    network, functions = TorchNetwork(run.model), run.program.functions
    differences: list[Difference] = []
    for model in models:
        session = _session(model.content)
        largest = dict.fromkeys((port.name for port in model.outputs), (0.0, 0.0))
        for sizes in _SIZES:
            key = zlib.crc32(f"{model.name} {sizes}".encode())
            inputs = random_inputs(model.inputs, sizes, np.random.default_rng([seed, key]))
            found = dict(zip(largest, session.run(None, inputs), strict=True))
            expected = call_graph(network, model.plan, functions, inputs)
            for name, value in found.items():
                pair = _difference(model.name, name, value, expected[name])
                largest[name] = max(largest[name], pair, key=lambda pair: pair[1])
        differences += [Difference(model.name, name, *pair) for name, pair in largest.items()]
    for difference in differences:
        if not difference.relative <= TOLERANCE:
            raise RunError(
                f"{difference.graph}.onnx: {difference.output} is off by {difference.largest:.2g} from the "
                f"run's model, {difference.relative:.2g} of its largest value and more than {TOLERANCE:.0e}: "
                f"nothing was written (--no-check writes it anyway)"
            )
    return differences


def random_inputs(
    ports: tuple[Port, ...], sizes: Mapping[str, int], generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Inputs as the ports say.

    Args:
        ports: the inputs.
        sizes: of the axes with letters.
        generator: draws numbers from N(0, 1), tokens and pixels alike, lengths from [1, T] with one T.
    """
    inputs: dict[str, NDArray[Any]] = {}
    for port in ports:
        shape = [sizes[size] if isinstance(size, str) else size for size in port.shape]
        if isinstance(port.below, str):
            lengths = generator.integers(1, sizes[port.below] + 1, shape)
            lengths[0] = sizes[port.below]
            inputs[port.name] = lengths
        elif port.below is not None:
            inputs[port.name] = generator.integers(0, port.below, shape)
        elif port.dtype == "uint8":
            inputs[port.name] = generator.integers(0, 256, shape, dtype=np.uint8)
        else:
            inputs[port.name] = generator.standard_normal(shape, dtype=np.float32)
    return inputs


def require_onnxruntime() -> None:
    """Raise MissingExtraError where onnxruntime is not installed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"checking the export needs onnxruntime: install it with `{install_command('export')}`, or "
            "pass --no-check"
        ) from None


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: its remarks about optimisations are not for users
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _difference(graph: str, name: str, found: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    """Absolute, and relative to the largest value; infinite where shapes or finiteness differ."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise RunError(
            f"{graph}.onnx: {name} is {found.dtype} {found.shape}, and the run's model gives "
            f"{expected.dtype} {expected.shape}: nothing was written"
        )
    largest = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    if not np.isfinite(largest):
        return np.inf, np.inf
    return largest, largest / max(1.0, float(np.abs(expected).max(initial=0.0)))
