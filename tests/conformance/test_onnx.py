"""The ONNX project's expected values for RNN, LSTM and GRU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from throughtime import Recurrent

CASES = [
    *(f"test_gru_{name}" for name in ("defaults", "with_initial_bias", "seq_length", "batchwise")),
    *(f"test_lstm_{name}" for name in ("defaults", "with_initial_bias", "with_peepholes", "batchwise")),
    *(f"test_simple_rnn_{name}" for name in ("defaults", "with_initial_bias", "batchwise")),
    "test_rnn_seq_length",
    *(
        f"test_{cell}_{name}"
        for cell in ("gru", "lstm", "simple_rnn")
        for name in ("reverse", "bidirectional")
    ),
]
# Where our gates lie among ONNX's: i f g o from i o f c, r z n from z r h.
GATES = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}


def load(conformance: Path) -> ModuleType:
    pytest.importorskip("onnx", reason="reading the ONNX cases needs the onnx package")
    spec = importlib.util.spec_from_file_location("onnx_cases", conformance / "onnx_cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["onnx_cases"] = module
    spec.loader.exec_module(module)
    return module


def reorder(rows: np.ndarray, op: str, hidden: int) -> torch.Tensor:
    blocks = rows.reshape(len(GATES[op]), hidden, *rows.shape[1:])
    return torch.tensor(blocks[GATES[op]].reshape(rows.shape))


def build(case: Any) -> Recurrent:
    hidden, directions = case.R.shape[-1], case.W.shape[0]
    options: dict[str, Any] = {}
    if case.op == "GRU":
        options["reset_after"] = bool(case.attrs.get("linear_before_reset", 0))
    if case.op == "LSTM":
        options["peephole"] = case.P is not None
    recurrent = Recurrent(case.op.lower(), case.W.shape[-1], hidden, bidirectional=directions == 2, **options)
    with torch.no_grad():
        for d, cell in enumerate(recurrent.cells):
            bias = case.B[d] if case.B is not None else np.zeros(2 * len(case.W[d]), np.float32)
            cell.weight_ih.copy_(reorder(case.W[d], case.op, hidden))
            cell.weight_hh.copy_(reorder(case.R[d], case.op, hidden))
            cell.bias_ih.copy_(reorder(bias[: len(bias) // 2], case.op, hidden))
            cell.bias_hh.copy_(reorder(bias[len(bias) // 2 :], case.op, hidden))
            if case.op == "LSTM" and case.P is not None:
                i, o, f = torch.tensor(case.P[d]).reshape(3, hidden)
                cell.weight_peephole.copy_(torch.stack([i, f, o]))
    return recurrent


def test_every_case_is_listed_here(conformance: Path) -> None:
    assert sorted(load(conformance).load_all()) == sorted(CASES)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_published_ones(name: str, kernel: str, conformance: Path) -> None:
    module = load(conformance)
    case = module.load_all()[name]
    recurrent = build(case)
    recurrent.kernel = kernel
    batch_first = case.attrs.get("layout", 0) == 1
    inputs = torch.tensor(case.X).transpose(0, 1) if batch_first else torch.tensor(case.X)
    # A reverse layer alone is a forward one over the reversed sequence.
    reverse = case.attrs.get("direction") == "reverse"
    inputs = inputs.flip(0) if reverse else inputs
    state = None
    if case.initial_h is not None:
        parts = [case.initial_h] + ([case.initial_c] if case.op == "LSTM" else [])
        state = tuple(torch.tensor(part) for part in parts)
    lengths = None if case.sequence_lens is None else torch.tensor(case.sequence_lens)
    outputs, final = recurrent(inputs, state, lengths=lengths)
    outputs = outputs.flip(0) if reverse else outputs
    T, B = outputs.shape[:2]
    outputs = outputs.reshape(T, B, len(case.W), -1)
    found = {"Y": outputs.permute(1, 0, 2, 3) if batch_first else outputs.permute(0, 2, 1, 3)}
    for key, part in zip(("Y_h", "Y_c"), final, strict=False):
        found[key] = part.transpose(0, 1) if batch_first else part
    checked = 0
    for key, tensor in found.items():
        expected = getattr(case, key, None)
        if expected is not None:
            np.testing.assert_allclose(tensor.detach().numpy(), expected, module.RTOL, module.ATOL)
            checked += 1
    assert checked > 0
