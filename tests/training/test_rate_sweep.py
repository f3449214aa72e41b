"""A sweep of learning rates: what it finds, and that nothing of it stays."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import throughtime as tt
from throughtime.cli.train import run
from throughtime.errors import OptionError
from throughtime.training.rate_sweep import HIGHEST, LOWEST, _smooth, _suggest

TEXT = "the quick brown fox jumps over the lazy dog. " * 60
SMALL: dict[str, Any] = {"hidden": 16, "layers": 1, "chunk": 16, "batch": 8}


def test_a_sweep_suggests_a_rate_that_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = tt.find_learning_rate(tt.Text(TEXT), show=None, **SMALL)
    assert found.rates[0] == pytest.approx(LOWEST) and found.rates == sorted(found.rates)
    assert found.suggestion is not None and 1e-3 < found.suggestion < 0.2
    assert found.losses == tt.find_learning_rate(tt.Text(TEXT), show=None, **SMALL).losses
    assert "suggestion" in found._repr_html_() and "data:image/png" in found._repr_html_()
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_leaves_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text(TEXT)
    usual: dict[str, Any] = {
        "resume": None, "preset_name": None, "config": None, "overwrite": False, "quiet": True,
        "options": SMALL, "find_lr": True,
    }  # fmt: skip
    run(Path("input.txt"), None, as_json=False, **usual)
    printed = capsys.readouterr().out
    assert (
        printed.startswith("learning rate  loss\n1.0e-05        ")
        and "suggestion: --learning-rate" in printed
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.txt", "learning-rate.png"]
    run(Path("input.txt"), Path("sweep.svg"), as_json=True, **usual)
    assert json.loads(capsys.readouterr().out)["picture"] == "sweep.svg"
    for out, said in (("runs/mine", "let --out name a .png"), ("sweep.svg", "exists already")):
        with pytest.raises(typer.Exit):
            run(Path("input.txt"), Path(out), as_json=False, **usual)
        assert said in capsys.readouterr().err


def test_folds_are_not_swept() -> None:
    labels = ["a", "b"] * 10
    with pytest.raises(OptionError, match="leave out --folds"):
        tt.find_learning_rate((labels, labels), folds=2, show=None)


def test_a_loss_that_only_trembles_suggests_nothing() -> None:
    random.seed(0)
    rates = np.geomspace(LOWEST, HIGHEST, 80).tolist()
    trembling = [1 + random.gauss(0, 0.05) for _ in rates]
    assert _suggest(rates, trembling, _smooth(trembling)) is None
    falling = [loss - 0.01 * min(number, 50) for number, loss in enumerate(trembling)]
    suggestion = _suggest(rates, falling, _smooth(falling))
    assert suggestion is not None and rates[40] / 4 < suggestion
