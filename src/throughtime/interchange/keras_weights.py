"""Weights in the layout of Keras's SimpleRNN, LSTM and GRU, from and to; Keras is not needed.

Keras multiplies from the other side, kernel (I, G * H), and orders the gates i f c o (LSTM) and z r h (GRU).
Its equations are ours: z keeps the old state in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.errors import DataError, OptionError
from throughtime.interchange.recurrence_weights import GATES, Array, CellWeights, RecurrenceWeights
from throughtime.interchange.weight_files import as_array, read_weight_file

# Our gates among Keras's, and the other way round: a swap is its own inverse.
_ORDER = {"rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


def from_keras(
    weights: Any,
    cell: str | None = None,
    bidirectional: bool = False,
    bias: bool = True,
    reset_after: bool | None = None,
    activation: str = "tanh",
) -> RecurrenceWeights:
    """The weights of Keras's SimpleRNN, LSTM or GRU, of several on top of each other, or Bidirectional.

    The layers have Keras's default activations: tanh, and sigmoid for the gates (the hard_sigmoid of files
    from before Keras 2.3 is another function).

    Example:
        imported = from_keras(layer.get_weights())
        imported = from_keras([one.get_weights(), two.get_weights()], bidirectional=True)
        recurrent = imported.build()                            # a throughtime.Recurrent with these weights

    Args:
        weights: kernel (I, G * H), recurrent_kernel (H, G * H) and the bias, then those of the next
            direction, then those of the next layer: what get_weights() gives, in lists within lists or not;
            or an .npz file that numpy.savez wrote of them.
        cell: "rnn", "lstm" or "gru"; None infers it from the shapes.
        bidirectional: each layer has a forward and a backward direction, and Keras's merge_mode "concat".
        bias: whether the layers have biases.
        reset_after: of a GRU; None infers it from the bias, and is Keras's default, True, without one.
        activation: of a SimpleRNN, "tanh" or "relu".
    Returns:
        Cell, sizes and options; float32.
    Raises:
        DataError: the arrays are not those of such layers (the message names the shape).
        OptionError: cell or activation is unknown.
    """
    if cell is not None and cell not in GATES:
        raise OptionError(f"cell {cell!r} is unknown: use {', '.join(GATES)}")
    if activation not in ("tanh", "relu"):
        raise OptionError(f"activation {activation!r} is unknown: use tanh or relu")
    if isinstance(weights, (str, Path)):
        weights = _in_order(read_weight_file(weights))
    arrays = [as_array(array, f"array {number}") for number, array in enumerate(_flat(weights))]
    a_cell = 3 if bias else 2
    directions = 2 if bidirectional else 1
    if not arrays or len(arrays) % (a_cell * directions):
        raise DataError(
            f"there are {len(arrays)} arrays, and each layer has {a_cell * directions} (with "
            f"bias={bias} and bidirectional={bidirectional})"
        )
    options = {"reset_after": reset_after, "activation": activation}
    cells: list[CellWeights] = []
    for first in range(0, len(arrays), a_cell):
        layer = first // (a_cell * directions)
        where = f"layer {layer}{', backward' if len(cells) % directions else ''}"
        cells.append(_cell(arrays[first : first + a_cell], cell, options, where))
        read = cells[0].input_size if layer == 0 else directions * cells[0].hidden_size
        sizes = (cells[-1].kind, cells[-1].input_size, cells[-1].hidden_size)
        expected = (cells[0].kind, read, cells[0].hidden_size)
        if sizes != expected or cells[-1].options != cells[0].options:
            raise DataError(
                f"{where} is a {sizes[0]} that reads {sizes[1]} numbers and has {sizes[2]} units, expected "
                f"{expected[0]}, {expected[1]} and {expected[2]} (bidirectional={bidirectional})"
            )
    return RecurrenceWeights(tuple(cells), directions)


def to_keras(weights: RecurrenceWeights) -> list[Array]:
    """The arrays in Keras's layout and order, for `layer.set_weights`; the way back of `from_keras`.

    Args:
        weights: also `RecurrenceWeights.of(recurrent)`, for a layer of Throughtime.
    Raises:
        OptionError: Keras has no such layer (the message names the option).
    """
    options = weights.cells[0].options
    beyond = [name for name in ("peephole", "projection", "coupled", "layer_norm") if options.get(name)]
    beyond += ["zoneout"] * (weights.zoneout is not None)
    beyond += ["learned_initial_state"] * (weights.initial is not None)
    if beyond:
        raise OptionError(f"Keras has no {weights.cells[0].kind.upper()} with {', '.join(beyond)}")
    arrays: list[Array] = []
    for cell in weights.cells:
        rows = {name: _reordered(array, cell.kind) for name, array in cell.arrays.items()}
        arrays += [rows["weight_ih"].T.copy(), rows["weight_hh"].T.copy()]
        if "bias_ih" in rows:
            both = np.stack([rows["bias_ih"], rows["bias_hh"]])
            arrays.append(both if options.get("reset_after") else both.sum(0))
    return arrays


def _cell(arrays: list[Array], wanted: str | None, options: dict[str, Any], where: str) -> CellWeights:
    """One layer and direction: kernel, recurrent kernel, bias."""
    kernel, recurrent = arrays[:2]
    if kernel.ndim != 2 or recurrent.ndim != 2:
        raise DataError(
            f"{where} begins with shapes {kernel.shape} and {recurrent.shape}, expected two matrices"
        )
    H, columns = recurrent.shape
    kinds = {gates: kind for kind, gates in GATES.items()}
    kind = kinds.get(columns // H) if H and columns % H == 0 else None
    if kind is None or kernel.shape[1] != columns or wanted not in (None, kind):
        needed = f"H rows and {GATES[wanted]} H columns" if wanted else "H rows and H, 3 H or 4 H columns"
        raise DataError(
            f"{where} has kernels {kernel.shape} and {recurrent.shape}: the second needs {needed}, the first "
            f"as many columns"
        )
    named = {"weight_ih": _reordered(kernel.T, kind), "weight_hh": _reordered(recurrent.T, kind)}
    after = options["reset_after"]
    if len(arrays) == 3:
        bias = arrays[2]
        # Keras keeps two biases for a GRU that resets after the product, one for everything else.
        two = kind == "gru" and bias.ndim == 2
        expected = (2, columns) if two else (columns,)
        if bias.shape != expected or (kind == "gru" and after not in (None, two)):
            raise DataError(
                f"{where} has a bias of shape {bias.shape}, expected {_biases(kind, columns, after)}"
            )
        first, second = bias if two else (bias, np.zeros_like(bias))
        named |= {"bias_ih": _reordered(first, kind), "bias_hh": _reordered(second, kind)}
        after = two
    if kind == "rnn":
        return CellWeights(kind, named, {"activation": options["activation"]})
    if kind == "gru":
        return CellWeights(kind, named, {"reset_after": True if after is None else after})
    plain = {"peephole": False, "projection": 0, "coupled": False, "layer_norm": False}
    return CellWeights(kind, named, plain)


def _biases(kind: str, columns: int, reset_after: bool | None) -> str:
    """The shapes that the bias may have."""
    if kind != "gru" or reset_after is False:
        return f"({columns},)"
    return f"(2, {columns})" if reset_after else f"(2, {columns}) or ({columns},)"


def _reordered(rows: Array, kind: str) -> Array:
    blocks = rows.reshape(len(_ORDER[kind]), -1, *rows.shape[1:])
    return np.ascontiguousarray(blocks[list(_ORDER[kind])].reshape(rows.shape))


def _flat(weights: Any) -> Iterator[Any]:
    """The arrays in lists within lists."""
    if isinstance(weights, (list, tuple)) and not any(isinstance(one, (int, float)) for one in weights):
        for one in weights:
            yield from _flat(one)
    else:
        yield weights


def _in_order(arrays: dict[str, Array]) -> list[Array]:
    """numpy.savez names them arr_0, arr_1..."""
    unnamed = [f"arr_{number}" for number in range(len(arrays))]
    return [arrays[name] for name in unnamed] if set(unnamed) == set(arrays) else list(arrays.values())
