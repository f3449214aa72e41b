"""Measuring on data in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from throughtime.errors import OptionError
from throughtime.in_memory.given import Data, on_disk
from throughtime.notebooks import Measured

if TYPE_CHECKING:
    from throughtime.run.run import Run

    S = TypeVar("S", bound=Run)
else:
    S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def takes_data(
    evaluate: Callable[Concatenate[S, str | Path, P], R],
) -> Callable[Concatenate[S, Data, P], R]:
    """Let the `evaluate` of a run take data in memory where it takes a path; see `Data`.

    A notebook shows what it finds as a table.
    """

    def measured(self: S, data: Data, *args: P.args, **options: P.kwargs) -> R:
        if args and not isinstance(args[0], (bool, str, type(None))):
            raise OptionError("give inputs and labels as one tuple: run.evaluate((inputs, labels))")
        known = {**self.config.data.model_dump(), "task": self.task}
        with on_disk(data, known) as path:
            found = evaluate(self, path, *args, **options)
        return Measured(found) if type(found) is dict else found  # type: ignore[return-value]

    functools.update_wrapper(measured, evaluate)
    return measured
