"""What a rule of recognition answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Match:
    """Data of a kind was found.

    Args:
        why: what shows it: "3 columns; `label` has 2 values".
        learning: what will be learned: "classification of `text`".
        advice: what the user can do, where nothing can be learned from the data as it is; "" where it can.
        options: what the data settles of the task's options.
        usual: options that suit such data, where the user says nothing else.
    """

    why: str
    learning: str = ""
    advice: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    usual: dict[str, Any] = field(default_factory=dict)
