"""Learning rates, against numbers that a person can check."""

from __future__ import annotations

import pytest

from throughtime.config import TrainingConfig
from throughtime.training.schedule import Plateau, learning_rate


def test_warm_up_rises_in_a_line_to_the_peak() -> None:
    config = TrainingConfig(schedule="constant", learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, progress, 0, 0) for progress in (0.01, 0.05, 0.1, 0.5, 1.0)]
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 1])


def test_cosine_falls_from_the_peak_to_the_end() -> None:
    config = TrainingConfig(schedule="cosine", learning_rate=1.0, warmup=0.2, final_learning_rate=0.1)
    rates = [learning_rate(config, progress, 0, 0) for progress in (0.2, 0.6, 1.0)]
    assert rates == pytest.approx([1, 0.55, 0.1])


def test_zaremba_halves_in_every_epoch_after_the_fourth() -> None:
    config = TrainingConfig(schedule="zaremba", learning_rate=20, warmup=0, decay=0.5, decay_after=4)
    rates = [learning_rate(config, (epoch + 0.5) / 13, epoch, 0) for epoch in range(13)]
    assert rates == pytest.approx([20] * 4 + [20 * 0.5**k for k in range(1, 10)])


def test_plateau_cuts_after_its_patience() -> None:
    config = TrainingConfig(schedule="plateau", learning_rate=1.0, warmup=0, decay=0.25)
    plateau = Plateau(patience=2)
    cuts = []
    for improved in (True, False, False, False, True, False, False):
        plateau.observe(improved)
        cuts.append(plateau.cuts)
    assert cuts == [0, 0, 1, 1, 1, 1, 2]
    assert learning_rate(config, 0.5, 0, plateau.cuts) == pytest.approx(1 / 16)
