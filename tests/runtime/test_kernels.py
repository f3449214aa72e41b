"""The innermost functions, in every instruction set that this CPU has."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime import _native
from throughtime.runtime.layers import Linear

ISAS = _native.available_isas().split()
# Units in the last place; docs/runtime.md states them.
LARGEST_ERROR = {"exp": 1.0, "sigmoid": 2.5, "tanh": 2.5}


def exactly(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "sigmoid":
        return 1 / (1 + np.exp(-values))
    return {"exp": np.exp, "tanh": np.tanh}[name](values)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", LARGEST_ERROR)
def test_activations_are_as_accurate_as_the_docs_say(name: str, isa: str) -> None:
    random = np.random.default_rng(0)
    values = np.concatenate(
        [np.linspace(-87, 88, 300_001), random.normal(0, 2, 200_000), random.normal(0, 1e-3, 50_000), [0.0]]
    ).astype(np.float32)
    found = _native.activation(name, values, isa).astype(np.float64)
    wanted = exactly(name, values.astype(np.float64))
    unit = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    assert (np.abs(found - wanted) / unit).max() <= LARGEST_ERROR[name]


@pytest.mark.parametrize("isa", ISAS)
def test_activations_at_the_edges(isa: str) -> None:
    edges = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-38, 100, -100], np.float32)
    tanh = _native.activation("tanh", edges, isa)
    np.testing.assert_array_equal(tanh[[1, 2, 3, 6, 7]], [1, -1, 0, 1, -1])
    sigmoid = _native.activation("sigmoid", edges, isa)
    assert sigmoid[1] == sigmoid[6] == 1 and sigmoid[3] == 0.5 and 0 <= sigmoid[2] < 1e-37
    exp = _native.activation("exp", edges, isa)
    assert exp[3] == 1 and 0 < exp[2] < 1.3e-38 and exp[1] > 2e38
    for found in (tanh, sigmoid, exp):
        assert np.isnan(found[0]) and not np.isnan(found[1:]).any()
    assert _native.activation("tanh", np.zeros(0, np.float32), isa).shape == (0,)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 82, 300])
def test_losses_and_entropies_are_those_of_the_softmax(columns: int, isa: str) -> None:
    random = np.random.default_rng(columns)
    logits = random.normal(0, 5, (37, columns)).astype(np.float32)
    targets = random.integers(-1, columns, 37)
    wide = logits.astype(np.float64)
    logs = wide - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True))
    logs -= wide.max(1, keepdims=True)
    counts = (targets >= 0)[:, None]
    expected = np.stack([-logs[np.arange(37), targets], -(np.exp(logs) * logs).sum(1)], 1) * counts
    for threads in (1, 2):
        found = _native.surprise(logits, targets, threads, isa)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    with pytest.raises(ValueError, match="target"):
        _native.surprise(logits, np.full(37, columns), 1, isa)
    with pytest.raises(ValueError, match="37 rows"):
        _native.surprise(logits, targets[:3], 1, isa)
    logits[3, columns // 2] = np.nan
    assert np.isnan(_native.surprise(logits, np.zeros(37, np.int64), 1, isa)[3]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (31, 3), (33, 5), (64, 16), (100, 130), (7, 257)])
def test_products_of_every_precision(rows: int, columns: int, isa: str) -> None:
    random = np.random.default_rng(rows * columns)
    weight = random.normal(size=(rows, columns)).astype(np.float32)
    bias = random.normal(size=rows).astype(np.float32)
    for n in (0, 1, 2, 5, 8, 9, 23):
        # A slice: not contiguous.
        inputs = random.normal(size=(n, 2 * columns)).astype(np.float32)[:, ::2]
        wanted = inputs.astype(np.float64) @ weight.T.astype(np.float64) + bias
        for precision, tolerance in (("fp32", 1e-5), ("bf16", 0.01), ("int8", 0.02)):
            found = Linear(weight, bias, precision, isa=isa)(inputs)
            assert found.shape == (n, rows)
            scale = np.sqrt(columns) * 3
            assert np.abs(found - wanted).max(initial=0) < tolerance * scale


@pytest.mark.parametrize("isa", ISAS)
def test_int8_products_are_exact_where_int8_can_hold_the_numbers(isa: str) -> None:
    random = np.random.default_rng(1)
    weight = random.integers(-127, 128, (40, 300)).astype(np.float32)
    inputs = random.integers(-127, 128, (3, 300)).astype(np.float32)
    weight[:, 0], inputs[:, 0] = 127, -127
    wanted = inputs.astype(np.int64) @ weight.astype(np.int64).T
    np.testing.assert_array_equal(Linear(weight, None, "int8", isa=isa)(inputs), wanted.astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_nan_in_the_input_shows_in_the_output(precision: str, isa: str) -> None:
    inputs = np.ones((2, 5), np.float32)
    inputs[1, 3] = np.nan
    found = Linear(np.ones((3, 5), np.float32), None, precision, isa=isa)(inputs)
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()


def test_the_environment_picks_the_instruction_set() -> None:
    code = "from throughtime import _native; print(_native.isa())"
    for isa in ISAS:
        environment = {**os.environ, "THROUGHTIME_ISA": isa}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == isa
    assert _native.isa() in ISAS
    with pytest.raises(RuntimeError, match="use one of scalar"):
        _native.activation("exp", np.zeros(1, np.float32), "sse9")


def test_a_plain_read_takes_time() -> None:
    assert 1e6 < _native.read_bandwidth(1 << 16) < 1e13


def test_an_instruction_set_that_does_not_run_here_is_a_users_mistake() -> None:
    code = (
        "import numpy as np\nfrom throughtime.errors import OptionError\n"
        "from throughtime.runtime import Linear\n"
        "try:\n    Linear(np.ones((1, 1), np.float32))\nexcept OptionError as error:\n    print(error)"
    )
    environment = {**os.environ, "THROUGHTIME_ISA": "mmx"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("THROUGHTIME_ISA: instruction set 'mmx' does not run here: use one of")
