"""A training in a notebook: one output that is drawn anew, in IPython's display and in an imitation of it."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from throughtime.run.position import Position
from throughtime.training.notebook import Curve, NotebookProgress, _ticks


class Task:
    """As much of a task as progress asks."""

    def describe(self, metrics: dict[str, float]) -> str:
        return f"loss {metrics['val_loss']}"


class Display:
    """IPython's display, with what was shown."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.made = 0

    def __call__(self, content: dict[str, str], raw: bool, display_id: bool) -> Display:
        self.made += 1
        self.update(content, raw)
        return self

    def update(self, content: dict[str, str], raw: bool) -> None:
        self.shown.append(content)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    found = Display()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=found))
    return found


def told(show: NotebookProgress, steps: int = 100) -> None:
    show.recognised("the data: <two> columns")
    show.described("GRU 1 x 8", Task())  # type: ignore[arg-type]
    with show:
        position = Position()
        show.started(position, 2)
        for step in range(steps):
            position.step += 1
            show.stepped(position, step / steps, 2.0 - step / steps, 0.5, 1e-3)
        show.evaluated(position, {"val_loss": 1.25}, True)
        show.sampled("a <sample>")
        position.epoch = 2
        show.finished(position)


def test_a_training_is_one_output_and_drawn_seldom(display: Display) -> None:
    told(NotebookProgress())
    assert display.made == 1
    assert len(display.shown) < 8  # of a hundred steps within a second
    last = display.shown[-1]
    assert "&lt;two&gt;" in last["text/html"] and "&lt;sample&gt;" in last["text/html"]
    assert last["text/html"].count("<polyline") == 1 and "<circle" in last["text/html"]
    assert "loss 1.25  best so far" in last["text/plain"] and "done in" in last["text/plain"]


def test_each_fold_has_a_curve_of_its_own_in_the_same_output(display: Display) -> None:
    show = NotebookProgress()
    told(show)
    show.remark("fold 1 of 2: loss 1.25")
    told(show, 2)
    assert display.made == 1
    assert display.shown[-1]["text/plain"].count("best so far") == 1
    assert "fold 1 of 2" in display.shown[-1]["text/plain"]


def test_data_that_is_refused_at_once_shows_nothing(display: Display) -> None:
    show = NotebookProgress()
    show.recognised("the data: 2 columns")
    assert not display.shown
    show.preparing("reading data", 100, 0)
    assert "reading data: 100" in display.shown[-1]["text/html"]


def test_a_long_curve_stays_small_and_keeps_its_mean() -> None:
    curve = Curve()
    for step in range(10_000):
        curve.step(step / 10_000, float(step % 2))
    assert 128 <= len(curve.training) <= 256
    assert all(loss == pytest.approx(0.5) for _, loss in curve.training)
    assert curve.svg(1).startswith("<svg") and not Curve().svg(1)


def test_ipython_itself_takes_it() -> None:
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell  # pyright: ignore[reportMissingImports]
    from IPython.utils.capture import capture_output  # pyright: ignore[reportMissingImports]

    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            told(NotebookProgress())
    finally:
        InteractiveShell.clear_instance()
    outputs: list[Any] = captured.outputs
    assert "<svg" in outputs[-1].data["text/html"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.77), (2.31, 2.35), (-3.0, 120.0), (1e-6, 3e-6)])
def test_an_axis_has_a_few_round_numbers(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert 3 <= len(ticks) <= 6 and low - 1e-9 <= ticks[0] and ticks[-1] <= high + 1e-9
    # No more digits than the axis has room for.
    assert all(float(f"{tick:.4g}") == pytest.approx(tick) for tick in ticks)
