"""What a training leaves to read, also where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from throughtime.run.history import METRICS, read_metrics
from throughtime.run.loss_picture import loss_figure
from throughtime.run.own_loss import LOSS
from throughtime.training.log import draw_loss, still_falling

LINES = [{"step": step, "epoch": step / 2, "train_loss": 3 - step} for step in (1, 2)]


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b'{"step": 3, "epo', b"\xff\xfe\x00", b"null", b"[]", b"3", b'{"step": 3}', b'{"epoch": "x"}'),
        *(b'{"epoch": NaN}', b'{"epoch": ' + b"9" * 400 + b"}", b"[" * 100_000, b'{"epoch": []}'),
    ],
    ids=lambda damage: repr(damage[:12]),
)
def test_lines_up_to_a_damaged_one_are_read_and_drawn(damage: bytes, tmp_path: Path) -> None:
    content = "".join(f"{json.dumps(line)}\n" for line in LINES).encode()
    (tmp_path / METRICS).write_bytes(content + damage)
    assert read_metrics(tmp_path) == LINES
    assert draw_loss(tmp_path).exists()


def test_what_is_no_finite_number_is_left_out(tmp_path: Path) -> None:
    line = (
        b'{"epoch": 1, "val_loss": NaN, "warning": "the gradient", "chunk": 8, "norm": Infinity, "x": [1], '
    )
    (tmp_path / METRICS).write_bytes(
        line + b'"val_\\u0000": 1, "val_\\ud800": 1, "val_error": 1' + b"0" * 30 + b"}"
    )
    assert read_metrics(tmp_path) == [{"epoch": 1, "chunk": 8, "val_error": 1e30}]


def test_without_the_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def losses(name: str, *values: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, name: value} for epoch, value in enumerate(values, 1)]


def test_a_loss_that_fell_to_the_end_is_told() -> None:
    falling = losses("val_loss", *(10.0 - epoch for epoch in range(10)))
    assert still_falling(falling) == (
        "the validation loss was still falling at the end, from 3 to 1 in the last fifth"
    )
    assert still_falling(losses("train_loss", 5, 4, 3, 2, 1)).startswith("the training loss was still")


@pytest.mark.parametrize(
    "values", [(5, 3, 2, 1.9, 1.89, 1.885), (5, 4, 3, 2, 2.5), (2, 1), (3, 3, 3, 3, 3, 3)]
)
def test_one_that_had_settled_or_rose_or_is_too_short_is_not(values: tuple[float, ...]) -> None:
    assert still_falling(losses("val_loss", *values)) == ""


def test_training_and_validation_share_a_panel_but_not_with_a_loss_of_the_users_own(tmp_path: Path) -> None:
    lines = [{"step": 1, "epoch": 1, "train_loss": 3}, {"step": 1, "epoch": 1, "val_loss": 2, "val_f1": 0.5}]
    (tmp_path / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def panels() -> list[list[str]]:
        return [
            [line.get_label() for line in axes.lines] for axes in loss_figure(tmp_path, "loss", "val_f1").axes
        ]

    assert panels() == [["training", "validation"], ["validation"]]
    (tmp_path / LOSS).parent.mkdir()
    (tmp_path / LOSS).write_text('{"loss": "hinge"}')
    assert panels() == [["validation"], ["validation"], ["training"]]
