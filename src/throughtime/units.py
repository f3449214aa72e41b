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
    # Rounded before it is split, or 179.6 seconds would be 2 minutes and 60 seconds.
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
