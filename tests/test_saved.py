"""A checkpoint's JSON: every value has its type and its range."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from throughtime.errors import CheckpointError
from throughtime.run.position import Position
from throughtime.saved import Saved


@pytest.mark.parametrize(
    ("take", "good", "bad"),
    [
        (
            lambda saved: saved.integer("x", 1, 5),
            "3",
            ["0", "6", "3.0", '"3"', "true", "null", "[]", "1e400"],
        ),
        (
            lambda saved: saved.number("x", 0),
            "0.5",
            ["-1", "NaN", "Infinity", "true", '"1"', "1" + "0" * 400],
        ),
        (lambda saved: saved.optional_number("x"), "null", ["NaN", "false", "{}"]),
        (lambda saved: saved.numbers("x", 0), "[1, 2.5]", ["[1, -1]", "[NaN]", "3", '[["1"]]']),
        (lambda saved: saved.integers("x", most=4), "[0, 4]", ["[5]", "[1.5]", "{}"]),
        (lambda saved: saved.rows_of_integers("x", 2), "[[0, 4]]", ["[[0]]", "[0, 1]", "[[0, -1]]"]),
        (lambda saved: saved.flag("x"), "true", ["1", "null", '"true"']),
        (lambda saved: saved.text("x", ["a"]), '"a"', ['"b"', "1"]),
        (lambda saved: saved.texts("x"), '["a"]', ['"b"', "[1]"]),
        (lambda saved: saved.part("x"), "{}", ["[]", "null", "1"]),
        (lambda saved: saved.parts("x"), "[{}]", ["{}", "[1]", "[[]]"]),
        (lambda saved: saved.mapping("x"), '{"y": 1}', ["[]", "null"]),
        (lambda saved: saved.rows_of_integers("x", most=3), "[[0], [], [1, 3]]", ["[[4]]", "[1]", "[[1.0]]"]),
        (lambda saved: saved.absent("x"), "null", ["0", "{}"]),
    ],
)
def test_values_of_another_type_or_range_are_named(
    take: Callable[[Saved], Any], good: str, bad: list[str]
) -> None:
    take(Saved({"x": json.loads(good)}, "c"))
    for value in bad:
        with pytest.raises(CheckpointError, match=r"c(: x is .{1,70}, expected| is damaged: x)"):
            take(Saved({"x": json.loads(value)}, "c"))
    with pytest.raises(CheckpointError, match="c lacks x"):
        take(Saved({}, "c"))


def test_nothing_may_be_left_over() -> None:
    with pytest.raises(CheckpointError, match=r"c holds inner\.y"), Saved({"y": 1}, "c", "inner"):
        pass
    with pytest.raises(KeyError), Saved({"y": 1}, "c"):
        raise KeyError


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"epoch": 3},
        {"epoch": 4, "finished": True},
        {"evaluated_at": 11},
        {"seconds": float("inf")},
        {"best": float("nan")},
        {"tokens": 0},
        {"window": {}},
        {"window": {"steps": 1, "tokens": 0}},
    ],
)
def test_a_position_outside_the_training_is_refused(changes: dict[str, Any]) -> None:
    window = {
        "loss": 1.0,
        "tokens": 5,
        "gradient_norm": 1.0,
        "steps": 1,
        "seconds": 0.5,
        "learning_rate": 0.1,
    }
    good = {"step": 10, "epoch": 2, "tokens": 50, "seconds": 2.0, "best": None, "finished": False}
    good |= {"evaluations_since_best": 0, "evaluated_at": 10, "window": window}
    position = Position.restore(Saved(good, "c"), epochs=3)
    assert (position.step, position.window.tokens) == (10, 5)
    if changes.get("window"):
        changes = {"window": window | changes["window"]}
    with pytest.raises(CheckpointError, match=next(iter(changes))):
        Position.restore(Saved(good | changes, "c"), epochs=3)
