"""Adaptive truncation: the chunk follows a known decay, and a training that uses it resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.test_trainer import SMALL, TEXT, Interrupter, assert_same_outcome
from throughtime.run.history import read_metrics
from throughtime.tasks.language_model.adaptive_chunk import LONGEST, SHORTEST, chunk_for
from throughtime.training import Interrupted, resume, train


def lost(decay: float, chunk: int) -> float:
    """The share of sum_k decay^k that chunks of this length lose, in closed form."""
    return decay * (1 - decay**chunk) / (chunk * (1 - decay))


@pytest.mark.parametrize("decay", [0.5, 0.8, 0.9, 0.95])
def test_the_chunk_is_the_shortest_that_keeps_enough_of_a_geometric_decay(decay: float) -> None:
    chunk = chunk_for(decay ** np.arange(100))
    assert chunk % 8 == 0
    assert lost(decay, chunk) <= 0.1 or chunk == LONGEST
    assert chunk == SHORTEST or lost(decay, chunk - 8) > 0.1


def test_what_does_not_decay_gets_the_longest_chunk() -> None:
    assert chunk_for(np.ones(50)) == LONGEST
    assert chunk_for(1.1 ** np.arange(50)) == LONGEST
    assert chunk_for(np.full(50, np.nan)) == LONGEST
    assert chunk_for(np.zeros(50)) == LONGEST
    assert chunk_for(np.array([1.0])) == SHORTEST


def test_a_training_chooses_its_chunk_says_so_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT * 4)
    options = {**SMALL, "chunk": "auto", "epochs": 3}
    train(text, out=tmp_path / "whole", **options)
    chosen = [entry["chunk"] for entry in read_metrics(tmp_path / "whole") if "chunk" in entry]
    assert len(chosen) == 3
    assert all(SHORTEST <= chunk <= LONGEST for chunk in chosen)
    with pytest.raises(Interrupted):
        train(text, out=tmp_path / "parts", show=Interrupter(14), **options)
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")
