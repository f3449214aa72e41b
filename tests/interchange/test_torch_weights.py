"""Weights of torch.nn's layers, held to what those layers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import throughtime as tt
from throughtime.errors import DataError, OptionError
from throughtime.interchange import RecurrenceWeights, from_torch, to_torch

I, H = 3, 5
LAYERS: list[tuple[type[nn.RNNBase], dict[str, Any]]] = [
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.GRU, {}),
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 2}),
]
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bias": False},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layer, options", LAYERS)
def test_the_same_numbers_come_out(layer: Any, options: dict[str, Any], shape: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = layer(I, H, **options, **shape)
    imported = from_torch(theirs.state_dict(), activation=options.get("nonlinearity", "tanh"))
    ours = imported.build()
    assert (ours.num_layers, ours.bidirectional) == (shape.get("num_layers", 1), "bidirectional" in shape)
    x = torch.randn(7, 2, I)
    with torch.inference_mode():
        expected, final = theirs(x)
        outputs, state = ours(x)
    torch.testing.assert_close(outputs, expected)
    for part, other in zip(state, final if isinstance(final, tuple) else (final,), strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layer, options", LAYERS)
def test_there_and_back_is_where_one_began(
    layer: Any, options: dict[str, Any], shape: dict[str, Any]
) -> None:
    theirs = layer(I, H, **options, **shape)
    imported = from_torch(theirs.state_dict())
    back = to_torch(imported)
    assert list(back) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})
    again = RecurrenceWeights.of(imported.build())
    assert again.arguments() == imported.arguments()
    for name, array in again.tensors().items():
        np.testing.assert_array_equal(array, imported.tensors()[name])


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_are_layers_of_their_own(cell: Any) -> None:
    theirs = cell(I, H)
    ours = from_torch(theirs.state_dict()).build()
    x = torch.randn(2, I)
    with torch.inference_mode():
        expected = theirs(x)
        outputs, _ = ours(x[None])
    torch.testing.assert_close(outputs[0], expected[0] if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files_hold_whole_models(suffix: str, tmp_path: Path) -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(7, I), "rnn": nn.LSTM(I, H), "output": nn.Linear(H, 7)})
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in model.state_dict().items()})
    else:
        save_file(model.state_dict(), path)
    imported = tt.interchange.from_torch(path)
    arguments = imported.arguments()
    assert (arguments["cell"], arguments["input_size"], arguments["hidden_size"]) == ("lstm", I, H)
    np.testing.assert_array_equal(imported.tensors()["cells.0.weight_ih"], model["rnn"].weight_ih_l0.detach())


def test_one_of_several_layers_is_named_by_its_prefix() -> None:
    model = nn.ModuleDict({"encoder": nn.GRU(I, H), "decoder": nn.GRU(H, 4)})
    for prefix in ("decoder.", "decoder"):
        assert from_torch(model.state_dict(), prefix).arguments()["hidden_size"] == 4
    with pytest.raises(
        DataError, match=r"several recurrent layers: give prefix=, one of \['decoder\.', 'enc"
    ):
        from_torch(model.state_dict())
    with pytest.raises(DataError, match=r"no recurrent layer under 'x\.'"):
        from_torch(model.state_dict(), "x")


def test_half_precision_is_read_as_float32() -> None:
    state = nn.LSTM(I, H).bfloat16().state_dict()
    assert from_torch(state).tensors()["cells.0.weight_hh"].dtype == np.float32


def test_what_does_not_fit_together_is_named() -> None:
    state = nn.LSTM(I, H, num_layers=2).state_dict()
    for change, message in [
        ({"weight_hh_l0": torch.zeros(7, 5)}, r"weight_hh of \*_l0 has shape \(7, 5\): no RNN, LSTM or GRU"),
        ({"weight_ih_l1": torch.zeros(20, 4)}, r"\*_l1 reads 4 numbers .* expected 5"),
        ({"bias_ih_l0": torch.zeros(3)}, r"bias_ih of \*_l0 has shape \(3,\), expected \(20,\)"),
        ({"bias_ih_l0": None}, "both belong together"),
        ({"weight_hh_l1": None}, r"lack weight_hh of \*_l1"),
        ({"weight_hh_l0": torch.full((20, 5), torch.nan)}, "weight_hh holds NaN"),
        ({"weight_hh_l0": np.full((20, 5), 1e300)}, "weight_hh holds NaN, infinite values or some beyond 32"),
        ({"weight_ih_l0": "text"}, "no array of numbers"),
        ({"weight_ih_l0": np.full((20, 3), "0.5")}, "is <U3, and no array of numbers"),
        ({"weight_ih_l0": np.full((20, 3), 0x7FFFFFFF).view("<U1")}, "is <U1, and no array of numbers"),
    ]:
        changed = {name: value for name, value in {**state, **change}.items() if value is not None}
        with pytest.raises(DataError, match=message):
            from_torch(changed)
    with pytest.raises(DataError, match=r"lack \*_l1"):
        from_torch({name: value for name, value in state.items() if "_l1" not in name} | _named(state, "_l2"))
    with pytest.raises(DataError, match="no recurrent layer of torch.nn .* begin with weight, bias"):
        from_torch(nn.Linear(2, 2).state_dict())
    with pytest.raises(OptionError, match="use tanh or relu"):
        from_torch(state, activation="sigmoid")


def _named(state: dict[str, Any], suffix: str) -> dict[str, Any]:
    return {name.replace("_l1", suffix): value for name, value in state.items() if "_l1" in name}


@pytest.mark.parametrize(
    "cell, options, message",
    [
        ("lstm", {"peephole": True, "layer_norm": True}, "no LSTM with peephole, layer_norm"),
        ("lstm", {"zoneout": 0.1}, "zoneout"),
        ("gru", {"reset_after": False}, "no GRU with reset_after=False"),
        ("rnn", {"learned_initial_state": True}, "learned_initial_state"),
    ],
)
def test_what_torch_lacks_does_not_go_there(cell: str, options: dict[str, Any], message: str) -> None:
    weights = RecurrenceWeights.of(tt.Recurrent(cell, I, H, **options))
    assert RecurrenceWeights.of(weights.build()).arguments() == weights.arguments()
    with pytest.raises(OptionError, match=message):
        to_torch(weights)


def test_a_cell_of_the_users_own_has_no_name_elsewhere() -> None:
    class Own(tt.Cell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))

        def step(self, projected: Any, state: Any) -> Any:
            return state[0], state

    with pytest.raises(OptionError, match="others have no cell like Own: only rnn, lstm, gru can go there"):
        RecurrenceWeights.of(tt.Recurrent(Own, I, H))
