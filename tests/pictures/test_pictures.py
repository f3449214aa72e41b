"""Pictures where matplotlib is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from throughtime.errors import MissingExtraError
from throughtime.pictures.alignment import draw_alignment
from throughtime.tasks.tagger.timeline import draw_timeline


def test_a_picture_without_matplotlib_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="pip install .*matplotlib"):
        draw_timeline(tmp_path / "a.png", ["x", "y"], np.array([0, 1]))
    with pytest.raises(MissingExtraError, match="pip install .*matplotlib"):
        draw_alignment(np.ones((1, 1)), ["x"], ["y"], tmp_path / "a.png")
