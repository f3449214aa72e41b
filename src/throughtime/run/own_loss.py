"""What a run folder says of a loss that was not its task's."""

from __future__ import annotations

from pathlib import Path

from throughtime.facts import read_json
from throughtime.in_memory import GIVEN

LOSS = Path(GIVEN) / "loss.json"


def own_loss_name(folder: Path) -> str | None:
    """The name of the function that a training minimises in the place of its task's loss; None without one.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / LOSS
    return read_json(path, dict[str, str]).get("loss", "") if path.exists() else None
