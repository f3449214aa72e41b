"""Several labels at once, and numbers, on public data: the product's own commands, from files to figures.

jsb       JSB chorales (Boulanger-Lewandowski, Bengio and Vincent 2012): 382 pieces as piano rolls, (T, 88) of
          0 and 1, in the field's split of 229, 76 and 77 pieces. A frame's keys are predicted from all frames
          before it: inputs are the frames 0 to T - 2, labels the frames 1 to T - 1, as in the code of Bai,
          Kolter and Koltun 2018 (TCN), whose files these are. The figure is the negative log-likelihood in
          nats, summed over the 88 keys, mean over the frames of all pieces together. The network has about
          20,000 weights, as those of Chung, Gulcehre, Cho and Bengio 2014 have, whose figures stand beside.
ett       ETTh1 (Zhou et al. 2021): the oil temperature of a transformer from its six loads of the last 48
          hours, without the temperature itself: a sensor in software, and no forecast. Split by time, 12, 4
          and 4 months, an example every second hour. Beside it the training's mean, and a ridge regression
          on the same 288 numbers, whose penalty is chosen on the validation part.

Each set is written in the format that users have, trained with `throughtime train` and measured with
`throughtime eval` on the test part, once for each seed. Options were chosen on validation data. The weights
are those with the lowest loss on the validation part.

    python benchmarks/quality_numbers.py
    python benchmarks/quality_numbers.py --only jsb --seeds 1 --json figures.json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PARTS = {"train": "traindata", "validation": "validdata", "test": "testdata"}
HOURS, EVERY = 48, 2
# Rows of ETTh1 at which the training and the validation part end: months of 30 days.
ENDS = (12 * 30 * 24, 16 * 30 * 24, 20 * 30 * 24)
LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")

OPTIONS: dict[str, list[str]] = {
    # A GRU of 46 units, as theirs. Chosen from three settings by the validation loss of one seed.
    "jsb": [
        *("--cell", "gru", "--hidden", "46", "--epochs", "60", "--batch", "4", "--chunk", "0"),
        *("--learning-rate", "0.005", "--input-dropout", "0.1", "--output-dropout", "0.1"),
    ],
    "ett": [
        *(
            "--target",
            "number",
            "--label-column",
            "OT",
            "--loss",
            "gaussian",
            "--cell",
            "gru",
            "--hidden",
            "32",
        ),
        *("--epochs", "10", "--pooling", "last", "--output-dropout", "0.2", "--weight-decay", "0.1"),
    ],
}


def write_jsb(source: Path, target: Path) -> dict[str, Path]:
    """A folder of arrays with the pieces of training and validation, and one with those of the test."""
    from scipy.io import loadmat

    pieces = loadmat(str(source / "JSB_Chorales.mat"))
    folders = {"train": target / "chorales", "test": target / "chorales_test"}
    for folder in folders.values():
        folder.mkdir()
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    for part, name in PARTS.items():
        place = "test" if part == "test" else "train"
        for number, roll in enumerate(pieces[name][0]):
            frames = np.asarray(roll)
            files = f"{part}_{number}.npy", f"{part}_{number}.keys.npy"
            np.save(folders[place] / files[0], frames[:-1].astype(np.float32))
            np.save(folders[place] / files[1], frames[1:].astype(np.uint8))
            rows[place].append((*files, part))
    for place, folder in folders.items():
        write_table(folder / "metadata.csv", ["file_name", "labels", "split"], rows[place])
    return folders


def write_ett(source: Path, target: Path) -> dict[str, Path]:
    """Tables of windows: a list of hours for each load, and the temperature at its end."""
    with (source / "ETTh1.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = np.array([[float(row[name]) for name in (*LOADS, "OT")] for row in rows])
    begins = (0, *ENDS[:-1])
    files = {}
    for part, begin, end in zip(("train", "validation", "test"), begins, ENDS, strict=True):
        files[part] = target / f"ett_{part}.jsonl"
        with files[part].open("w") as file:
            for last in range(max(begin, HOURS - 1), end, EVERY):
                window = values[last - HOURS + 1 : last + 1]
                lists = {name: window[:, place].tolist() for place, name in enumerate(LOADS)}
                file.write(json.dumps({**lists, "OT": float(window[-1, -1])}) + "\n")
    return files


def write_table(path: Path, header: list[str], rows: list[tuple[str, ...]]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def ridge(files: dict[str, Path]) -> dict[str, float]:
    """RMSE and MAE of ridge regression on the standardised, flattened windows."""

    def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return np.array([sum((row[name] for name in LOADS), []) for row in rows]), np.array(
            [row["OT"] for row in rows]
        )

    parts = {part: read(path) for part, path in files.items()}
    x, y = parts["train"]
    mean, deviation, middle = x.mean(0), x.std(0), y.mean()

    def fit(penalty: float) -> np.ndarray:
        z = (x - mean) / deviation
        return np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - middle))

    def errors(weights: np.ndarray, part: str) -> np.ndarray:
        inputs, truth = parts[part]
        return truth - ((inputs - mean) / deviation @ weights + middle)

    fits = [fit(10.0**power) for power in range(0, 7)]
    best = min(fits, key=lambda weights: float((errors(weights, "validation") ** 2).mean()))
    found = errors(best, "test")
    return {"rmse": float(np.sqrt((found**2).mean())), "mae": float(np.abs(found).mean())}


def command(*arguments: str | Path) -> str:
    """The output of one command."""
    line = [sys.executable, "-m", "throughtime", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} failed: {done.stderr}")
    return done.stdout


def measure(
    name: str, source: Path, target: Path, seeds: range, extra: list[str], look: bool
) -> dict[str, Any]:
    """Train with each seed, and look at the test part once for each."""
    files = (write_jsb if name == "jsb" else write_ett)(source, target)
    found = []
    for seed in seeds:
        run, begin = target / f"{name}_{seed}", time.perf_counter()
        validation = ["--validation", files["validation"]] if "validation" in files else []
        options = [*OPTIONS[name], *extra, "--seed", str(seed), "--out", str(run), "--json"]
        trained = json.loads(command("train", files["train"], *validation, *options))
        figures: dict[str, Any] = {"val_loss": trained["best_val_loss"]}
        figures["seconds"] = round(time.perf_counter() - begin, 1)
        figures["parameters"] = json.loads(command("info", run, "--json"))["parameters"]
        if look:
            figures |= json.loads(command("eval", run, files["test"], "--json"))
        found.append(figures)
        print(f"{name}, seed {seed}: {shown(figures)}", flush=True)
    result: dict[str, Any] = {"options": [*OPTIONS[name], *extra], "seeds": found}
    if name == "ett" and look:
        result["ridge"] = ridge(files)
        print(f"ridge regression: {shown(result['ridge'])}")
    return result


def shown(figures: dict[str, Any]) -> str:
    """The numbers among figures, in a line."""
    numbers = {key: value for key, value in figures.items() if isinstance(value, (int, float))}
    return ", ".join(
        f"{key} {value:.4f}" if isinstance(value, float) else f"{key} {value:,}"
        for key, value in numbers.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)))
    parser.add_argument("--no-test", action="store_true", help="choose options: the test part is not read")
    parser.add_argument("--option", nargs="*", default=[], help="more options of train, as in hidden=64")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    extra = [
        part for one in arguments.option for part in (f"--{one.partition('=')[0]}", one.partition("=")[2])
    ]
    print(f"throughtime {version('throughtime')}, {platform.machine()}, {os.cpu_count()} CPUs")
    found: dict[str, Any] = {}
    for name in arguments.only:
        source = arguments.data / name
        if not source.exists():
            print(f"{name}: {source} is absent, left out")
            continue
        with tempfile.TemporaryDirectory() as folder:
            seeds = range(arguments.seed, arguments.seed + arguments.seeds)
            found[name] = measure(name, source, Path(folder), seeds, extra, not arguments.no_test)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
