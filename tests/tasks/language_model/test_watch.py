"""Watching gradients: what it logs, what it warns of, what it costs, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_trainer import SMALL, TEXT, Interrupter, assert_same_outcome
from throughtime.run.history import read_metrics
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.options import LanguageNetwork
from throughtime.tasks.language_model.watch import GradientWatch
from throughtime.training import Interrupted, resume, train

V, T, B = 11, 40, 5


def watched(cell: str, scale: float = 1.0, **options: Any) -> tuple[LanguageModel, tuple[Any, Any, None]]:
    torch.manual_seed(0)
    config = LanguageNetwork(cell=cell, hidden=24, layers=1, embedding=6, **options)  # type: ignore[arg-type]
    model = LanguageModel(config, V).train()
    with torch.no_grad():
        model.recurrent.cells[0].weight_hh.mul_(scale)
    rng = np.random.default_rng(0)
    return model, (rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B)), None)


def test_a_vanishing_an_exploding_and_a_long_memory_are_told_apart_with_what_to_do() -> None:
    for cell, scale, options, verdict, words in (
        ("rnn", 0.3, {}, "vanishing", "--cell lstm"),
        ("rnn", 3.0, {"activation": "relu"}, "exploding", "--clip-norm"),
        ("lstm", 0.1, {"forget_bias": 8.0}, "healthy", "longer --chunk"),
    ):
        model, chunk = watched(cell, scale, **options)
        notes = GradientWatch(model, 1).observe(1, 2.0, 1e9, *chunk)
        assert notes["verdict"] == verdict, cell
        assert words in notes["warning"]
        assert model.training


def test_the_adaptive_chunk_is_not_advised_where_it_is_on() -> None:
    model, chunk = watched("lstm", 0.1, forget_bias=8.0)
    notes = GradientWatch(model, 1, adapts=True).observe(1, 2.0, 1e9, *chunk)
    assert notes["verdict"] == "healthy" and "warning" not in notes


def test_it_measures_every_so_many_steps_and_warns_once() -> None:
    model, chunk = watched("rnn", 0.3)
    watch = GradientWatch(model, 10)
    found = {step: watch.observe(step, 1.0, 1e9, *chunk) for step in range(1, 31)}
    assert [step for step, notes in found.items() if notes] == [10, 20, 30]
    assert "warning" in found[10]
    assert "warning" not in found[20]


def test_a_jump_of_the_norm_is_reported_with_the_percentile_to_clip_at() -> None:
    model, chunk = watched("rnn")
    watch = GradientWatch(model, 10**9)
    for step in range(1, 101):
        assert watch.observe(step, step / 100, 1e9, *chunk) == {}
    assert watch.percentile(90) == pytest.approx(0.9, abs=0.01)
    notes = watch.observe(101, 50.0, 1e9, *chunk)
    assert "--clip-norm 0.9" in notes["warning"]


def test_a_measurement_that_would_exceed_its_budget_is_left_out() -> None:
    model, chunk = watched("rnn")
    watch = GradientWatch(model, 1)
    assert watch.observe(1, 1.0, 0.0, *chunk)  # the first one shows what it costs
    assert not watch.observe(2, 1.0, 1e-6, *chunk)
    assert watch.observe(3, 1.0, 1e9, *chunk)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_watching_changes_no_weights_and_resumes(tmp_path: Path, precision: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT * 3)
    options = {**SMALL, "dropout": 0.2, "precision": precision}
    train(text, out=tmp_path / "plain", **options)
    # Often enough to be sure of a measurement, and so rare that the budget allows each.
    options |= {"watch": "gradients", "watch_every": 90}
    train(text, out=tmp_path / "whole", **options)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "whole")]
    assert weights[0] == weights[1]
    entries = [entry for entry in read_metrics(tmp_path / "whole") if "gradient_memory" in entry]
    assert entries
    assert {"step", "gradient_memory", "gradient_rate", "gradient_norm_90th_percentile"} <= set(entries[0])
    with pytest.raises(Interrupted):
        train(text, out=tmp_path / "parts", show=Interrupter(25), **options)
    resume(tmp_path / "parts")
    if len([e for e in read_metrics(tmp_path / "parts") if "gradient_memory" in e]) == len(entries):
        assert_same_outcome(tmp_path / "whole", tmp_path / "parts")
