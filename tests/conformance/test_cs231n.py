"""The literal numbers of the recurrent-network assignment of Stanford's CS231n."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from throughtime import Recurrent
from throughtime.data import IGNORED_TARGET
from throughtime.encoders.encoder import ReadyFeatures
from throughtime.models.softmax_loss import softmax_loss
from throughtime.tasks.captioner.model import Captioner
from throughtime.tasks.captioner.options import CaptionerNetwork


@pytest.fixture(scope="module")
def cases(conformance: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("cs231n_cases", conformance / "cs231n_cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


def relative_error(found: Tensor, expected: np.ndarray) -> float:
    """The assignment's own measure."""
    x, y = found.detach().numpy(), expected
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


def build(name: str, inputs: dict[str, np.ndarray]) -> Recurrent:
    """A layer with the assignment's right-multiplied weights (D, G*H) and its single bias."""
    Wx, Wh, b = (torch.tensor(inputs[key]) for key in ("Wx", "Wh", "b"))
    if name == "lstm":  # i f o g -> i f g o
        Wx, Wh, b = (torch.cat([part.chunk(4, -1)[k] for k in (0, 1, 3, 2)], -1) for part in (Wx, Wh, b))
    recurrent = Recurrent(name, Wx.shape[0], Wh.shape[0]).double()
    with torch.no_grad():
        cell = recurrent.cells[0]
        cell.weight_ih.copy_(Wx.T)
        cell.weight_hh.copy_(Wh.T)
        cell.bias_ih.copy_(b)
        cell.bias_hh.zero_()
    return recurrent


def test_rnn_step(cases: dict[str, Any]) -> None:
    case = cases["rnn_step_forward"]
    cell = build("rnn", case["inputs"]).cells[0]
    h, _ = cell(torch.tensor(case["inputs"]["x"]), (torch.tensor(case["inputs"]["prev_h"]),))
    assert relative_error(h, case["expected"]["next_h"]) < case["tol_rel"]


def test_lstm_step(cases: dict[str, Any]) -> None:
    case = cases["lstm_step_forward"]
    cell = build("lstm", case["inputs"]).cells[0]
    state = (torch.tensor(case["inputs"]["prev_h"]), torch.tensor(case["inputs"]["prev_c"]))
    _, (h, c) = cell(torch.tensor(case["inputs"]["x"]), state)
    assert relative_error(h, case["expected"]["next_h"]) < case["tol_rel"]
    assert relative_error(c, case["expected"]["next_c"]) < case["tol_rel"]


@pytest.mark.parametrize("kernel", ["torch", "reference"])
@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_whole_sequences(cases: dict[str, Any], name: str, kernel: str) -> None:
    case = cases[f"{name}_forward"]
    recurrent = build(name, case["inputs"])
    recurrent.kernel = kernel
    inputs = torch.tensor(case["inputs"]["x"]).transpose(0, 1)
    h0 = torch.tensor(case["inputs"]["h0"])[None]
    outputs, _ = recurrent(inputs, (h0,) if name == "rnn" else (h0, torch.zeros_like(h0)))
    assert relative_error(outputs.transpose(0, 1), case["expected"]["h"]) < case["tol_rel"]


def test_word_embedding(cases: dict[str, Any]) -> None:
    case = cases["word_embedding_forward"]
    found = torch.nn.functional.embedding(
        torch.tensor(case["inputs"]["x"]), torch.tensor(case["inputs"]["W"])
    )
    assert relative_error(found, case["expected"]["out"]) < case["tol_rel"]


def test_temporal_softmax_loss(cases: dict[str, Any]) -> None:
    """The assignment sums over kept steps and divides by N; ours is the mean over kept steps."""
    rng = np.random.default_rng(0)
    for check in cases["temporal_softmax_loss"]["checks"]:
        N, T, V = check["N"], check["T"], check["V"]
        scores = torch.tensor(0.001 * rng.standard_normal((T, N, V)))
        kept = rng.random((T, N)) <= check["keep_prob"]
        targets = torch.tensor(np.where(kept, rng.integers(V, size=(T, N)), IGNORED_TARGET))
        loss = softmax_loss(scores, targets).item() * kept.sum() / N
        low, high = (
            check.get("low", check.get("about", 0) - 0.1),
            check.get("high", check.get("about", 0) + 0.1),
        )
        assert low < loss < high
        assert softmax_loss(torch.zeros(T, N, V), targets).item() == pytest.approx(np.log(V), rel=1e-6)


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_captioning_loss(cases: dict[str, Any], name: str) -> None:
    case = cases[f"captioning_loss_{name}"]
    p = {key: torch.tensor(value) for key, value in case["params"].items()}
    captions, features = torch.tensor(case["captions"]).T, torch.tensor(case["features"])
    h0 = (features @ p["W_proj"] + p["b_proj"])[None]
    recurrent = build(name, case["params"])
    outputs, _ = recurrent(p["W_embed"][captions[:-1]], (h0,) if name == "rnn" else (h0, h0 * 0))
    targets = torch.where(captions[1:] == case["null_id"], IGNORED_TARGET, captions[1:])
    kept = (targets != IGNORED_TARGET).sum().item()
    loss = softmax_loss(outputs @ p["W_vocab"] + p["b_vocab"], targets).item() * kept / captions.shape[1]
    assert loss == pytest.approx(case["expected_loss"], abs=case["tol_abs"])


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_captioning_loss_of_the_captioner(cases: dict[str, Any], name: str) -> None:
    """The same through our own network: V words there are V - 1 words and END here; START is not read."""
    case = cases[f"captioning_loss_{name}"]
    p = {key: torch.tensor(value) for key, value in case["params"].items()}
    D, H = p["W_proj"].shape
    V, W = p["W_embed"].shape
    config = CaptionerNetwork(cell=name, image_input="initial-state", hidden=H, embedding=W)  # type: ignore[arg-type]
    model = Captioner(config, V - 1, ReadyFeatures(D, grid=False)).double().eval()
    cell = build(name, case["params"]).cells[0]
    with torch.no_grad():
        model.recurrent.cells[0].load_state_dict(cell.state_dict())
        model.embedding.weight[:V] = p["W_embed"]
        model.output.weight.copy_(p["W_vocab"].T)
        model.output.bias.copy_(p["b_vocab"])
        assert model.image is not None
        # The assignment's c_0 is 0; ours comes from the image as well.
        model.image.weight.zero_()
        model.image.bias.zero_()
        model.image.weight[:H] = p["W_proj"].T
        model.image.bias[:H] = p["b_proj"]
    captions = torch.tensor(case["captions"]).T
    logits, _ = model(torch.tensor(case["features"]), captions[:-1])
    wanted = torch.where(captions[1:] == case["null_id"], IGNORED_TARGET, captions[1:])
    kept = (wanted != IGNORED_TARGET).sum().item()
    loss = softmax_loss(logits, wanted).item() * kept / captions.shape[1]
    assert loss == pytest.approx(case["expected_loss"], abs=case["tol_abs"])
