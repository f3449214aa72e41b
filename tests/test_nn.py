"""tt.nn against torch.nn: values, gradients, weights, state_dicts, errors."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from throughtime import nn as tt_nn

CASES: list[tuple[str, dict[str, Any]]] = [
    (name, options)
    for name in ("RNN", "LSTM", "GRU")
    for options in (
        {},
        {"num_layers": 3, "bidirectional": True},
        {"bias": False, "batch_first": True},
        {"num_layers": 2, "dropout": 0.5},
    )
] + [
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
]


def both(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    made = []
    for module in (tt_nn, torch.nn):
        torch.manual_seed(3)
        made.append(getattr(module, name)(5, 7, dtype=torch.double, **options))
    return made[0], made[1]


def flat(result: Any) -> list[torch.Tensor]:
    outputs, state = result
    outputs = outputs.data if not isinstance(outputs, torch.Tensor) else outputs
    return [outputs, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_values_and_gradients_are_torchs(name: str, options: dict[str, Any]) -> None:
    ours, theirs = both(name, options)
    if options.get("dropout"):
        ours.eval(), theirs.eval()
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(4, 4, 5, dtype=torch.double)
    packed = pack_padded_sequence(
        inputs, torch.tensor([2, 4, 1, 4]), enforce_sorted=False, batch_first=ours.batch_first
    )
    for given in (inputs, packed, inputs[0]):
        results = []
        for module in (ours, theirs):
            module.zero_grad()
            tensors = flat(module(given))
            torch.manual_seed(0)
            sum((part * torch.randn_like(part)).sum() for part in tensors).backward()
            results.append((tensors, [p.grad.clone() for p in module.parameters()]))
        for one, two in zip(results[0][0] + results[0][1], results[1][0] + results[1][1], strict=True):
            torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_dicts_go_both_ways(name: str, options: dict[str, Any]) -> None:
    ours, theirs = both(name, options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_()
    ours.load_state_dict(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
        assert torch.equal(getattr(ours, key), value)
    outer = torch.nn.ModuleDict({"a": ours, "b": torch.nn.Linear(2, 2)})
    twin = torch.nn.ModuleDict({"a": theirs, "b": torch.nn.Linear(2, 2)})
    assert list(outer.state_dict()) == list(twin.state_dict())
    outer.load_state_dict(twin.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        ours.load_state_dict({})


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_same_seed_draws_the_same_weights(name: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        ours = getattr(tt_nn, name)(5, 7, **options)
        torch.manual_seed(1)
        theirs = getattr(torch.nn, name)(5, 7, **options)
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
    assert repr(ours) == repr(theirs)


def test_packed_results_keep_the_callers_order() -> None:
    ours, theirs = both("GRU", {})
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(4, 3, 5, dtype=torch.double)
    for lengths, is_sorted in (([4, 2, 2], True), ([2, 4, 2], False)):
        packed = pack_padded_sequence(inputs, torch.tensor(lengths), enforce_sorted=is_sorted)
        found, expected = ours(packed)[0], theirs(packed)[0]
        torch.testing.assert_close(found.data, expected.data)
        assert (found.sorted_indices is None) == (expected.sorted_indices is None)
        if expected.sorted_indices is not None:
            assert torch.equal(found.sorted_indices, expected.sorted_indices)


def test_parameters_have_the_published_shapes(conformance: Path) -> None:
    contract = json.loads((conformance / "torch_contract.json").read_text())
    made = {
        "params LSTM(10,20,2,bidirectional)": tt_nn.LSTM(10, 20, 2, bidirectional=True),
        "params LSTM(10,20,proj_size=7)": tt_nn.LSTM(10, 20, 2, proj_size=7),
        "params GRU(10,20)": tt_nn.GRU(10, 20),
    }
    for key, module in made.items():
        assert {name: list(value.shape) for name, value in module.state_dict().items()} == contract[key]


X = torch.zeros
REFUSALS: dict[str, Any] = {
    "4-D input": lambda: tt_nn.LSTM(10, 20)(X(1, 2, 3, 10)),
    "wrong input size": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 11)),
    "h0 wrong batch": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 10), (X(1, 4, 20), X(1, 4, 20))),
    "c0 wrong hidden": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 10), (X(1, 3, 20), X(1, 3, 21))),
    "h0 2-D with batched input": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 10), (X(1, 20), X(1, 20))),
    "h0 3-D with unbatched input": lambda: tt_nn.LSTM(10, 20)(X(5, 10), (X(1, 3, 20), X(1, 3, 20))),
    "GRU h0 wrong layers": lambda: tt_nn.GRU(10, 20, 2)(X(5, 3, 10), X(1, 3, 20)),
    "GRU h0 2-D batched": lambda: tt_nn.GRU(10, 20)(X(5, 3, 10), X(1, 20)),
    "dropout 1.5": lambda: tt_nn.LSTM(10, 20, dropout=1.5),
    "dropout -0.1": lambda: tt_nn.LSTM(10, 20, dropout=-0.1),
    "dropout True": lambda: tt_nn.LSTM(10, 20, dropout=True),
    "proj_size = hidden": lambda: tt_nn.LSTM(10, 20, proj_size=20),
    "proj_size <0": lambda: tt_nn.LSTM(10, 20, proj_size=-1),
    "proj_size GRU": lambda: tt_nn.GRU(10, 20, proj_size=3),
    "hidden 0": lambda: tt_nn.LSTM(10, 0),
    "layers 0": lambda: tt_nn.LSTM(10, 20, 0),
    "hidden float": lambda: tt_nn.LSTM(10, 2.5),  # type: ignore[arg-type]
    "nonlinearity bad": lambda: tt_nn.RNN(10, 20, nonlinearity="sigmoid"),
    "int input": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 10, dtype=torch.int64)),
    "double input float weights": lambda: tt_nn.LSTM(10, 20)(X(5, 3, 10, dtype=torch.double)),
    "empty time axis": lambda: tt_nn.LSTM(10, 20)(X(0, 3, 10)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_torchs_word_for_word(name: str, conformance: Path) -> None:
    kind, message = json.loads((conformance / "torch_contract.json").read_text())[name].split(": ", 1)
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        REFUSALS[name]()
    assert (type(raised.value).__name__, str(raised.value)) == (kind, message)


def test_dropout_on_one_layer_warns_as_torch_does(conformance: Path) -> None:
    expected = json.loads((conformance / "torch_contract.json").read_text())["dropout 1 layer"]
    with pytest.warns(UserWarning) as caught:
        module = tt_nn.LSTM(10, 20, dropout=0.5)
    assert str(caught[0].message) == expected["warning"]
    assert repr(module) == expected["result"]
    assert caught[0].filename == __file__


def test_an_empty_batch_and_a_copy_work() -> None:
    import copy

    module = tt_nn.LSTM(10, 20)
    assert module(torch.zeros(5, 0, 10))[0].shape == (5, 0, 20)
    twin = copy.deepcopy(module)
    assert torch.equal(twin.weight_hh_l0, module.weight_hh_l0)
    with pytest.raises(AttributeError):
        _ = module.weight_ih_l1
    with pytest.raises(AttributeError):
        _ = module.weight_ih_l0_reverse
