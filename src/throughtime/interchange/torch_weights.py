"""Weights of torch.nn's RNN, LSTM and GRU, from and to their `state_dict`; torch is not needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughtime.errors import DataError, OptionError
from throughtime.interchange.recurrence_weights import GATES, Array, CellWeights, RecurrenceWeights
from throughtime.interchange.weight_files import as_array, read_weight_file

_NAME = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<name>weight_(?:ih|hh|hr)|bias_(?:ih|hh))(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)


def from_torch(
    weights: Mapping[str, Any] | str | Path, prefix: str | None = None, activation: str = "tanh"
) -> RecurrenceWeights:
    """The weights of torch.nn.RNN, LSTM, GRU, RNNCell, LSTMCell or GRUCell.

    Example:
        imported = from_torch(torch_model.state_dict(), prefix="encoder.lstm.")
        recurrent = imported.build()                            # a throughtime.Recurrent with these weights

    Args:
        weights: a state_dict, with arrays or tensors; or a .safetensors or .npz file of one.
        prefix: of the layer's names; None takes the only recurrent layer that there is.
        activation: of an RNN, "tanh" or "relu": the weights do not say.
    Returns:
        Cell, sizes and options as found from names and shapes; float32.
    Raises:
        DataError: there is no such layer, or several, or its shapes do not fit together.
        OptionError: the activation is unknown.
    """
    if activation not in ("tanh", "relu"):
        raise OptionError(f"activation {activation!r} is unknown: use tanh or relu")
    if isinstance(weights, (str, Path)):
        weights = read_weight_file(weights)
    found = _layers_by_prefix(weights)
    if prefix is None:
        if len(found) != 1:
            known = (
                f"several recurrent layers: give prefix=, one of {sorted(found)}"
                if found
                else _nothing(weights)
            )
            raise DataError(f"the weights hold {known}")
        (prefix,) = found
    prefix = f"{prefix}." if prefix and not prefix.endswith(".") else prefix
    if prefix not in found:
        raise DataError(f"the weights hold no recurrent layer under {prefix!r}; there are {sorted(found)}")
    return _recurrence(found[prefix], prefix, activation)


def to_torch(weights: RecurrenceWeights) -> dict[str, Array]:
    """The arrays by the names that torch.nn's layers give them; the way back of `from_torch`.

    Args:
        weights: also `RecurrenceWeights.of(recurrent)`, for a layer of Throughtime.
    Raises:
        OptionError: torch.nn has no such layer (the message names the option).
    """
    options = weights.cells[0].options
    beyond = [name for name in ("peephole", "coupled", "layer_norm") if options.get(name)]
    beyond += ["zoneout"] * (weights.zoneout is not None)
    beyond += ["learned_initial_state"] * (weights.initial is not None)
    beyond += ["reset_after=False"] * (options.get("reset_after") is False)
    if beyond:
        raise OptionError(f"torch.nn has no {weights.cells[0].kind.upper()} with {', '.join(beyond)}")
    named: dict[str, Array] = {}
    for number, cell in enumerate(weights.cells):
        layer, direction = divmod(number, weights.directions)
        suffix = f"_l{layer}{'_reverse' * direction}"
        named |= {f"{name}{suffix}": array for name, array in cell.arrays.items()}
    return named


def parameter_name(name: str) -> str | None:
    """What torch.nn's recurrent layers call the parameter, without prefix and layer; None for other names."""
    match = _NAME.fullmatch(name)
    return None if match is None else match["name"]


def _layers_by_prefix(weights: Mapping[str, Any]) -> dict[str, dict[tuple[int, int], dict[str, Any]]]:
    """By prefix, then layer and direction, then the parameter's name."""
    found: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}
    for name, value in weights.items():
        if match := _NAME.fullmatch(name):
            place = (int(match["layer"] or 0), int(match["reverse"] is not None))
            found.setdefault(match["prefix"], {}).setdefault(place, {})[match["name"]] = value
    return found


def _nothing(weights: Mapping[str, Any]) -> str:
    names = ", ".join(f"{name:.60}" for name in list(weights)[:3]) or "nothing"
    return f"no recurrent layer of torch.nn (weight_ih_l0, weight_hh_l0...); they begin with {names}"


def _recurrence(
    found: dict[tuple[int, int], dict[str, Any]], prefix: str, activation: str
) -> RecurrenceWeights:
    directions = 1 + max(direction for _, direction in found)
    layers = 1 + max(layer for layer, _ in found)
    cells: list[CellWeights] = []
    for layer in range(layers):
        for direction in range(directions):
            where = f"{prefix}*_l{layer}{'_reverse' * direction}"
            if (layer, direction) not in found:
                raise DataError(f"the weights lack {where}")
            named = found[layer, direction]
            arrays = {name: as_array(value, f"{prefix}{name}") for name, value in named.items()}
            cells.append(_cell(arrays, where, activation))
            read = cells[0].input_size if layer == 0 else directions * cells[0].state_sizes[0]
            if (cells[-1].input_size, cells[-1].state_sizes) != (read, cells[0].state_sizes):
                raise DataError(
                    f"{where} reads {cells[-1].input_size} numbers and has a state of "
                    f"{cells[-1].state_sizes}, expected {read} and {cells[0].state_sizes}"
                )
    if len({(cell.kind, tuple(sorted(cell.arrays))) for cell in cells}) > 1:
        raise DataError(f"the layers of {prefix or 'the weights'} are of different kinds")
    return RecurrenceWeights(tuple(cells), directions)


def _cell(arrays: dict[str, Array], where: str, activation: str) -> CellWeights:
    for name in ("weight_ih", "weight_hh"):
        if name not in arrays or arrays[name].ndim != 2:
            raise DataError(f"the weights lack {name} of {where}, a matrix")
    rows, size = arrays["weight_hh"].shape
    projection = arrays.get("weight_hr")
    H = size if projection is None else projection.shape[-1]
    kinds = {gates: kind for kind, gates in GATES.items()}
    kind = kinds.get(rows // H) if H and rows % H == 0 else None
    if kind is None:
        raise DataError(f"weight_hh of {where} has shape {(rows, size)}: no RNN, LSTM or GRU has that")
    expected = {
        "weight_ih": (rows, arrays["weight_ih"].shape[1]),
        "weight_hh": (rows, size),
        "weight_hr": (size, H),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    for name, array in arrays.items():
        if array.shape != expected[name]:
            raise DataError(f"{name} of {where} has shape {array.shape}, expected {expected[name]}")
    if ("bias_ih" in arrays) != ("bias_hh" in arrays):
        raise DataError(f"{where} has one of bias_ih and bias_hh, and both belong together")
    if kind == "rnn":
        options: dict[str, Any] = {"activation": activation}
    elif kind == "gru":
        options = {"reset_after": True}
    else:
        projected = 0 if projection is None else size
        options = {"peephole": False, "projection": projected, "coupled": False, "layer_norm": False}
    return CellWeights(kind, arrays, options)
