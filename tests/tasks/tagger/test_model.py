"""The tagger: causality, chunks, padding, directions, and a baseline of the same size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.networks import one_label
from throughtime.encoders.frames import SmallCNN, Standardise
from throughtime.recurrent import Recurrent
from throughtime.tasks.tagger.model import FrameByFrame, Tagger, width_of_same_size
from throughtime.tasks.tagger.options import TaggerNetwork

F, C = 6, 3


def make(encoder: nn.Module | None = None, **options: Any) -> Tagger:
    torch.manual_seed(0)
    encoder = encoder or Standardise(torch.zeros(F), torch.ones(F))
    return Tagger(TaggerNetwork(**{"hidden": 8, **options}), encoder, one_label(C)).eval()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"cell": "rnn", "activation": "relu"},
    {"cell": "gru", "layers": 2},
    {"cell": "lstm", "peephole": True, "layer_norm": True, "forget_bias": 1.0},
    {"cell": "none"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_causal_tagger_sees_no_future_and_its_chunks_join(options: dict[str, Any]) -> None:
    tagger = make(**options)
    frames = torch.randn(9, 2, F)
    logits, _ = tagger(frames)
    assert logits.shape == (9, 2, C)
    changed = frames.clone()
    changed[5:] += 1
    torch.testing.assert_close(tagger(changed)[0][:5], logits[:5])
    first, state = tagger(frames[:4])
    second, _ = tagger(frames[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), logits)


def test_a_bidirectional_tagger_sees_what_comes_after() -> None:
    tagger = make(bidirectional=True)
    assert tagger.looks_ahead
    frames = torch.randn(9, 2, F)
    changed = frames.clone()
    changed[5:] += 1
    assert not torch.allclose(tagger(changed)[0][0], tagger(frames)[0][0])


def test_without_recurrence_each_frame_stands_for_itself() -> None:
    tagger = make(cell="none", bidirectional=True, layers=2)
    assert isinstance(tagger.recurrent, FrameByFrame) and not tagger.looks_ahead
    frames = torch.randn(9, 2, F)
    logits, state = tagger(frames)
    assert state == ()
    torch.testing.assert_close(tagger(frames.flip(0))[0].flip(0), logits)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing_and_is_not_encoded(bidirectional: bool) -> None:
    seen = []

    class Watching(SmallCNN):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            seen.append(len(frames))
            return super().forward(frames)

    tagger = make(Watching(5), bidirectional=bidirectional)
    frames = torch.randint(256, (7, 2, 16, 16, 3), dtype=torch.uint8)
    together, _ = tagger(frames, None, torch.tensor([7, 4]))
    assert seen == [11]
    for row, length in enumerate((7, 4)):
        alone, _ = tagger(frames[:length, row : row + 1])
        torch.testing.assert_close(together[:length, row], alone[:, 0])


@pytest.mark.parametrize("options", [*OPTIONS, {"bidirectional": True}])
def test_every_weight_gets_a_gradient(options: dict[str, Any]) -> None:
    tagger = make(SmallCNN(F), **options).train()
    logits, _ = tagger(
        torch.randint(256, (6, 3, 32, 32, 3), dtype=torch.uint8), None, torch.tensor([6, 2, 5])
    )
    logits.square().sum().backward()
    for name, parameter in tagger.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("directions", [1, 2])
def test_the_baseline_is_as_large_as_the_lstm(layers: int, directions: int) -> None:
    lstm = Recurrent("lstm", 18, 64, num_layers=layers, bidirectional=directions == 2)
    # torch.nn's LSTM has two biases that do the work of one
    wanted = sum(p.numel() for name, p in lstm.named_parameters() if not name.endswith("bias_hh"))
    baseline = FrameByFrame(18, width_of_same_size(18, 64, layers, directions), layers + 1, 0.0)
    assert sum(p.numel() for p in baseline.parameters()) == pytest.approx(wanted, rel=0.01)


def test_the_forget_bias_is_set() -> None:
    cell = make(forget_bias=1.5).recurrent.cells[0]  # type: ignore[union-attr]
    assert (cell.bias_ih + cell.bias_hh).reshape(4, 8).tolist() == [[0] * 8, [1.5] * 8, [0] * 8, [0] * 8]


def test_a_long_clip_is_encoded_in_parts_with_the_same_result() -> None:
    tagger = make(SmallCNN(F))
    frames = torch.randint(256, (700, 1, 16, 16, 3), dtype=torch.uint8)
    with torch.inference_mode():
        whole = tagger.encoder(frames[:, 0])
        torch.testing.assert_close(tagger.encode(frames)[:, 0], whole)
