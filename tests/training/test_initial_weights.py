"""Fine-tuning: a run that begins with another one's weights, with the same vocabulary or with another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_launch import Remarks
from throughtime.errors import OptionError, RunError
from throughtime.run import Run
from throughtime.training import train

SMALL: dict[str, Any] = {
    "hidden": 8, "layers": 1, "embedding": 6, "batch": 2, "chunk": 16, "epochs": 1, "threads": 1,
    "tensorboard": False,
}  # fmt: skip
STILL: dict[str, Any] = {"learning_rate": 1e-12, "weight_decay": 0.0, "clip_norm": 1e-12}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("first")
    (folder / "text.txt").write_text("abcd " * 60)
    return train(folder / "text.txt", out=folder / "run", **SMALL)


def test_tokens_are_matched_by_their_names(first: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("dcxb " * 60)
    show = Remarks()
    small = {name: value for name, value in SMALL.items() if name not in ("hidden", "layers", "embedding")}
    run = train(
        tmp_path / "text.txt", out=tmp_path / "run", init_from=str(first.folder), show=show, **small, **STILL
    )
    assert (run.config.model.hidden, run.config.model.layers) == (8, 1)
    assert any("1 tokens or labels are new" in text for text in show.texts), show.texts
    before, after = first.read_weights(), run.read_weights()
    old, new = first.row_names()["embedding.weight"], run.row_names()["embedding.weight"]
    for token in "dcb ":
        for name in ("embedding.weight", "output.weight", "output.bias"):
            found = after[name][new.index(token)]
            assert np.allclose(found, before[name][old.index(token)], atol=1e-5), (name, token)
    cells = [name for name in before if name.startswith("recurrent.")]
    assert cells and all(np.allclose(after[name], before[name], atol=1e-5) for name in cells)


def test_a_classifier_begins_with_a_language_models_recurrence(first: Run, tmp_path: Path) -> None:
    rows = "".join(f"{'ab' if n % 2 else 'cd'} abcd,{n % 2}\n" for n in range(20))
    (tmp_path / "t.csv").write_text("text,label\n" + rows)
    options = {"tokenizer": "character", "bidirectional": False, "epochs": 1, "tensorboard": False}
    show = Remarks()
    run = train(
        tmp_path / "t.csv", out=tmp_path / "run", init_from=str(first.folder), show=show, **options, **STILL
    )
    before, after = first.read_weights(), run.read_weights()
    cells = [name for name in before if name.startswith("recurrent.")]
    assert cells and all(np.allclose(after[name], before[name], atol=1e-5) for name in cells)


def test_what_fits_nowhere_is_refused(first: Run, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("xyz" * 100)
    with pytest.raises(OptionError, match=r"none of its weights fit.*--hidden"):
        train(
            tmp_path / "text.txt", out=tmp_path / "run", init_from=str(first.folder), **{**SMALL, "hidden": 9}
        )
    with pytest.raises(RunError, match="is not a run folder"):
        train(tmp_path / "text.txt", out=tmp_path / "run", init_from=str(tmp_path), **SMALL)
    assert not (tmp_path / "run").exists()
