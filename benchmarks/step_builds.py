"""A step of generation by two builds of Throughtime, in turns: whether one is slower than the other.

    python benchmarks/step_builds.py --old OLD/bin/python --new NEW/bin/python --json builds.json

Each build is an environment's Python with that Throughtime installed. Two processes, one a build, hold the
same model and generate tokens in turns, the sampler's draws included, so that what else the machine does hits
both alike. Where a process's memory happens to lie can cost 10 %, so that is repeated with new processes. The
table has the medians and their ratio: above 1 where the new build is faster.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Of one turn.
SECONDS = 0.05


class Build:
    """A process of a build.

    Args:
        python: of the environment that it is installed in.
    """

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process of {self._process.args} has ended")
        return json.loads(answer)


def serve() -> None:
    """Answer on standard output what is asked on standard input, a line each."""
    from step_model import Setup, Weights

    from throughtime.runtime import Engine
    from throughtime.runtime.sampling import Sampler, SamplingOptions

    engine = slots = sampler = None
    for line in sys.stdin:
        question = json.loads(line)
        if "count" in question:
            assert engine is not None
            begin = time.perf_counter()
            engine.generate(slots, sampler, question["count"])
            print(json.dumps((time.perf_counter() - begin) / question["count"]), flush=True)
            continue
        setup = Setup(question["cell"], question["hidden"], question["batch"])
        options = {name: getattr(setup, name) for name in ("cell", "embedding", "layers")}
        engine = Engine.from_tensors(
            options, Weights(setup).tensors, question["precision"], question["threads"]
        )
        slots = engine.open(setup.batch)
        sampler = Sampler(SamplingOptions(), setup.vocabulary, seed=1, rows=setup.batch)
        print("0", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--old", help="the Python of the old build's environment")
    parser.add_argument(
        "--new", default=sys.executable, help="the Python of the new one's (default this one)"
    )
    parser.add_argument("--cells", nargs="+", default=["rnn", "gru", "lstm"])
    parser.add_argument("--hidden", nargs="+", type=int, default=[128, 256, 512, 1024])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default 15)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of processes (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    if arguments.old is None:
        parser.error("--old is missing")
    cases = [
        dict(zip(("cell", "hidden", "batch", "precision", "threads"), values, strict=True))
        for values in itertools.product(
            arguments.cells, arguments.hidden, arguments.batch, arguments.precision, arguments.threads
        )
    ]
    found: list[list[tuple[float, float]]] = [[] for _ in cases]
    for repeat in range(arguments.repeats):
        builds = {"old": Build(arguments.old), "new": Build(arguments.new)}
        for case, pairs in zip(cases, found, strict=True):
            pairs.append(measure(builds, case, arguments.rounds))
            print(f"{repeat + 1}: {case} {pairs[-1][0] / pairs[-1][1]:.3f}", file=sys.stderr)
    rows = []
    print("cell  hidden batch       threads    old us    new us  ratio")
    for case, pairs in zip(cases, found, strict=True):
        old, new = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(old / new for old, new in pairs)
        rows.append({**case, "old": old, "new": new, "ratio": ratio, "pairs": pairs})
        named = f"{case['cell']:5} {case['hidden']:6} {case['batch']:5} {case['precision']:5}"
        print(f"{named} {case['threads']:7} {old * 1e6:9.1f} {new * 1e6:9.1f} {ratio:6.3f}")
    ratios = [row["ratio"] for row in rows]
    print(f"geometric mean {statistics.geometric_mean(ratios):.3f}, least {min(ratios):.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


def measure(builds: dict[str, Build], case: dict[str, Any], rounds: int) -> tuple[float, float]:
    """Seconds of a token by the old and by the new build: the medians of turns."""
    for build in builds.values():
        build.ask(**case)
    first = max(build.ask(count=20) for build in builds.values())
    count = max(5, math.ceil(SECONDS / first))
    taken: dict[str, list[float]] = {name: [] for name in builds}
    for turn in range(rounds):
        for name in sorted(builds, reverse=bool(turn % 2)):
            taken[name].append(builds[name].ask(count=count))
    return statistics.median(taken["old"]), statistics.median(taken["new"])


if __name__ == "__main__":
    main()
