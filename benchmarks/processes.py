"""Several processes against one: how far losses part over a thousand steps, and what adding up costs.

losses   Every task is trained for 1,000 short steps in 1, 2 and 4 processes with the same joint batch, with
         dropout. Printed is the largest relative difference of a step's loss, over the first 10, 100 and all
         steps, and whether under --groups 4 all losses and gradient norms have the same bits in 1 process, in
         4, and in 2, then 1, then 4, each going on from the others' checkpoint.
speed    An LSTM of 2 x 512 units, batch 64: two processes of one thread each against one of two threads, in
         turns, in tokens per second, with the share of the time that adding up gradients takes.

    python benchmarks/processes.py losses
    python benchmarks/processes.py speed --rounds 3
    python benchmarks/processes.py losses --only text --steps 100 --json figures.json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

COMMON: dict[str, Any] = {
    "hidden": 16,
    "layers": 1,
    "batch": 8,
    "epochs": 200,
    "log_every": 1,
    "evaluate_every": 0,
    "validation_fraction": 0.05,
    "checkpoint_seconds": 1000,
    "tensorboard": False,
    "threads": 1,
}
# Those whose data the package draws itself; their options are cut down to short steps.
DEMOS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("program", {"task": "language-model", "embedding": 16, "chunk": 16}),
    "lines": ("places", {"embedding": 16}),
    "labels": ("sentences", {"embedding": 16}),
    "pairs": ("dates", {"embedding": 16, "attention": "luong", "dropout": 0.1}),
    "words": ("names", {"embedding": 16}),
    "numbers": ("visitors", {"lookback": 24, "horizon": 6}),
    "recordings": ("dialling", {}),
}
KEPT = ("task", "lines", "text_column", "condition_columns", "tokenizer", "time_column", "columns")
KEPT += ("known_future", "mel_bands", "frame_seconds", "rare_words", "characters", "character_features")


def write_data(folder: Path, only: str | None) -> dict[str, tuple[str, dict[str, Any]]]:
    """What to train on, and the options, by a name."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, (demo, options) in DEMOS.items():
        if only in (None, name):
            module = import_module(f"throughtime.demos.{demo}")
            extra = {"max_bytes": 200_000} if demo == "program" else {}
            source = module.write(folder / name, 1, **extra)
            kept = {option: module.OPTIONS[option] for option in KEPT if option in module.OPTIONS}
            found[name] = str(source), {**COMMON, **kept, **options}
    if only in (None, "frames"):
        found["frames"] = str(write_clips(folder / "frames")), {**COMMON, "task": "tagger", "chunk": 16}
    if only in (None, "captions"):
        source = write_captions(folder / "captions")
        options = {"image_features": str(source / "features.npz"), "embedding": 16}
        found["captions"] = str(source), {**COMMON, **options}
    return found


def write_clips(folder: Path) -> Path:
    """Walks whose frames are labelled by their direction."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = [["file_name", "labels"]]
    for number in range(60):
        moving = np.repeat(generator.integers(0, 2, 12), generator.integers(5, 20, 12))
        walk = np.cumsum(generator.normal(moving[:, None] * 0.5, 1.0, (len(moving), 3)), 0)
        np.save(folder / f"{number}.npy", walk.astype(np.float32))
        cuts = [0, *(np.flatnonzero(np.diff(moving)) + 1), len(moving)]
        parts = [[a, b, "ab"[moving[a]]] for a, b in zip(cuts, cuts[1:], strict=False)]
        write_table(folder / f"{number}.csv", [["start", "end", "label"], *parts])
        rows.append([f"{number}.npy", f"{number}.csv"])
    write_table(folder / "metadata.csv", rows)
    return folder


def write_captions(folder: Path) -> Path:
    """Captions that name the largest features."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 3, 8)).astype(np.float32)
    names = [f"{number}.png" for number in range(len(features))]
    np.savez(folder / "features.npz", names=names, features=features)
    words = np.array(list("abcdefgh"))
    rows = [
        [name, " ".join(words[np.argsort(-one.mean(0))[: 2 + number % 4]])]
        for number, (name, one) in enumerate(zip(names, features, strict=True))
    ]
    write_table(folder / "metadata.csv", [["file_name", "caption"], *rows])
    return folder


def write_table(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def carry_out(plan: list[Any], steps: int) -> None:
    """Train each run of a plan, as one of the processes, up to this step."""
    import throughtime as tt
    from throughtime.training import Interrupted

    def interrupt(event: Any) -> None:
        if event.step == steps:
            signal.raise_signal(signal.SIGTERM)

    for source, out, options in plan:
        with suppress(Interrupted):
            if Path(out).exists():
                tt.resume(out, on_step=interrupt)
            else:
                tt.train(source, out=out, on_step=interrupt, **options)


def train_together(count: int, plan: list[Any], steps: int, folder: Path) -> None:
    """Carry out a plan in so many processes, on the loopback."""
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    command = [sys.executable, __file__, "worker", str(path), "--steps", str(steps)]
    if count > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command = [sys.executable, *launcher, *command[1:]]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)


def log_of(folder: Path, steps: int, name: str) -> np.ndarray[Any, Any]:
    """The training loss or another figure of each step, and nothing behind the last one."""
    entries = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return np.array([entry[name] for entry in entries if name in entry])[:steps]


def compare_losses(steps: int, only: str | None, folder: Path) -> list[dict[str, Any]]:
    """A row for each task."""
    data = write_data(folder / "data", only)
    parts = [
        ("1", 0, 1, steps),
        ("4", 0, 4, steps),
        ("2", 0, 2, steps),
        ("1g", 4, 1, steps),
        ("4g", 4, 4, steps),
    ]
    parts += [("2, 1, 4", 4, 2, steps * 2 // 5), ("2, 1, 4", 4, 1, steps * 7 // 10), ("2, 1, 4", 4, 4, steps)]
    for kind, groups, count, until in parts:
        begin = time.perf_counter()
        plan = [
            [source, str(folder / kind / task), {**options, "groups": groups}]
            for task, (source, options) in data.items()
        ]
        train_together(count, plan, until, folder)
        said = f"{count} process{'es' * (count > 1)}{f', {groups} groups' * bool(groups)}"
        print(f"{said}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    rows = []
    for task in data:
        one = log_of(folder / "1" / task, steps, "train_loss")
        row: dict[str, Any] = {"data": task, "steps": len(one), "first": one[0], "last": one[-1]}
        for count in (2, 4):
            other = log_of(folder / str(count) / task, steps, "train_loss")
            apart = np.abs(other - one) / np.abs(one)
            row[str(count)] = [float(apart[:most].max()) for most in (10, 100, steps)]
        # A stop is heard a step later where there are several: the last weights are not of the same step.
        row["same_bits"] = all(
            log_of(folder / "1g" / task, steps, name).tobytes()
            == log_of(folder / kind / task, steps, name).tobytes()
            for kind in ("4g", "2, 1, 4")
            for name in ("train_loss", "gradient_norm")
        )
        rows.append(row)
    return rows


def measure_speed(rounds: int, steps: int) -> dict[str, Any]:
    """Tokens per second of one process of two threads and of two of one thread, and the share of sums."""
    options = ["--hidden", "512", "--layers", "2", "--embedding", "128", "--batch", "64", "--chunk", "64"]
    options += ["--epochs", "1", "--validation-fraction", "0", "--log-every", "2", "--no-tensorboard"]
    found: dict[str, list[float]] = {"one": [], "two": [], "share": []}
    with tempfile.TemporaryDirectory() as name:
        text = Path(name) / "text.txt"
        generator = np.random.default_rng(0)
        text.write_text("".join(generator.choice(list("abcdefghij klmnop"), 64 * 64 * steps + 65)))
        for number in range(rounds):
            for kind, more in (
                ("one", ["--threads", "2"]),
                ("two", ["--threads", "1", "--processes", "2"]),
            ):
                out = Path(name) / f"{kind}-{number}"
                command = ["train", str(text), "--out", str(out), *options, *more]
                said = subprocess.run(
                    [sys.executable, "-m", "throughtime", *command],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": more[1]},
                ).stderr
                entries = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
                speeds = [entry["tokens_per_second"] for entry in entries if "tokens_per_second" in entry]
                # The first lines have what is made once.
                found[kind].append(statistics.median(speeds[1:]))
                if kind == "two":
                    line = next(line for line in said.splitlines() if line.startswith("adding up"))
                    found["share"].append(float(line.split("took ")[1].split("%")[0]) / 100)
    one, two = (statistics.median(found[kind]) for kind in ("one", "two"))
    return {**found, "median_one": one, "median_two": two, "ratio": two / one}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["losses", "speed", "worker"])
    parser.add_argument("plan", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=None, help="losses: 1,000 each; speed: 40 each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="losses: keep data and runs in this new folder")
    parser.add_argument("--only", help="one data set")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.what == "worker":
        carry_out(json.loads(Path(arguments.plan).read_text()), arguments.steps)
        return
    import torch

    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, torch ", end="")
    print(f"{torch.__version__}; the machine's load before: {load:.1f}")
    if arguments.what == "losses":
        with tempfile.TemporaryDirectory() as name:
            folder = arguments.keep or Path(name)
            figures: Any = compare_losses(arguments.steps or 1000, arguments.only, folder)
        print(
            "data         steps  loss            2 processes: 10, 100, all   4 processes: 10, 100, all   bits"
        )
        for row in figures:
            two, four = ("  ".join(f"{apart:.0e}" for apart in row[count]) for count in ("2", "4"))
            loss = f"{row['first']:.3f} to {row['last']:.3f}"
            bits = "same" if row["same_bits"] else "OTHER"
            print(f"{row['data']:11s}  {row['steps']:5d}  {loss:14s}  {two:26s}  {four:26s}  {bits}")
    else:
        figures = measure_speed(arguments.rounds, arguments.steps or 40)
        print(f"one process of two threads   {figures['median_one']:,.0f} tokens/s  {figures['one']}")
        print(f"two processes of one thread  {figures['median_two']:,.0f} tokens/s  {figures['two']}")
        print(f"ratio {figures['ratio']:.3f}; adding up took {statistics.median(figures['share']):.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
