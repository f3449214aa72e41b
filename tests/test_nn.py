"""tt.nn against torch.nn: values, gradients, weights, state_dicts, errors."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import prune
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
    "cell wrong input": lambda: tt_nn.LSTMCell(10, 20)(X(3, 11)),
    "cell wrong hidden": lambda: tt_nn.LSTMCell(10, 20)(X(3, 10), (X(3, 21), X(3, 20))),
    "cell batch mismatch": lambda: tt_nn.LSTMCell(10, 20)(X(3, 10), (X(4, 20), X(4, 20))),
    "cell 3-D input": lambda: tt_nn.LSTMCell(10, 20)(X(1, 3, 10)),
    "RNNCell bad nonlinearity": lambda: tt_nn.RNNCell(10, 20, nonlinearity="foo")(X(3, 10)),
}
# Where the contract has no sentence, whatever torch.nn says today is right.
ASKED_OF_BOTH: dict[str, Any] = {
    "input_size 0": lambda module: module.LSTM(0, 20),
    "input_size -1": lambda module: module.GRU(-1, 20),
    "input_size 3.0": lambda module: module.RNN(3.0, 20),
    "bias 1": lambda module: module.LSTM(3, 20, bias=1),
    "proj_size RNN": lambda module: module.RNN(3, 20, proj_size=2),
    "proj_size GRU": lambda module: module.GRU(3, 20, proj_size=2),
    "proj_size 0 RNN": lambda module: module.RNN(3, 20, proj_size=0),
    "unknown": lambda module: module.GRU(3, 20, hiden=2),
    "4-D RNN": lambda module: module.RNN(3, 20)(X(1, 1, 1, 3)),
    "one step, wrong input size": lambda module: module.LSTM(3, 20)(X(1, 2, 4)),
    "one step, wrong batch": lambda module: module.LSTM(3, 20)(X(1, 2, 3), (X(1, 1, 20), X(1, 1, 20))),
    "one step, unbatched, 3-D state": lambda module: module.LSTM(3, 20)(X(1, 3), (X(1, 1, 20),) * 2),
    "one step, double": lambda module: module.LSTM(3, 20)(X(1, 2, 3, dtype=torch.double)),
    "one step, double state": lambda module: module.LSTM(3, 20)(X(1, 2, 3), (X(1, 2, 20).double(),) * 2),
    "cell without batch, 3-D state": lambda module: module.GRUCell(3, 20)(X(3), X(1, 1, 20)),
}


@pytest.mark.parametrize("name", ASKED_OF_BOTH)
def test_what_torch_refuses_is_refused_alike(name: str) -> None:
    refusals = []
    for module in (torch.nn, tt_nn):
        with pytest.raises(Exception) as raised:  # noqa: B017, PT011
            ASKED_OF_BOTH[name](module)
        refusals.append((type(raised.value), str(raised.value)))
    assert refusals[0] == refusals[1]


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


def one_step(**options: Any) -> tuple[torch.Tensor, Any]:
    """An input of one step and a state, for an LSTM(5, 7): what runs on Throughtime's own loop."""
    batch = () if options.get("unbatched") else (2,)
    shape = (*batch, 1, 5) if options.get("batch_first") else (1, *batch, 5)
    return torch.randn(*shape).double(), tuple(torch.randn(4, *batch, 7).double() for _ in range(2))


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"unbatched": True}])
def test_a_step_is_run_by_the_loop_and_is_torchs(options: dict[str, Any]) -> None:
    layers = {"num_layers": 2, "bidirectional": True, "batch_first": options.get("batch_first", False)}
    ours, theirs = both("LSTM", layers)
    theirs.load_state_dict(ours.state_dict())
    inputs, state = one_step(**options)
    assert ours._runs_here(inputs, state) and ours._runs_here(inputs, None)
    for given in (None, state):
        found, expected = flat(ours(inputs, given)), flat(theirs(inputs, given))
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two)
    gradients = []
    for module in (ours, theirs):
        sum(part.sum() for part in flat(module(inputs, state))).backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_parameters_have_torchs_names_and_order(name: str, options: dict[str, Any]) -> None:
    ours, theirs = both(name, options)
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]
    assert [len(one) for one in ours.all_weights] == [len(one) for one in theirs.all_weights]
    assert ours.flatten_parameters() is None
    for module in (ours, theirs):
        torch.manual_seed(9)
        module.reset_parameters()
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, two)
    found = [
        module.load_state_dict({"weight_ih_l0": module.weight_ih_l0, "weight": torch.zeros(1)}, strict=False)
        for module in (ours, theirs)
    ]
    assert found[0].missing_keys == found[1].missing_keys
    assert found[0].unexpected_keys == found[1].unexpected_keys == ["weight"]


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_weights_may_be_replaced_by_torchs_tools(name: str, steps: int) -> None:
    inputs = torch.randn(steps, 2, 5, dtype=torch.double)

    def assigned(module: Any) -> Any:
        module.weight_ih_l0 = torch.nn.Parameter(torch.full_like(module.weight_ih_l0, 0.1))
        module.bias_hh_l1_reverse = torch.nn.Parameter(torch.full_like(module.bias_hh_l1_reverse, 0.3))
        return module

    def normalised(module: Any) -> Any:
        weight_norm = torch.nn.utils.parametrizations.weight_norm(module, "weight_ih_l0")
        weight_norm.parametrizations.weight_ih_l0.original0.data.mul_(2)
        return weight_norm

    def normalised_by_hooks(module: Any) -> Any:
        weight_norm = torch.nn.utils.weight_norm(module, "weight_ih_l0")
        weight_norm.weight_ih_l0_g.data.mul_(2)
        return weight_norm

    def pruned(module: Any) -> Any:
        torch.manual_seed(2)
        return prune.random_unstructured(module, "weight_ih_l0", 0.5)

    def called(module: Any) -> Any:
        halves = {key: value.detach() / 2 for key, value in module.named_parameters()}
        return lambda given: torch.func.functional_call(module, halves, (given,))

    for change in (assigned, normalised, normalised_by_hooks, pruned, called):
        ours, theirs = (change(module) for module in both(name, {"num_layers": 2, "bidirectional": True}))
        unchanged, _ = both(name, {"num_layers": 2, "bidirectional": True})
        found, expected = flat(ours(inputs)), flat(theirs(inputs))
        assert not torch.allclose(found[0], unchanged(inputs)[0])
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two)
        if isinstance(ours, torch.nn.Module):
            assert list(ours.state_dict()) == list(theirs.state_dict())
            sum(part.sum() for part in found).backward()
            sum(part.sum() for part in expected).backward()
            for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
                torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_are_torchs(name: str) -> None:
    torch.manual_seed(0)
    ours = getattr(tt_nn, name)(5, 7)
    theirs = getattr(torch.nn, name)(5, 7)
    theirs.load_state_dict(ours.state_dict())
    for shape in ((5,), (3, 5)):
        found, expected = ours(torch.ones(shape)), theirs(torch.ones(shape))
        pairs = zip(found, expected, strict=True) if name == "LSTMCell" else [(found, expected)]
        assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_autocast_and_the_meta_device_are_torchs(name: str, steps: int) -> None:
    inputs = torch.randn(steps, 2, 5)
    for given in (inputs, pack_padded_sequence(inputs, torch.tensor([steps, 1]))):
        types = []
        for module in (tt_nn, torch.nn):
            with torch.autocast("cpu", torch.bfloat16):
                types.append([part.dtype for part in flat(getattr(module, name)(5, 7)(given))])
        assert types[0] == types[1]
    shapes = []
    for module in (tt_nn, torch.nn):
        made = getattr(module, name)(5, 7, num_layers=2, device="meta")
        shapes.append([part.shape for part in flat(made(inputs.to("meta")))])
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("steps", [1, 5])
def test_compiling_does_what_it_does_with_torchs(steps: int) -> None:
    inputs, graphs = torch.randn(steps, 2, 5), []
    for module in (tt_nn.LSTM(5, 7), torch.nn.LSTM(5, 7)):
        torch._dynamo.reset()
        found: list[torch.fx.GraphModule] = []
        outer = torch.nn.Sequential(torch.nn.Tanh(), module)

        def keep(graph: torch.fx.GraphModule, _: Any, found: list[Any] = found) -> Any:
            found.append(graph)
            return graph.forward

        outputs = torch.compile(outer, backend=keep)(inputs)[0]
        torch.testing.assert_close(outputs, outer(inputs)[0])
        outputs.sum().backward()
        assert module.weight_hh_l0.grad is not None
        graphs.append(len(found))
    assert graphs[0] == graphs[1]


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
