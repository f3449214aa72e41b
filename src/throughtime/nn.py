"""RNN, LSTM and GRU with the arguments, state_dict and errors of torch.nn, on Throughtime's kernels."""

from __future__ import annotations

import re
import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from throughtime.cells import State
from throughtime.recurrent import Recurrent

_TORCH_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?$")
_OWN_NAME = re.compile(r"cells\.(\d+)\.(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)$")


class _TorchLike(Recurrent):
    """What the three classes share; `mode` is the cell's name."""

    mode: Literal["rnn", "lstm", "gru"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **cell_options: Any,
    ) -> None:
        _check_arguments(hidden_size, num_layers, dropout)
        super().__init__(
            self.mode,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=float(dropout),
            bias=bias,
            **cell_options,
        )
        self.bias = bias
        self._register_state_dict_hook(_to_torch_names)
        self.register_load_state_dict_pre_hook(_from_torch_names)
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:  # type: ignore[override]
        """As torch.nn's: (T, B, I), (B, T, I) with batch_first, (T, I) unbatched, or a PackedSequence.

        Args:
            input: float, of the weights' dtype.
            hx: h (L * D, B, H), for the LSTM (h, c); unbatched without B; None is zeros.
        Returns:
            The outputs in the form of the input, and the last state in the form of hx.
        Raises:
            RuntimeError, ValueError: as torch.nn, with the same messages.
        """
        state = None if hx is None else (tuple(hx) if self.mode == "lstm" else (hx,))
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, state)
        name = type(self).__name__
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        self._check_dtype(input)
        batched = input.dim() == 3
        self._check_state_dimensions(state, batched)
        if not batched:
            input = input.unsqueeze(1)
            state = None if state is None else tuple(part.unsqueeze(1) for part in state)
        elif self.batch_first:
            input = input.transpose(0, 1)
        self._check_input(input)
        self._check_torch_state(state, input.shape[1])
        outputs, final = self._run(input, state, None, None)
        if not batched:
            outputs, final = outputs.squeeze(1), tuple(part.squeeze(1) for part in final)
        elif self.batch_first:
            outputs = outputs.transpose(0, 1)
        return outputs, (final if self.mode == "lstm" else final[0])

    def flatten_parameters(self) -> None:
        """Nothing to do; here because code written for torch.nn calls it."""

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as in torch.nn."""
        return [list(cell.parameters()) for cell in self.cells]

    def __getattr__(self, name: str) -> Any:
        if match := _TORCH_NAME.match(name):
            kind, layer, reverse = match.groups()
            index = int(layer) * self.directions + bool(reverse)
            if index < len(self.cells) and not (reverse and not self.bidirectional):
                return getattr(self.cells[index], kind)
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        options = {"num_layers": (self.num_layers, 1), "bias": (self.bias, True)}
        options |= {"batch_first": (self.batch_first, False), "dropout": (self.dropout, 0.0)}
        options |= {"bidirectional": (self.bidirectional, False)}
        projection = getattr(self.cells[0], "projection", 0)
        parts = [str(self.input_size), str(self.hidden_size)]
        parts += [f"proj_size={projection}"] if projection else []
        parts += [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def _forward_packed(self, packed: PackedSequence, state: State | None) -> tuple[PackedSequence, Any]:
        self._check_dtype(packed.data)
        inputs, lengths = pad_packed_sequence(packed)
        self._check_input(inputs)
        self._check_torch_state(state, inputs.shape[1])
        outputs, final = self._run(inputs, state, lengths, None)
        if packed.sorted_indices is not None:
            outputs = outputs.index_select(1, packed.sorted_indices)
            lengths = lengths[packed.sorted_indices.cpu()]
        data = pack_padded_sequence(outputs, lengths).data
        repacked = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return repacked, (final if self.mode == "lstm" else final[0])

    def _check_dtype(self, input: Tensor) -> None:
        weight = self.cells[0].weight_ih
        autocast = torch.is_autocast_enabled(input.device.type)
        if input.dtype != weight.dtype and not autocast:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )

    def _check_input(self, inputs: Tensor) -> None:
        if inputs.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {inputs.shape[-1]}"
            )
        if inputs.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")

    def _check_state_dimensions(self, state: State | None, batched: bool) -> None:
        if state is None:
            return
        expected, kind = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        found = [part.dim() for part in state]
        if found == [expected] * len(state):
            return
        if self.mode == "lstm":
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {expected}-D but got "
                f"({found[0]}-D, {found[1]}-D) tensors"
            )
        raise RuntimeError(f"For {kind} input, hx should also be {expected}-D but got {found[0]}-D tensor")

    def _check_torch_state(self, state: State | None, batch_size: int) -> None:
        if state is None:
            return
        for index, (part, size) in enumerate(zip(state, self.state_sizes, strict=True)):
            expected = (len(self.cells), batch_size, size)
            if tuple(part.shape) != expected:
                name = f"hidden[{index}]" if self.mode == "lstm" else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(part.shape)}")


class RNN(_TorchLike):
    """torch.nn.RNN, tanh or relu. See `throughtime.cells.RNN` for the equation."""

    mode = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **others: Any,
    ) -> None:
        _refuse_projection(others)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            activation=nonlinearity,
        )
        self.nonlinearity = nonlinearity


class LSTM(_TorchLike):
    """torch.nn.LSTM, with proj_size. See `throughtime.cells.LSTM` for the equations."""

    mode = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size > 0:
            raise ValueError("proj_size has to be smaller than hidden_size")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            projection=proj_size,
        )
        self.proj_size = proj_size


class GRU(_TorchLike):
    """torch.nn.GRU (reset after the matrix product). See `throughtime.cells.GRU` for the equations."""

    mode = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **others: Any,
    ) -> None:
        _refuse_projection(others)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        )


def _check_arguments(hidden_size: Any, num_layers: Any, dropout: Any) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            "being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )
    if not isinstance(hidden_size, int):
        raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
    if hidden_size <= 0:
        raise ValueError("hidden_size must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")


def _refuse_projection(others: dict[str, Any]) -> None:
    if "proj_size" in others:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if others:
        raise TypeError(f"unexpected keyword argument {next(iter(others))!r}")


def _to_torch_names(module: _TorchLike, state_dict: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if match := _OWN_NAME.match(key[len(prefix) :]):
            layer, direction = divmod(int(match[1]), module.directions)
            state_dict[f"{prefix}{match[2]}_l{layer}{'_reverse' if direction else ''}"] = state_dict.pop(key)


def _from_torch_names(module: _TorchLike, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if match := _TORCH_NAME.match(key[len(prefix) :]):
            index = int(match[2]) * module.directions + bool(match[3])
            state_dict[f"{prefix}cells.{index}.{match[1]}"] = state_dict.pop(key)
