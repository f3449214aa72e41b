"""Quality of word taggers on public data sets: the product's own commands, three seeds.

Parts of speech on Universal Dependencies English ParTUT, and entities on WNUT 2017, from the published files.
Options were chosen on the dev files; the test files are read once for each seed, at the end.

    python benchmarks/quality_words.py
    python benchmarks/quality_words.py --only wnut17 --seeds 1 --json figures.json
    THROUGHTIME_DATA=~/data python benchmarks/quality_words.py --keep runs/words
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Benchmark:
    """One data set.

    Args:
        what: the data and what is measured.
        training, validation, test: files in the data folder.
        figure: the metric of `throughtime eval`.
        goal: what it should reach.
        published: others' figures.
        options: of `throughtime train`; all others have their defaults.
    """

    what: str
    training: str
    validation: str
    test: str
    figure: str
    goal: float
    published: str
    options: tuple[str, ...] = ()


BENCHMARKS = {
    "ud_partut": Benchmark(
        "UPOS of UD English ParTUT, accuracy of words",
        "ud_partut/en_partut-ud-train.conllu",
        "ud_partut/en_partut-ud-dev.conllu",
        "ud_partut/en_partut-ud-test.conllu",
        "accuracy",
        0.95,
        "a plain BiLSTM 93.4 (the data set's notes)",
        ("--epochs", "12"),
    ),
    "wnut17": Benchmark(
        "WNUT 2017, emerging entities, F1, nothing pretrained",
        "wnut17/wnut17train.conll",
        "wnut17/emerging.dev.conll",
        "wnut17/emerging.test.annotated",
        "f1",
        0.20,
        "BiLSTM 12.6 (moejoe95/crf-vs-rnn-ner); BiLSTM-CRFs 20 to 30 (recalled, not looked up)",
        ("--epochs", "12"),
    ),
}


def throughtime(*arguments: str | Path) -> dict[str, Any]:
    """Run a command of the product; its JSON."""
    command = [
        sys.executable,
        "-c",
        "from throughtime.cli import main; main()",
        *map(str, arguments),
        "--json",
    ]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return json.loads(result.stdout)


def measure(benchmark: Benchmark, data: Path, folder: Path, seed: int, threads: int) -> dict[str, Any]:
    """Train with a seed, and evaluate on dev and test."""
    begin = time.perf_counter()
    options = [*benchmark.options, "--seed", str(seed), "--threads", str(threads)]
    validation = data / benchmark.validation
    throughtime("train", data / benchmark.training, "--validation", validation, "--out", folder, *options)
    seconds = time.perf_counter() - begin
    scores = {
        name: throughtime("eval", folder, data / getattr(benchmark, name)) for name in ("validation", "test")
    }
    return {"seed": seed, "seconds": round(seconds, 1), **scores}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)),
        help="the data sets",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}, Python "
        f"{platform.python_version()}"
    )
    print(f"{'set':10} {'seed':>4} {'dev':>8} {'test':>8} {'train s':>8}")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.only:
            benchmark = BENCHMARKS[name]
            if not (arguments.data / benchmark.training).exists():
                print(f"{name:10} left out: {arguments.data / benchmark.training} is not there (set --data)")
                continue
            folder = arguments.keep or Path(temporary)
            found = []
            for seed in arguments.seeds:
                one = measure(benchmark, arguments.data, folder / f"{name}-{seed}", seed, arguments.threads)
                found.append(one)
                dev, test = (one[part][benchmark.figure] for part in ("validation", "test"))
                print(f"{name:10} {seed:4} {dev:8.2%} {test:8.2%} {one['seconds']:8.0f}", flush=True)
            mean = statistics.mean(one["test"][benchmark.figure] for one in found)
            print(f"{name:10} mean {'':8} {mean:8.2%}  goal {benchmark.goal:.0%}; {benchmark.published}")
            figures[name] = {"what": benchmark.what, "mean": mean, "runs": found}
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
