"""What cross-validation measured, as the run folder keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, FiniteFloat

from throughtime.errors import RunError
from throughtime.facts import read_json

FOLDS = "folds.json"
# Its square is a number, too.
_Metric = Annotated[FiniteFloat, Field(ge=-1e100, le=1e100)]


@dataclass(frozen=True)
class FoldMetrics:
    """Metrics of the models that each had another part held out.

    Args:
        values: by the metric's name, one for each fold.
    """

    values: dict[str, list[float]]

    @classmethod
    def load(cls, folder: Path) -> FoldMetrics | None:
        """Read a run folder's; None where it was not cross-validated.

        Raises:
            RunError: the file is damaged.
        """
        path = folder / FOLDS
        if not path.exists():
            return None
        values = read_json(path, dict[str, list[_Metric]])
        if not values or not all(values.values()):
            raise RunError(f"{path} is damaged: a metric has no values")
        return cls(values)

    def summary(self) -> str:
        """Mean and standard deviation over folds of each metric, in a line."""
        parts = []
        for name, values in self.values.items():
            deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
            parts.append(f"{name.replace('_', ' ')} {np.mean(values):.4f} ± {deviation:.4f}")
        return ", ".join(parts)
