"""PyTorch's own fused scans: oneDNN on the CPU, cuDNN on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from throughtime.cells import GRU, LSTM, RNN, Cell, State
from throughtime.kernels.scan import Kernel, Scan


def reason_against(scan: Scan) -> str | None:
    """Why PyTorch cannot run this scan, or None."""
    for cell in scan.cells:
        if reason := _variant(cell):
            return reason
    if scan.zoneout is not None:
        return "zoneout is on"
    if scan.mask is not None and scan.lengths is None:
        return "the mask is not that of right-padded sequences"
    if scan.inputs.shape[0] == 0 or scan.inputs.shape[1] == 0:
        return "the input is empty"
    if _packs_weights(scan):
        return "for a single step of an LSTM on the CPU, PyTorch spends most of the time packing weights"
    return None


def run(scan: Scan) -> tuple[Tensor, State]:
    """Run the layer in one call of PyTorch."""
    cell = scan.cells[0]
    names = ["weight_ih", "weight_hh"]
    if cell.bias_ih is not None:
        names += ["bias_ih", "bias_hh"]
    if isinstance(cell, LSTM) and cell.projection:
        names += ["weight_hr"]
    weights = [getattr(one, name) for one in scan.cells for name in names]
    bidirectional, has_bias = len(scan.cells) == 2, cell.bias_ih is not None
    function: Any = _function(cell)
    if scan.lengths is None:
        state = scan.state if isinstance(cell, LSTM) else scan.state[0]
        output, *final = function(
            scan.inputs, state, weights, has_bias, 1, 0.0, scan.training, bidirectional, False
        )
        return output, tuple(final)
    # pack_padded_sequence refuses sequences without steps: they run one step, which is dropped below.
    lengths = scan.lengths.clamp(min=1)
    packed = pack_padded_sequence(scan.inputs, lengths, enforce_sorted=False)
    assert packed.sorted_indices is not None and packed.unsorted_indices is not None
    sorted_state = tuple(part.index_select(1, packed.sorted_indices) for part in scan.state)
    state = sorted_state if isinstance(cell, LSTM) else sorted_state[0]
    data, *final = function(
        packed.data, packed.batch_sizes, state, weights, has_bias, 1, 0.0, scan.training, bidirectional
    )
    result = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    output, _ = pad_packed_sequence(result, total_length=scan.inputs.shape[0])
    final = tuple(part.index_select(1, packed.unsorted_indices) for part in final)
    if not torch.equal(lengths, scan.lengths):
        has_steps = (scan.lengths > 0).to(output.device)[:, None]
        output = torch.where(has_steps, output, 0)
        final = tuple(
            torch.where(has_steps, new, old.to(new.dtype)) for new, old in zip(final, scan.state, strict=True)
        )
    return output, final


def gives_bfloat16(scan: Scan) -> bool:
    """Whether PyTorch's call for this layer returns bf16 under such an autocast: its GRU does not."""
    return type(scan.cells[0]) in (RNN, LSTM) and reason_against(scan) is None


def _packs_weights(scan: Scan) -> bool:
    """Whether the call would be oneDNN's for one step: it packs the weights anew in every call.

    Measured for H = 512, B = 1: 7.1 ms against the loop's 0.3. RNNs, GRUs and projections do not run in
    oneDNN; PyTorch's call takes as long as the loop there, and less where H is small.
    """
    inputs, cell = scan.inputs, scan.cells[0]
    if inputs.shape[0] != 1 or inputs.device.type != "cpu" or not isinstance(cell, LSTM):
        return False
    # Under autocast the outputs' type is PyTorch's choice, and has to be the same for any number of steps.
    return not cell.projection and not torch.is_autocast_enabled("cpu")


def _variant(cell: Cell) -> str | None:
    """What makes the cell another than PyTorch's, or None."""
    # The exact class: a subclass may have changed the equation.
    if type(cell) not in (RNN, LSTM, GRU):
        return f"PyTorch has no {type(cell).__name__} cell"
    if isinstance(cell, LSTM):
        for option in ("peephole", "coupled", "layer_norm"):
            if getattr(cell, option):
                return f"PyTorch's LSTM has no {option}"
    if isinstance(cell, GRU) and not cell.reset_after:
        return "PyTorch's GRU resets after the matrix product"
    return None


def _function(cell: Cell) -> Any:
    if isinstance(cell, LSTM):
        return torch._VF.lstm
    if isinstance(cell, GRU):
        return torch._VF.gru
    return torch._VF.rnn_tanh if cell.activation == "tanh" else torch._VF.rnn_relu


TORCH = Kernel("torch", reason_against, run)
