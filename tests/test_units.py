"""Losses and durations as people write them."""

from __future__ import annotations

from throughtime.units import describe_loss, duration


def test_losses_have_the_unit_of_their_task() -> None:
    assert describe_loss(1.5, per_character=True) == "1.5000 nats = 2.1640 bits/char"
    assert describe_loss(4.6051702, per_character=False) == "4.6052 nats, perplexity 100.00"
    assert "perplexity" in describe_loss(5000.0, per_character=False)


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59, 59.6, 61, 179.6, 3599, 3599.7, 3661, 7199)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "1 min 01 s",
        "3 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "1 h 01 min",
        "2 h 00 min",
    ]
