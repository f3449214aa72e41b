"""The runtime's layers give the numbers of the torch modules, for every cell and option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from throughtime import Recurrent as TorchRecurrent  # noqa: E402
from throughtime.errors import CheckpointError, OptionError  # noqa: E402
from throughtime.runtime import Engine, Weights  # noqa: E402
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
    with pytest.raises(OptionError, match="'mine' has no program.* use --backend torch"):
        Recurrent(weights, "", "mine", layers=1)
    with pytest.raises(CheckpointError, match=r"weight_hh has 28 rows"):
        Recurrent(weights, "", "gru", layers=1)
    with pytest.raises(CheckpointError, match="lacks cells.1.weight_ih"):
        Recurrent(weights, "", "lstm", layers=2)
    weights["cells.0.weight_ih"] = weights["cells.0.weight_ih"][:, :, None]
    with pytest.raises(CheckpointError, match="cells.0.weight_ih is"):
        Recurrent(weights, "", "lstm", layers=1)


def lstm(**options: Any) -> dict[str, Any]:
    model = TorchRecurrent("lstm", 4, 7, **options)
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "sigmoid"}, "activation 'sigmoid' is unknown: use tanh or relu"),
        ({"zoneout": 2.0}, "zoneout must be from 0 to below 1, not 2.0"),
        ({"zoneout": float("nan")}, "zoneout must be"),
        ({"zoneout": -0.1}, "zoneout must be"),
        ({"layers": 0}, "layers must be a whole number, 1 or above, not 0"),
        ({"layers": 1.0}, "layers must be a whole number"),
        ({"threads": 0}, "threads must be from 1 to 256, not 0"),
        ({"threads": 1000}, "threads must be from 1 to 256, not 1000"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Recurrent(lstm(), "", "lstm", **{"layers": 1, **options})
    network = {"cell": "lstm", "layers": 1, **options}
    if "threads" not in network:
        with pytest.raises(OptionError, match=said.split()[0]):
            Engine.from_tensors(network, {})


def test_an_engine_refuses_options_that_it_does_not_know() -> None:
    with pytest.raises(OptionError, match="option 'hiden' is unknown"):
        Engine.from_tensors({"hiden": 3}, {})
    with pytest.raises(OptionError, match="reset_after is 'no', which is no bool"):
        Engine.from_tensors({"reset_after": "no"}, {})


@pytest.mark.parametrize(
    ("cell", "changes", "said"),
    [
        ("lstm", {"cells.0.weight_unknown": (3, 3)}, "holds 'cells.0.weight_unknown'"),
        ("lstm", {"cells.7.weight_ih": (28, 4)}, "holds 'cells.7.weight_ih'"),
        ("lstm", {"cells.0.norm_hh.weight": (28,)}, "lacks cells.0.norm_ih.weight"),
        ("lstm", {"cells.0.bias_hh": None}, "lacks cells.0.bias_hh"),
        ("lstm", {"initial.0": (1, 7)}, "lacks initial.1"),
        ("lstm", {"initial.0": (1, 7), "initial.1": (1, 7), "initial.2": (1, 7)}, "holds 'initial.2'"),
        ("lstm", {"initial.0": (2, 7), "initial.1": (1, 7)}, r"initial.0 is of floats \(2, 7\)"),
        ("lstm", {"cells.0.bias_ih": (28, 1)}, r"cells.0.bias_ih is of floats \(28, 1\)"),
        ("lstm", {"cells.0.weight_hh": (28,)}, r"cells.0.weight_hh is of floats \(28,\)"),
        ("gru", {"cells.0.weight_hr": (3, 7)}, "holds 'cells.0.weight_hr'"),
        ("gru", {"initial.0": (1, 7), "initial.1": (1, 7)}, "holds 'initial.1'"),
        ("rnn", {"cells.0.weight_peephole": (3, 7)}, "holds 'cells.0.weight_peephole'"),
    ],
)
def test_tensors_that_no_such_cell_has_are_refused(
    cell: str, changes: dict[str, tuple[int, ...] | None], said: str
) -> None:
    tensors = {name: tensor.numpy() for name, tensor in TorchRecurrent(cell, 4, 7).state_dict().items()}
    Recurrent(tensors, "", cell, layers=1)
    for name, shape in changes.items():
        if shape is None:
            del tensors[name]
        else:
            tensors[name] = np.ones(shape, np.float32)
    with pytest.raises(CheckpointError, match=said):
        Recurrent(tensors, "", cell, layers=1)


def test_layers_that_do_not_agree_are_refused() -> None:
    tensors = lstm(num_layers=2)
    tensors |= {
        "cells.1.weight_ih": np.ones((20, 7), np.float32),
        "cells.1.weight_hh": np.ones((20, 5), np.float32),
        "cells.1.bias_ih": np.ones(20, np.float32),
        "cells.1.bias_hh": np.ones(20, np.float32),
    }
    with pytest.raises(CheckpointError, match=r"cells.1 has a state of \[5, 5\] numbers"):
        Recurrent(tensors, "", "lstm", layers=2)


def test_whole_numbers_are_no_weights() -> None:
    tensors = lstm()
    tensors["cells.0.bias_ih"] = tensors["cells.0.bias_ih"].astype(np.int32)
    with pytest.raises(CheckpointError, match=r"cells.0.bias_ih is of int32"):
        Recurrent(tensors, "", "lstm", layers=1)


def test_calls_that_do_not_fit_are_refused_by_name() -> None:
    _, native = pair("lstm", {}, num_layers=2)
    inputs = np.ones((3, 2, 4), np.float32)
    state = native.initial_state(2)
    calls: list[tuple[tuple[Any, ...], str]] = [
        ((inputs[0],), r"inputs have the shape \(2, 4\), expected \(T, B, 4\)"),
        ((inputs[:, :, :3],), r"inputs have the shape \(3, 2, 3\)"),
        ((inputs.astype(complex),), "inputs must be real numbers"),
        ((inputs, tuple(np.concatenate([part, part]) for part in state)), "the state has the shapes"),
        ((inputs, state[:1]), "the state has the shapes"),
        ((inputs, (*state, state[0])), "the state has the shapes"),
        ((inputs, native.initial_state(3)), r"expected \[\(2, 2, 7\), \(2, 2, 7\)\]"),
        ((inputs, tuple(part[0] for part in state)), "the state has the shapes"),
        ((inputs, None, [2.7, 1.0]), "lengths must be whole numbers, not float64"),
        ((inputs, None, [True, True]), "lengths must be whole numbers, not bool"),
        ((inputs, None, [1]), r"lengths have the shape \(1,\), expected \(2,\)"),
        ((inputs, None, [[1, 2]]), "lengths have the shape"),
        ((inputs, None, [1, 4]), "lengths row 1 is 4"),
        ((inputs, None, [1, -1]), "lengths row 1 is -1"),
    ]
    for arguments, said in calls:
        with pytest.raises(ValueError, match=said):
            native(*arguments)
    outputs, _ = native(inputs, state, np.array([3, 1], np.uint8))
    np.testing.assert_array_equal(outputs, native(inputs.tolist(), state, [3, 1])[0])


def test_a_linear_layer_refuses_shapes_that_do_not_fit() -> None:
    weight, bias = np.ones((5, 3), np.float32), np.ones(5, np.float32)
    for arguments in ((weight[0],), (weight[None],), (weight, bias[:4]), (weight, bias[:, None])):
        with pytest.raises(ValueError, match=r"expected \(O, I\) and \(O,\)"):
            Linear(*arguments)
    for inputs in (np.ones(4), np.float32(1), np.ones((2, 3, 2))):
        with pytest.raises(ValueError, match=r"inputs have the shape .*, expected \(..., 3\)"):
            Linear(weight)(inputs)
