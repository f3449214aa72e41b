"""Malformed inputs for everything that Throughtime reads, and what a user would see of each.

    python benchmarks/fuzz.py --inputs 300000 --json fuzz.json
    python benchmarks/fuzz.py --kind sounds pictures --seconds 600 --keep failures
    python benchmarks/fuzz.py --seed 1 --only 4711

Small valid files and 26 run folders are made in a temporary folder. Each input is one of them with
something wrong in it: bits, lengths, JSON, declared sizes, archives that are packed again with right
checksums. The program's own commands read it, in worker processes. An input may be accepted, or refused with
exit code 2 and one line. Anything else is a failure: a traceback, another exit code, a message of several
lines, a warning of Python's or of a C library's, NaN in JSON, a crash, more than 10 s of the processor's
time, a peak above 2 GB.

Prints a table by target, then each cause of failures once, with the command that repeats it. The number of an
input and --seed fix its bytes, as long as the targets and the files that they begin with stay what they are.
Exit code 1 where anything failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path

# Workers share the machine's processors; each is one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuzzing.damage import prepare_bombs  # noqa: E402
from fuzzing.execution import Executor, import_everything, program, scratch_folder, shorten_trainings  # noqa: E402
from fuzzing.report import Report  # noqa: E402
from fuzzing.seeds import Seeds, make_seeds, read_seeds  # noqa: E402
from fuzzing.seeds_runs import fixed_clock  # noqa: E402
from fuzzing.target import Target, draw  # noqa: E402
from fuzzing.targets import all_targets  # noqa: E402
from fuzzing.workers import Pool, run_in_a_child  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=20_000, help="how many (default 20,000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kind", nargs="+", default=[], help="only targets of these kinds")
    parser.add_argument("--only", type=int, help="this input alone, with all that it prints")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--keep", type=Path, help="write the first inputs of each cause below this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    import_everything()
    program()
    _prepare_libraries()
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-", dir=scratch_folder()) as name:
        folder = Path(name)
        run_in_a_child(lambda: _make_seeds(folder))
        seeds = read_seeds(folder)
        targets = all_targets(seeds)
        if arguments.only is None:
            run_in_a_child(lambda: _check(targets, seeds, folder / "check"))
    prepare_bombs()
    gc.collect()
    gc.freeze()  # a worker that looks through all objects would have a copy of them
    report = Report(arguments.seed, seeds.digest, arguments.keep)
    begin = time.monotonic()
    pool = Pool(seeds, targets, arguments.seed, arguments.workers)
    try:
        for number, target, outcome in pool.run(_numbers(arguments, targets), begin + arguments.seconds):
            if report.add(number, target, outcome):
                report.save(number, seeds, targets)
                said = f"{outcome.kind} {outcome.error} {outcome.where}  (input {number}, {target.name})"
                print(said, file=sys.stderr)
            if arguments.only is not None:
                report.save(number, seeds, targets)
                print(json.dumps(outcome.as_json(), indent=1))
    except KeyboardInterrupt:
        print("stopped: what follows counts the inputs until then", file=sys.stderr)
    seconds = time.monotonic() - begin
    print(report.table())
    for line in report.failures():
        print(line)
    speed = f"{report.total.inputs:,} inputs in {seconds:,.0f} s ({report.total.inputs / seconds:.0f}/s)"
    speed += f", {report.total.seconds:,.0f} s of the processor's"
    print(f"{speed}, seed {arguments.seed}, seeds {seeds.digest}")
    if arguments.json:
        arguments.json.write_text(json.dumps({**report.as_json(), "seconds": seconds}, indent=1))
    raise SystemExit(1 if report.causes else 0)


def _prepare_libraries() -> None:
    import onnxruntime  # noqa: F401
    import pyarrow
    import torch

    # Workers share the machine's processors.
    torch.set_num_threads(1)
    pyarrow.set_cpu_count(1)


def _numbers(arguments: argparse.Namespace, targets: list[Target]) -> Sequence[int]:
    """Which inputs: those of the wanted kinds have numbers with gaps."""
    if arguments.only is not None:
        return [arguments.only]
    if not arguments.kind:
        return range(arguments.first, arguments.first + arguments.inputs)
    kinds = sorted({target.kind for target in targets})
    if unknown := sorted(set(arguments.kind) - set(kinds)):
        raise SystemExit(f"--kind {unknown[0]} is unknown: use {', '.join(kinds)}")
    of_kind = (
        n for n in count(arguments.first) if draw(n, arguments.seed, targets)[1].kind in arguments.kind
    )
    return list(islice(of_kind, arguments.inputs))


def _make_seeds(folder: Path) -> None:
    fixed_clock()
    make_seeds(folder)


def _check(targets: list[Target], seeds: Seeds, folder: Path) -> None:
    """What is undamaged has to be accepted, or all that is damaged would be refused for another reason."""
    shorten_trainings()
    executor, done, wrong = Executor(folder), set(), []
    for target in targets:
        for case in target.cases(seeds):
            known = case.command, case.stdin
            if known in done:
                continue  # of a run folder each file is damaged, and the commands are the same
            done.add(known)
            outcome = executor.run(case)
            if outcome.kind != "accepted":
                wrong.append(f"throughtime {' '.join(case.command)} ({target.name}): {outcome}")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
