"""The engine alone, as fast as it goes: what a server is measured against.

    python bare.py RUN PRECISION SLOTS SECONDS

Prints the tokens a second of so many slots that draw, and of so many that read a token each.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from throughtime.run import Run
from throughtime.runtime.draws import Draws


def main() -> None:
    folder, precision, slots, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    engine = Run.open(folder, "native", precision, 1).engine  # type: ignore[attr-defined]
    opened = engine.open(slots)
    engine.set_draws(opened, [Draws.seeded(seed=seed) for seed in range(slots)])
    limits = np.full(slots, 32 if slots <= 1024 else 1)
    drawn = _rate(lambda: int(engine.advance(opened, limits)[1].sum()), seconds)
    tokens, lengths = np.zeros(slots, np.int64), np.ones(slots, np.int64)

    def read() -> int:
        engine.read_ragged(opened, tokens, lengths, logits=True)
        return slots

    print(json.dumps({"drawn": drawn, "read": _rate(read, seconds)}))


def _rate(work: object, seconds: float) -> float:
    work()  # type: ignore[operator]
    begin, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        count += work()  # type: ignore[operator]
    return count / passed


if __name__ == "__main__":
    main()
