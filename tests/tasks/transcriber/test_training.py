"""Training a transcriber: its loss, and a stopped training that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_trainer import Interrupter, assert_same_outcome
from throughtime.tasks.transcriber.decoding import log_likelihood
from throughtime.tasks.transcriber.training import ctc_losses
from throughtime.training import Interrupted, resume, train

from .runs import SMALL, write_folder


def test_the_loss_is_that_of_the_plain_sum_over_paths() -> None:
    torch.manual_seed(0)
    scores = torch.randn(9, 3, 4)
    texts = [np.array([1, 1, 2]), np.array([3]), np.array([2, 1, 2, 1])]
    lengths = torch.tensor([9, 4, 6])
    found = ctc_losses(scores, texts, lengths)
    for column, text in enumerate(texts):
        own = torch.log_softmax(scores[: lengths[column], column], -1).numpy()
        assert float(found[column]) == pytest.approx(-log_likelihood(own, text.tolist()), rel=1e-5)


def test_half_precision_is_summed_in_whole_precision() -> None:
    scores = torch.zeros(200, 1, 4, dtype=torch.bfloat16)
    assert ctc_losses(scores, [np.array([1])], torch.tensor([200])).dtype == torch.float32


@pytest.mark.parametrize("options", [{}, {"cell": "lstm", "bidirectional": False, "precision": "bf16"}])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    source = write_folder(tmp_path / "data", 24)
    options = {**SMALL, "epochs": 3, "evaluate_every": 2, "output_dropout": 0.3, **options}
    train(source, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        train(source, out=tmp_path / "parts", show=Interrupter(4), **options)
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")
