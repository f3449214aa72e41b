"""What a training leaves to read, also where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from throughtime.training.log import METRICS, draw_loss, read_metrics

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
    line = b'{"epoch": 1, "val_loss": NaN, "warning": "the gradient", "chunk": 8, "norm": Infinity, "x": [1]}'
    (tmp_path / METRICS).write_bytes(line)
    assert read_metrics(tmp_path) == [{"epoch": 1, "chunk": 8}]


def test_without_the_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
