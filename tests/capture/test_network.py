"""The programs of networks, by the reference, against the torch modules that they were captured from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.networks import NETWORKS, SIZES, draw, make, weights_of
from throughtime import Recurrent
from throughtime.capture.network import capture_network
from throughtime.errors import OptionError, RunError
from throughtime.models.functions import Definition, TorchNetwork
from throughtime.program.network import Port, network_from_json, network_to_json
from throughtime.program.reference import run_network


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reference_gives_torchs_numbers(name: str) -> None:
    model = make(name)
    network = network_from_json(json.loads(json.dumps(network_to_json(capture_network(model)))))
    weights, with_torch = dict(weights_of(model)), TorchNetwork(model)
    assert set(network.functions) == set(with_torch.functions)
    for number, sizes in enumerate(SIZES):
        for function, named in network.functions.items():
            inputs = draw(named.inputs, sizes, number)
            expected = with_torch(function, inputs)
            found = run_network(network, function, inputs, weights)
            assert list(found) == list(expected) == [port.name for port in named.outputs]
            for output, array in expected.items():
                np.testing.assert_allclose(found[output], array, rtol=5e-5, atol=2e-5, err_msg=output)


def test_a_network_in_training_is_captured_as_in_evaluation() -> None:
    model = make("luong")
    program = capture_network(model)
    assert capture_network(model.train()) == program
    assert model.training


def filtered(x: torch.Tensor, **options) -> torch.Tensor:
    """A convolution over the features of each step: (T, B, 3) to (T * B, 1, 3)."""
    return torch.conv1d(x.flatten(0, 1).unsqueeze(1), torch.ones(1, 1, 1), **options)


class Odd(torch.nn.Module):
    """A network whose function can be chosen."""

    def __init__(self, call) -> None:
        super().__init__()
        self.recurrent = Recurrent("gru", 3, 4)
        self.call = call

    def functions(self) -> dict[str, Definition]:
        x = Port("x", "float32", ("T", "B", 3))
        return {"f": Definition(lambda x: self.call(self, x), (x,), {"y": "what comes out"})}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda self, x: (x * x.shape[0],), "it computes with the size of a batch or a sequence"),
        (lambda self, x: (x.sort(0)[0],), "sort is not an operation that a program has"),
        (lambda self, x: (filtered(x, dilation=2),), "its convolution is dilated"),
        (lambda self, x: (filtered(x, padding="same"),), "its padding is 'same': say how many zeros"),
        (lambda self, x: (x.mean(1),), "it mixes the sequences of a batch"),
        (lambda self, x: (x[-1],), "only the first is sure"),
    ],
)
def test_what_a_program_cannot_say_is_refused(call, message: str) -> None:
    with pytest.raises(OptionError, match=f"Odd cannot become a program: .*{message}"):
        capture_network(Odd(call))


def test_a_recurrence_keeps_its_own_forward() -> None:
    model = Odd(lambda self, x: (self.recurrent(x)[0],))
    capture_network(model)
    assert "forward" not in vars(model.recurrent)
    assert model.recurrent(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)


def damaged(change) -> dict:
    given = json.loads(json.dumps(network_to_json(capture_network(make("luong")))))
    change(given)
    return given


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda g: g.pop("cells"), "a network is not a table of"),
        (lambda g: g["cells"].pop("encoder.cells.0"), "has no cell 'encoder.cells.0'"),
        (lambda g: g["recurrences"].pop("encoder"), "there is no recurrence 'encoder'"),
        (lambda g: g["recurrences"]["encoder"].__setitem__(2, 1), "has the sizes"),
        (lambda g: g["recurrences"]["encoder"].__setitem__(1, 10**9), "1000000000 layers"),
        (lambda g: g["functions"]["step"]["ports"][0].pop(), "its ports are not its inputs"),
        (lambda g: g["functions"]["step"]["ports"][1][0].__setitem__(2, ["B", "W", 99]), "its outputs are"),
        (lambda g: g["functions"]["step"]["nodes"].pop(), "is not computed"),
        (lambda g: g["weights"]["bridge.0.bias"].__setitem__(1, ["B"]), "a weight has a free size"),
    ],
)
def test_a_program_that_does_not_fit_itself_is_refused(change, message: str) -> None:
    with pytest.raises(RunError, match=message):
        network_from_json(damaged(change))
