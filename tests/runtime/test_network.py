"""Networks run natively from their programs: torch's numbers, in every precision, and no foreign weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.networks import NETWORKS, SIZES, draw, make, weights_of  # noqa: E402
from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.errors import CheckpointError, RunError  # noqa: E402
from throughtime.models.functions import TorchNetwork  # noqa: E402
from throughtime.program.network import NetworkProgram  # noqa: E402
from throughtime.runtime import Weights, read_weights  # noqa: E402
from throughtime.runtime.layers import Compute  # noqa: E402
from throughtime.runtime.network import Network  # noqa: E402
from throughtime.runtime.quantize import quantise  # noqa: E402

_CAPTURED: dict[str, tuple[torch.nn.Module, NetworkProgram]] = {}


def captured(name: str) -> tuple[torch.nn.Module, NetworkProgram]:
    if name not in _CAPTURED:
        model = make(name)
        _CAPTURED[name] = model, capture_network(model)
    return _CAPTURED[name]


def outputs(network, program: NetworkProgram) -> Iterator[np.ndarray]:
    for number, sizes in enumerate(SIZES):
        for function, named in program.functions.items():
            yield from network(function, draw(named.inputs, sizes, number)).values()


@pytest.mark.parametrize("name", NETWORKS)
def test_torchs_numbers(name: str, tmp_path: Path) -> None:
    model, program = captured(name)
    expected = list(outputs(TorchNetwork(model), program))
    scale = max(1.0, *(np.abs(array).max(initial=0) for array in expected))
    found = list(outputs(Network(program, weights_of(model)), program))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=5e-5, atol=2e-5)
    for precision, tolerance in (("bf16", 0.03), ("int8", 0.1)):
        rounded = list(outputs(Network(program, weights_of(model), Compute(precision)), program))
        differences = [np.abs(a - b).max(initial=0) for a, b in zip(rounded, found, strict=True)]
        assert 0 < max(differences) <= tolerance * scale
        # A run that was quantised holds the numbers that the network would have rounded to.
        (tmp_path / "small.safetensors").write_bytes(quantise(weights_of(model), precision))
        small = read_weights(tmp_path / "small.safetensors")
        kept = list(outputs(Network(program, small, Compute(precision)), program))
        assert (
            max(np.abs(a - b).max(initial=0) for a, b in zip(kept, found, strict=True))
            <= 1.5 * tolerance * scale
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_do_not_change_the_numbers(name: str) -> None:
    model, program = captured(name)
    one, two = (
        list(outputs(Network(program, weights_of(model), Compute(threads=threads)), program))
        for threads in (1, 2)
    )
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-6, atol=1e-7)


def changed(array: np.ndarray) -> Iterator[np.ndarray]:
    """Tensors that do not fit where one was."""
    for axis in range(array.ndim):
        yield np.concatenate([array, array.take([0], axis)], axis)
        yield array.take(range(array.shape[axis] - 1), axis)
        yield array.take([], axis)
    yield array[None]
    yield array.reshape(-1)[0]
    yield np.full_like(array, np.nan)
    yield np.zeros(array.shape, np.int64)


@pytest.mark.parametrize(
    "name", ["ensemble", "tagger of pictures", "luong", "captioner, attention of pixels"]
)
def test_no_tensor_of_another_shape_or_type_gets_through(name: str) -> None:
    model, program = captured(name)
    tensors = {key: tensor.numpy() for key, tensor in model.state_dict().items()}

    def use(given: dict[str, np.ndarray]) -> None:
        network = Network(program, Weights(given))
        for function, named in program.functions.items():
            network(function, draw(named.inputs, SIZES[1]))

    use(tensors)
    for which, array in tensors.items():
        with pytest.raises(CheckpointError):
            use({other: kept for other, kept in tensors.items() if other != which})
        with pytest.raises(CheckpointError):
            use({**tensors, f"{which}.more": array})
        for other in changed(array):
            with pytest.raises(CheckpointError):
                use({**tensors, which: other})


def test_inputs_that_do_not_fit_are_refused() -> None:
    model, program = captured("luong")
    network = Network(program, weights_of(model))
    inputs = draw(program.functions["encoder"].inputs, SIZES[0])
    with pytest.raises(ValueError, match=r"lengths has the shape \(2,\), expected \('B',\)"):
        network("encoder", {**inputs, "lengths": inputs["lengths"][:2]})
    with pytest.raises(ValueError, match=r"source has the shape \(6, 3, 1\)"):
        network("encoder", {**inputs, "source": inputs["source"][:, :, None]})
    with pytest.raises(RunError, match="encoder: a number lies outside of the table that it chooses from"):
        network("encoder", {**inputs, "source": inputs["source"] + 1000})


def test_what_would_not_fit_memory_is_refused_before_it_is_taken() -> None:
    model, program = captured("luong")
    network = Network(program, weights_of(model))
    inputs = {
        "source": np.broadcast_to(np.int64(0), (1 << 20, 1 << 14)),
        "lengths": np.full(1 << 14, 1 << 20),
    }
    with pytest.raises(RunError, match="encoder: .* would hold"):
        network("encoder", inputs)
