"""Quality on lines: names, one a line, and odd lines in a stream of log lines, by the product's commands.

Names: makemore's 32,033 given names; line number n (from 0) is for testing where n % 10 == 9. Figures are
nats a character, a line's end counted as one. SMALL is the size of the plain torch loop that it is
compared with; CHOSEN was chosen on the held-out tenth of the training lines.

Logs: benchmarks/log_lines.py. "usual" trains on usual lines of another stream, "itself" on the stream, odd
ones included; each on every eighth line, so that all hours of the day are among them. The order is that of
`throughtime eval --per-line`.

    python benchmarks/quality_lines.py names --seeds 1 2 3
    python benchmarks/quality_lines.py logs --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from log_lines import write_stream
from numpy.typing import NDArray

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

SMALL = {"hidden": 128, "epochs": 15, "output-dropout": 0.2}
CHOSEN = {"hidden": 256, "epochs": 12, "output-dropout": 0.3}
LOG = {"hidden": 128, "epochs": 2, "batch": 32}
_EVERY = 8


def throughtime(*arguments: object) -> str:
    """Run a command as a user does; its output."""
    program = "from throughtime.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def train(source: Path, out: Path, seed: int, options: dict[str, object]) -> tuple[dict[str, float], float]:
    """The command's summary, and the seconds of processor time that it took."""
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = throughtime(
        "train",
        source,
        "--lines",
        "--out",
        out,
        "--seed",
        seed,
        "--json",
        "--quiet",
        "--no-tensorboard",
        *flags,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(found), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def names(data: Path, folder: Path, seeds: list[int]) -> list[dict[str, object]]:
    """Both sizes for each seed."""
    lines = (data / "names" / "names.txt").read_text().split()
    parts = {"train": [x for n, x in enumerate(lines) if n % 10 != 9], "test": lines[9::10]}
    for name, part in parts.items():
        (folder / f"{name}.txt").write_text("\n".join(part) + "\n")
    rows: list[dict[str, object]] = []
    for what, options in (("small", SMALL), ("chosen", CHOSEN)):
        for seed in seeds:
            out = folder / f"{what}-{seed}"
            summary, seconds = train(folder / "train.txt", out, seed, {**options})
            test = json.loads(throughtime("eval", out, folder / "test.txt", "--json"))
            rows.append(
                {
                    "what": what,
                    "seed": seed,
                    "validation": summary["best_val_loss"],
                    "test": test["nats_per_token"],
                    "nats a name": test["nats_per_line"],
                    "processor s": round(seconds),
                }
            )
            print(rows[-1], flush=True)
    return rows


def logs(folder: Path, seeds: list[int], lines: int) -> list[dict[str, object]]:
    """Trained on usual lines, and on the stream itself, for each seed."""
    usual = folder / "usual.log"
    write_stream(folder / "all-usual.log", lines, 0.0, 100)
    thin_out(folder / "all-usual.log", usual)
    rows: list[dict[str, object]] = []
    for seed in seeds:
        stream, part = folder / f"stream-{seed}.log", folder / f"part-{seed}.log"
        kinds = write_stream(stream, lines, 0.01, seed)
        thin_out(stream, part)
        for what, source in (("usual", usual), ("itself", part)):
            out = folder / f"{what}-{seed}"
            _, seconds = train(source, out, seed, {**LOG})
            found = throughtime("eval", out, stream, "--per-line", "--json")
            surprise = np.zeros(lines)
            for text in found.splitlines():
                score = json.loads(text)
                surprise[score["line"] - 1] = score["surprise"]
            row = {"what": what, "seed": seed, **areas(surprise, kinds), "processor s": round(seconds)}
            row["lines/s"] = json.loads(throughtime("eval", out, stream, "--json"))["lines_per_second"]
            rows.append(row)
            print(row, flush=True)
    return rows


def thin_out(source: Path, target: Path) -> None:
    """Keep every eighth line."""
    target.write_bytes(b"".join(source.read_bytes().splitlines(keepends=True)[_EVERY - 1 :: _EVERY]))


def areas(scores: NDArray[np.float64], kinds: list[str]) -> dict[str, float]:
    """The area under the ROC curve, of all odd lines and of each kind against the usual ones."""
    is_usual = np.array([kind == "" for kind in kinds])
    found = {"AUC": area(scores[~is_usual], scores[is_usual])}
    for kind in sorted(set(kinds) - {""}):
        chosen = np.array([one == kind for one in kinds])
        found[kind] = area(scores[chosen], scores[is_usual])
    return found


def area(odd: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """The share of the pairs in which the odd line scores higher; ties count half."""
    ordered = np.sort(usual)
    below, upto = np.searchsorted(ordered, odd, "left"), np.searchsorted(ordered, odd, "right")
    return round(float((below + upto).mean() / 2 / len(usual)), 4)


def main() -> None:
    """Print the figures, and write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("names", "logs"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--lines", type=int, default=100_000, help="lines of the log's stream")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    given = parser.parse_args()
    print(
        f"throughtime {version('throughtime')}, torch {version('torch')}, {platform.processor()}", flush=True
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.what == "names":
            rows = names(given.data, folder, given.seeds)
        else:
            rows = logs(folder, given.seeds, given.lines)
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
