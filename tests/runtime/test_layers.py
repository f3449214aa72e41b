"""The runtime's layers give the numbers of the torch modules, for every cell and option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from throughtime import Recurrent as TorchRecurrent  # noqa: E402
from throughtime.errors import CheckpointError, OptionError  # noqa: E402
from throughtime.runtime import Weights  # noqa: E402
from throughtime.runtime.layers import Linear, Recurrent  # noqa: E402

CELLS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"activation": "relu"}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("gru", {"bias": False}),
    ("lstm", {}),
    ("lstm", {"bias": False}),
    *(
        ("lstm", {"peephole": peephole, "projection": projection, "coupled": coupled, "layer_norm": norm})
        for peephole in (False, True)
        for projection in (0, 3)
        for coupled in (False, True)
        for norm in (False, True)
    ),
]


def pair(cell: str, options: dict[str, Any], **arguments: Any) -> tuple[TorchRecurrent, Recurrent]:
    """The same layers in torch and in the runtime, with random weights everywhere."""
    torch.manual_seed(5)
    model = TorchRecurrent(cell, 4, 7, **arguments, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.7, 0.7)
    weights = Weights({f"r.{name}": tensor.numpy() for name, tensor in model.state_dict().items()})
    native = Recurrent(
        weights,
        "r.",
        cell,
        layers=arguments.get("num_layers", 1),
        bidirectional=arguments.get("bidirectional", False),
        zoneout=arguments.get("zoneout", 0.0),
        activation=options.get("activation", "tanh"),
        reset_after=options.get("reset_after", True),
    )
    weights.refuse_unused()
    return model, native


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
@pytest.mark.parametrize("cell, options", CELLS, ids=str)
def test_a_cell_through_time_gives_torchs_numbers(
    cell: str, options: dict[str, Any], zoneout: float, bidirectional: bool
) -> None:
    model, native = pair(
        cell,
        options,
        num_layers=2,
        zoneout=zoneout,
        bidirectional=bidirectional,
        learned_initial_state=True,
    )
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(6, 3, 4)).astype(np.float32)
    lengths = [6, 1, 4]
    with torch.no_grad():
        expected, expected_state = model(torch.from_numpy(inputs), lengths=lengths)
        again, state_again = model(torch.from_numpy(inputs), expected_state)
    outputs, state = native(inputs, lengths=lengths)
    assert outputs.dtype == np.float32 and native.state_sizes == model.state_sizes
    assert native.output_size * native.directions == model.output_size
    assert_close(outputs, expected)
    kept = [part.copy() for part in state]
    outputs, after = native(inputs, state)
    assert_close(outputs, again)
    for found, wanted in zip((*kept, *after), (*expected_state, *state_again), strict=True):
        assert_close(found, wanted)
    assert all(np.array_equal(part, before) for part, before in zip(state, kept, strict=True))


@pytest.mark.parametrize("cell, options", CELLS, ids=str)
def test_rows_without_steps_and_what_stands_in_padding_are_as_in_torch(
    cell: str, options: dict[str, Any]
) -> None:
    model, native = pair(cell, options, num_layers=2, bidirectional=True)
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(5, 4, 4)).astype(np.float32)
    lengths = np.array([0, 5, 2, 0])
    inputs[np.arange(5)[:, None] >= lengths] = np.nan
    state = tuple(generator.normal(size=(4, 4, size)).astype(np.float32) for size in native.state_sizes)
    with torch.no_grad():
        expected, expected_state = model(
            torch.from_numpy(inputs), tuple(map(torch.from_numpy, state)), lengths.tolist()
        )
    outputs, final = native(inputs, state, lengths)
    for found, wanted in zip((outputs, *final), (expected, *expected_state), strict=True):
        assert_close(found, wanted)
    assert not outputs[:, [0, 3]].any()
    for new, old in zip(final, state, strict=True):
        np.testing.assert_array_equal(new[:, [0, 3]], old[:, [0, 3]])
    outputs, final = native(inputs, state, [0] * 4)
    assert not outputs.any() and all(np.array_equal(*parts) for parts in zip(final, state, strict=True))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_mask_with_holes_is_a_sequence_without_them(cell: str) -> None:
    model, native = pair(cell, {}, num_layers=2, bidirectional=True)
    inputs = np.random.default_rng(4).normal(size=(6, 3, 4)).astype(np.float32)
    mask = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 1], [1, 0, 1]]) > 0
    with torch.no_grad():
        expected, expected_state = model(torch.from_numpy(inputs), mask=torch.from_numpy(mask))
    # The steps that count, from the top; the order of the others does not matter.
    order = np.argsort(~mask, axis=0, kind="stable")[:, :, None]
    dense, state = native(np.take_along_axis(inputs, order, 0), lengths=mask.sum(0))
    outputs = np.zeros_like(dense)
    np.put_along_axis(outputs, order, dense, 0)
    for found, wanted in zip((outputs, *state), (expected, *expected_state), strict=True):
        assert_close(found, wanted)


def test_no_steps_leave_the_state_as_it_is() -> None:
    _, native = pair("lstm", {})
    state = tuple(part + 1 for part in native.initial_state(2))
    outputs, after = native(np.zeros((0, 2, 4), np.float32), state)
    assert outputs.shape == (0, 2, 7)
    assert all(np.array_equal(*parts) for parts in zip(after, state, strict=True))


def test_a_linear_layer_is_a_matrix_product_with_a_bias() -> None:
    generator = np.random.default_rng(2)
    weight, bias = (generator.normal(size=shape).astype(np.float32) for shape in ((5, 3), (5,)))
    inputs = generator.normal(size=(2, 4, 3)).astype(np.float32)
    expected = inputs.astype(np.float64) @ weight.T
    assert Linear(weight)(inputs).shape == (2, 4, 5)
    np.testing.assert_allclose(Linear(weight)(inputs), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(Linear(weight, bias)(inputs), expected + bias, rtol=1e-5, atol=1e-6)
    assert Linear(weight, bias)(inputs[0, 0]).shape == (5,)
    with pytest.raises(OptionError, match="precision 'fp8' is unknown"):
        Linear(weight, bias, "fp8")


def test_other_cells_and_weights_of_another_network_are_refused() -> None:
    weights = {name: tensor.numpy() for name, tensor in TorchRecurrent("lstm", 4, 7).state_dict().items()}
    with pytest.raises(OptionError, match="not 'mine': use --backend torch"):
        Recurrent(weights, "", "mine", layers=1)
    with pytest.raises(CheckpointError, match=r"weight_hh has 28 rows"):
        Recurrent(weights, "", "gru", layers=1)
    with pytest.raises(CheckpointError, match="lacks cells.1.weight_ih"):
        Recurrent(weights, "", "lstm", layers=2)
    weights["cells.0.weight_ih"] = weights["cells.0.weight_ih"][:, :, None]
    with pytest.raises(CheckpointError, match="cells.0.weight_ih is"):
        Recurrent(weights, "", "lstm", layers=1)
