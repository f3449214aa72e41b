"""The words of a text with the time of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def timed_words(text: str, steps: Sequence[int], step_seconds: float | None) -> list[dict[str, Any]]:
    """When each word begins, as far as CTC tells: at the step where its first character is written.

    Args:
        text: of a recording.
        steps: at which step each of its characters begins.
        step_seconds: how long a step is; None gives steps.
    Returns:
        word, and seconds, or step, of each.
    """
    words, place = [], 0
    for word in text.split():
        place = text.index(word, place)
        step = steps[place]
        clock = {"step": step} if step_seconds is None else {"seconds": round(step * step_seconds, 3)}
        words.append({"word": word, **clock})
        place += len(word)
    return words
