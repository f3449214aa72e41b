"""Losses and durations as people write them."""

from __future__ import annotations

import math


def describe_loss(nats: float, per_character: bool) -> str:
    """A loss in nats, and in the unit that the task's people use."""
    if per_character:
        return f"{nats:.4f} nats = {nats / math.log(2):.4f} bits/char"
    return f"{nats:.4f} nats, perplexity {math.exp(min(nats, 700)):.2f}"


def duration(seconds: float) -> str:
    """Seconds as people write them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
