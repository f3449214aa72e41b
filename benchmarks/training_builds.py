"""Whole trainings by two builds of Throughtime, in turns: how many tokens a second each learns from.

    python benchmarks/training_builds.py --old OLD/bin/python --new NEW/bin/python --json builds.json

Each build is an environment's Python with that Throughtime installed. `throughtime train` runs for some
seconds with one build, then with the other, and so on; the figures are what metrics.jsonl says of the speed
between two log lines, evaluations and checkpoints left out, and the first line left out. The table has their
medians and the ratio: above 1 where the new build is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from quality_frames import write_hapt
from quality_translation import DEFAULT_DATA, train_command

DATA = Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA))


def commands(folder: Path) -> dict[str, list[str]]:
    """The trainings by their names: what `throughtime train` is given."""
    recordings = write_hapt(DATA, folder / "hapt")
    # Without its own seed, threads and folder.
    translation = train_command(DATA / "multi30k", folder, 1, 1)[1:-3]
    return {
        "quick, tiny Shakespeare": [str(DATA / "tinyshakespeare/input.txt"), "--preset", "quick"],
        "zaremba-small, Penn Treebank": [str(DATA / "ptb/ptb.train.txt"), "--preset", "zaremba-small"],
        "Multi30k, translation": translation,
        "HAPT, GRU tagger of 64 units": [
            *(str(recordings), "--cell", "gru", "--hidden", "64", "--batch", "8", "--chunk", "128"),
            *("--epochs", "1000"),
        ],
    }


def measure(python: str, command: list[str], out: Path, seconds: float, threads: int) -> list[float]:
    """Tokens a second, a number for each log line but the first."""
    shutil.rmtree(out, ignore_errors=True)
    words = [
        python,
        "-c",
        "from throughtime.cli import main; main()",
        "train",
        *command,
        f"--out={out}",
        f"--threads={threads}",
    ]
    with (out.parent / "log.txt").open("w") as log:
        process = subprocess.Popen([*words, "--log-every=5"], stdout=log, stderr=log)
        speeds: list[float] = []
        end = None
        while process.poll() is None and (end is None or time.monotonic() < end):
            time.sleep(0.2)
            speeds = read_speeds(out / "metrics.jsonl")
            if end is None and speeds:
                end = time.monotonic() + seconds
        process.send_signal(signal.SIGINT)
        process.wait()
    if len(speeds) < 2:
        raise SystemExit(
            f"{' '.join(words)}\nended too soon:\n{(out.parent / 'log.txt').read_text()[-2000:]}"
        )
    return speeds[1:]


def read_speeds(metrics: Path) -> list[float]:
    """Of the log lines of training that are there whole."""
    if not metrics.exists():
        return []
    lines = [
        json.loads(line) for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")
    ]
    return [line["tokens_per_second"] for line in lines if "tokens_per_second" in line]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", required=True, help="the Python of the old build's environment")
    parser.add_argument("--new", default=sys.executable, help="and that of the new one (default: this one)")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of each training in each round (default 10)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--new-options", default="", help="more options for the new build: '--precision bf16'"
    )
    parser.add_argument("--only", help="the trainings with this in their names")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    print(f"{'training':30} {'old':>9} {'new':>9}  new / old, of each round")
    with tempfile.TemporaryDirectory() as temporary:
        for name, command in commands(Path(temporary)).items():
            if options.only and options.only not in name:
                continue
            found: dict[str, list[list[float]]] = {"old": [], "new": []}
            for _ in range(options.rounds):
                for build, speeds in found.items():
                    python = getattr(options, build)
                    out = Path(temporary) / "run"
                    more = options.new_options.split() if build == "new" else []
                    speeds.append(measure(python, command + more, out, options.seconds, options.threads))
            medians = {
                build: statistics.median(one for turn in speeds for one in turn)
                for build, speeds in found.items()
            }
            ratios = [
                statistics.median(new) / statistics.median(old)
                for old, new in zip(found["old"], found["new"], strict=True)
            ]
            rows.append(
                {"training": name, **medians, "ratio": medians["new"] / medians["old"], "rounds": ratios}
            )
            print(
                f"{name:30} {medians['old']:9,.0f} {medians['new']:9,.0f}  {rows[-1]['ratio']:.2f} "
                f"({', '.join(f'{one:.2f}' for one in ratios)})",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
