"""Every network in fewer bits and on more threads: near the numbers of float32, the same on each thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.runtime.cases import CASES  # noqa: E402
from throughtime.runtime import Weights, read_weights  # noqa: E402
from throughtime.runtime.network import FP32, Compute  # noqa: E402
from throughtime.runtime.quantize import quantise  # noqa: E402


def weights_of(model: torch.nn.Module) -> Weights:
    return Weights({name: tensor.numpy() for name, tensor in model.state_dict().items()})


@pytest.mark.parametrize("precision, tolerance", [("bf16", 0.02), ("int8", 0.06)])
@pytest.mark.parametrize("name", CASES)
def test_fewer_bits_cost_little(tmp_path: Path, name: str, precision: str, tolerance: float) -> None:
    torch.manual_seed(0)
    model, use = CASES[name]()
    exact = use(weights_of(model), FP32)
    found = use(weights_of(model), Compute(precision))
    assert np.abs(found - exact).max() <= tolerance * max(1.0, np.abs(exact).max())
    assert not np.array_equal(found, exact)
    # A run that was quantised holds the numbers that the engine would have rounded to.
    (tmp_path / "small.safetensors").write_bytes(quantise(weights_of(model), precision))
    small = read_weights(tmp_path / "small.safetensors")
    assert small.precision == precision
    kept = use(small, Compute(precision))
    assert np.abs(kept - exact).max() <= 1.5 * tolerance * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("name", CASES)
def test_threads_do_not_change_the_numbers(name: str) -> None:
    torch.manual_seed(0)
    model, use = CASES[name]()
    one, two = (use(weights_of(model), Compute(threads=threads)) for threads in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-7)
