"""The values that Keras's own tests expect of its layers with constant weights.

Source of the figures: keras/src/layers/rnn/{simple_rnn,lstm,gru,bidirectional}_test.py of Keras 3
(Apache-2.0): kernels of 0.01, recurrent kernels of 0.02, biases of 0.03 (the LSTM's forget gate 1), inputs
0, 1, 2... The output after the last step; every unit has the same.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.interchange import from_keras

# gates, shape of the inputs, units, shape of the bias (None for none), expected of each sequence
CASES: dict[str, tuple[int, tuple[int, int, int], int, tuple[int, ...] | None, list[float]]] = {
    "SimpleRNN": (1, (2, 3, 4), 4, (4,), [0.405432, 0.73605347]),
    "LSTM": (4, (3, 6, 4), 3, (12,), [0.6288687, 0.86899155, 0.9460773]),
    "LSTM without a bias": (4, (3, 6, 4), 3, None, [0.54986924, 0.86226785, 0.9443936]),
    "GRU": (3, (3, 6, 4), 3, (2, 9), [0.5217289, 0.6371659, 0.39384964]),
    "GRU, reset before": (3, (3, 6, 4), 3, (9,), [0.51447755, 0.6426879, 0.40208298]),
    "GRU without a bias": (3, (3, 6, 4), 3, None, [0.49988455, 0.64701194, 0.4103359]),
}


def constant(gates: int, inputs: int, units: int, bias: tuple[int, ...] | None) -> list[np.ndarray]:
    """What get_weights() gives for such a layer."""
    arrays = [np.full((inputs, gates * units), 0.01), np.full((units, gates * units), 0.02)]
    if bias is not None:
        arrays.append(np.full(bias, 0.03))
    if bias is not None and gates == 4:
        arrays[2][units : 2 * units] = 1  # Keras's unit_forget_bias
    return arrays


@pytest.mark.parametrize("name", CASES)
def test_the_last_output_is_the_published_one(name: str) -> None:
    gates, shape, units, bias, expected = CASES[name]
    imported = from_keras(constant(gates, shape[2], units, bias), bias=bias is not None)
    inputs = torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape)
    with torch.inference_mode():
        outputs, _ = imported.build()(inputs.transpose(0, 1))
    np.testing.assert_allclose(outputs[-1].numpy(), np.repeat([expected], units, 0).T, rtol=1e-5, atol=1e-5)


def test_both_directions_are_the_published_ones() -> None:
    inputs = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).transpose(0, 1)
    rnn = from_keras(2 * constant(1, 4, 2, (2,)), bidirectional=True).build()
    gru = from_keras(2 * constant(3, 4, 2, (2, 6)), bidirectional=True).build()
    with torch.inference_mode():
        outputs, _ = rnn(inputs)
        summed = gru(inputs)[0].unflatten(-1, (2, 2)).sum(2)
    # Without return_sequences Keras gives what each direction ends with.
    ends = torch.cat([outputs[-1, :, :2], outputs[0, :, 2:]], -1)
    expected = [
        [0.39687276, 0.39687276, 0.10004295, 0.10004295],
        [0.7237238, 0.7237238, 0.53391594, 0.53391594],
    ]
    np.testing.assert_allclose(ends.numpy(), expected, rtol=1e-5)
    expected = [[0.20937867, 0.34462988, 0.40290534], [0.59829646, 0.6734641, 0.6479671]]
    np.testing.assert_allclose(summed[:, :, 0].T.numpy(), expected, rtol=1e-5)
