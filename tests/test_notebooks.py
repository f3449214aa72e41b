"""What notebooks show of results."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from throughtime.notebooks import Measured, in_notebook, table, written


def test_metrics_are_a_dictionary_and_a_table(tmp_path: Path) -> None:
    picture = tmp_path / "confusion.png"
    picture.write_bytes(b"\x89PNG")
    found = Measured(
        {"examples": 1234, "loss": 0.123456, "table": {"ours": {"mae": 0.5}, "naive": {"mae": None}}}
    )
    assert json.loads(json.dumps(found)) == found
    shown = found._repr_html_()
    assert "1,234" in shown and "0.1235" in shown and "naive" in shown and "<img" not in shown
    assert "data:image/png;base64,iVBORw==" in Measured(confusion=str(picture))._repr_html_()


def test_names_are_no_markup() -> None:
    assert "<b>" not in table([("<b>", "<b>")], ("<b>", "<b>"))
    assert [written(value) for value in (True, 12345.6, None)] == ["True", "12,346", "-"]


@pytest.mark.parametrize(
    ("shell", "expected"), [(None, False), (object(), False), (types.SimpleNamespace(kernel=1), True)]
)
def test_a_notebook_is_a_kernel_and_no_terminal(
    monkeypatch: pytest.MonkeyPatch, shell: object, expected: bool
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook() is expected
