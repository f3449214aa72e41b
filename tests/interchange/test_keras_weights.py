"""Weights in Keras's layout, held to Keras's equations as its documentation and layers state them.

The equations are written out in NumPy, from the order and shapes of Keras's own arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime.errors import DataError, OptionError
from throughtime.interchange import RecurrenceWeights, from_keras, to_keras

I, H = 3, 5
Arrays = list[np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def simple_rnn(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """outputs (B, T, H) of inputs (B, T, I)."""
    h, outputs = np.zeros((len(x), len(recurrent))), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ kernel + bias + h @ recurrent)
        outputs.append(h)
    return np.stack(outputs, 1)


def lstm(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The columns are i, f, c, o."""
    h = c = np.zeros((len(x), len(recurrent)))
    outputs = []
    for t in range(x.shape[1]):
        z_i, z_f, z_c, z_o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
        c = f * c + i * np.tanh(z_c)
        h = o * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, 1)


def gru(x: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The columns are z, r, h; a bias of two rows belongs to a layer with reset_after."""
    units = len(recurrent)
    h, outputs = np.zeros((len(x), units)), []
    for t in range(x.shape[1]):
        input_bias, recurrent_bias = (bias, None) if bias.ndim == 1 else bias
        x_z, x_r, x_h = np.split(x[:, t] @ kernel + input_bias, 3, axis=1)
        if recurrent_bias is None:
            z = sigmoid(x_z + h @ recurrent[:, :units])
            r = sigmoid(x_r + h @ recurrent[:, units : 2 * units])
            candidate = np.tanh(x_h + (r * h) @ recurrent[:, 2 * units :])
        else:
            inner_z, inner_r, inner_h = np.split(h @ recurrent + recurrent_bias, 3, axis=1)
            z, r = sigmoid(x_z + inner_z), sigmoid(x_r + inner_r)
            candidate = np.tanh(x_h + r * inner_h)
        h = z * h + (1 - z) * candidate
        outputs.append(h)
    return np.stack(outputs, 1)


EQUATIONS = {"rnn": (simple_rnn, 1), "lstm": (lstm, 4), "gru": (gru, 3), "gru-before": (gru, 3)}


def draw(kind: str, inputs: int, seed: int, bias: bool = True) -> Arrays:
    """kernel, recurrent kernel and bias of a layer and direction."""
    generator, gates = np.random.default_rng(seed), EQUATIONS[kind][1]
    shapes = [(inputs, gates * H), (H, gates * H), (2, 3 * H) if kind == "gru" else (gates * H,)]
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes[: 3 if bias else 2]]


def run(kind: str, layers: list[list[Arrays]], x: np.ndarray) -> np.ndarray:
    """Layers of one or two directions; a backward one's outputs are put in the order of the steps."""
    for directions in layers:
        outputs = []
        for direction, arrays in enumerate(directions):
            gates = EQUATIONS[kind][1]
            none = np.zeros((2, 3 * H) if kind == "gru" else gates * H)
            full = arrays if len(arrays) == 3 else [*arrays, none]
            read = EQUATIONS[kind][0](x[:, ::-1] if direction else x, *full)
            outputs.append(read[:, ::-1] if direction else read)
        x = np.concatenate(outputs, -1)
    return x


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", EQUATIONS)
def test_the_numbers_are_those_of_keras_equations(
    kind: str, layers: int, directions: int, bias: bool
) -> None:
    drawn = [
        [draw(kind, I if layer == 0 else directions * H, 10 * layer + d, bias) for d in range(directions)]
        for layer in range(layers)
    ]
    x = np.random.default_rng(9).normal(size=(2, 7, I)).astype(np.float32)
    after = None if bias else kind != "gru-before"
    # What layer.get_weights() gives: one list for each layer, both directions in it.
    given = [sum(directions_of_one, []) for directions_of_one in drawn]
    imported = from_keras(given, bidirectional=directions == 2, bias=bias, reset_after=after)
    assert imported.arguments()["cell"] == kind.removesuffix("-before")
    recurrent = imported.build()
    with torch.inference_mode():
        outputs, _ = recurrent(torch.from_numpy(x).transpose(0, 1))
    np.testing.assert_allclose(outputs.transpose(0, 1).numpy(), run(kind, drawn, x), rtol=1e-4, atol=1e-5)
    for back, array in zip(to_keras(imported), sum(given, []), strict=True):
        np.testing.assert_array_equal(back, array)


def test_a_gru_by_hand() -> None:
    # z = sigmoid(0) = 1/2 keeps half of the old state; the candidate is tanh(1) at each step.
    kernel, recurrent = np.zeros((1, 3)), np.zeros((1, 3))
    imported = from_keras([kernel, recurrent, np.array([0.0, 0.0, 1.0])])
    outputs, _ = imported.build()(torch.zeros(3, 1, 1))
    expected = np.tanh(1) * np.array([1 / 2, 3 / 4, 7 / 8])
    np.testing.assert_allclose(outputs.detach().ravel().numpy(), expected, rtol=1e-6)


def test_an_lstm_by_hand() -> None:
    # In Keras's order i, f, c, o: i and o open, f shut: the cell state is tanh(1) at every step.
    bias = np.array([30.0, -30.0, 1.0, 30.0])
    imported = from_keras([np.zeros((1, 4)), np.zeros((1, 4)), bias], cell="lstm")
    outputs, _ = imported.build()(torch.zeros(2, 1, 1))
    np.testing.assert_allclose(outputs.detach().ravel().numpy(), np.tanh(np.tanh(1)), rtol=1e-6)


def test_relu_is_told_because_weights_do_not_say_it() -> None:
    assert from_keras(draw("rnn", I, 0), activation="relu").build().cells[0].activation == "relu"


def test_npz_files_keep_the_order(tmp_path: Path) -> None:
    arrays = [array for number in range(4) for array in draw("lstm", I if number == 0 else H, number)]
    np.savez(tmp_path / "weights.npz", *arrays)  # arr_10 comes after arr_9, not after arr_1
    imported = from_keras(tmp_path / "weights.npz")
    assert imported.layers == 4
    np.testing.assert_array_equal(imported.cells[3]["weight_ih"], arrays[9].T)


def test_what_does_not_fit_together_is_named() -> None:
    good = draw("gru", I, 0)
    for weights, options, message in [
        (good[:2], {}, "there are 2 arrays, and each layer has 3"),
        (good, {"bidirectional": True}, "each layer has 6"),
        ([], {}, "there are 0 arrays"),
        (
            [good, draw("gru", 4, 1)],
            {},
            "layer 1 is a gru that reads 4 numbers and has 5 units, expected gru, 5",
        ),
        ([good, draw("gru-before", H, 1)], {}, "layer 1 is a gru"),
        (
            [good, draw("gru", H, 1)],
            {"bidirectional": True},
            "layer 0, backward is a gru that reads 5 numbers",
        ),
        (good, {"cell": "lstm"}, r"needs H rows and 4 H columns"),
        (good, {"reset_after": False}, r"bias of shape \(2, 15\), expected \(15,\)"),
        (draw("gru-before", I, 0), {"reset_after": True}, r"bias of shape \(15,\), expected \(2, 15\)"),
        ([*good[:2], np.zeros(4)], {}, r"expected \(2, 15\) or \(15,\)"),
        ([good[0][0], *good[1:]], {}, "expected two matrices"),
        ([good[0], np.zeros((5, 7)), good[2]], {}, r"kernels \(3, 15\) and \(5, 7\)"),
    ]:
        with pytest.raises(DataError, match=message):
            from_keras(weights, **options)
    for options in ({"cell": "simple"}, {"activation": "elu"}):
        with pytest.raises(OptionError, match="is unknown: use"):
            from_keras(good, **options)


@pytest.mark.parametrize(
    "cell, options",
    [("lstm", {"peephole": True}), ("lstm", {"projection": 2}), ("gru", {"zoneout": 0.1})],
)
def test_what_keras_lacks_does_not_go_there(cell: str, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"Keras has no {cell.upper()} with {next(iter(options))}"):
        to_keras(RecurrenceWeights.of(tt.Recurrent(cell, I, H, **options)))


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru-before"])
def test_two_biases_of_ours_become_keras_one(kind: str) -> None:
    torch.manual_seed(0)
    options = {"reset_after": kind == "gru"} if "gru" in kind else {}
    recurrent = tt.Recurrent(kind.removesuffix("-before"), I, H, bidirectional=True, **options)
    arrays = to_keras(RecurrenceWeights.of(recurrent))
    x = torch.randn(7, 2, I)
    with torch.inference_mode():
        outputs, _ = recurrent(x)
    found = run(kind, [[arrays[:3], arrays[3:]]], x.transpose(0, 1).numpy())
    np.testing.assert_allclose(found, outputs.transpose(0, 1).numpy(), rtol=1e-4, atol=1e-5)
