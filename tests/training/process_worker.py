"""One of several processes that train together, several runs in turn: `python -m ... PLAN.json`.

The plan lists trainings: [source, out, options, stop_at]. Without a source, the run is resumed; with a step
to stop at, the first process gets a signal then. A source that is not there fails, and the next one follows.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from throughtime.errors import DataError, ProcessError
from throughtime.training import Interrupted, StepEvent, resume, train
from throughtime.training.additions import Additions


def carry_out(plan: list[Any]) -> None:
    for source, out, options, stop_at in plan:

        def stop(event: StepEvent, stop_at: int | None = stop_at) -> None:
            if event.step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        is_there = source is None or os.path.exists(source)
        with suppress(Interrupted) if is_there else suppress(DataError, ProcessError):
            if source is None:
                resume(out, additions=Additions(on_step=stop))
            else:
                train(source, out=out, on_step=stop, **options)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        carry_out(json.load(file))
