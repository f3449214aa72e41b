"""Forecasts of ETTh1 (Zhou et al. 2021), beside a seasonal naive and a linear one, and published figures.

The field's split: 8640 rows to train on, 2880 to validate on, 2880 to test on; values are standardised by the
training part, and the errors are of standardised values, averaged over all windows, steps and series, the
last ones included. The parts are written as tables, the later ones with the rows before them that the first
window reads. Every training is `throughtime train` and every test `throughtime eval`.

univariate     the oil temperature OT alone
multivariate   all seven columns, each by itself with one network for all

The options were chosen on the validation part of seed 1 and horizon 96; test is read once, by three seeds.

    python benchmarks/quality_forecasting.py
    python benchmarks/quality_forecasting.py --only univariate --horizons 96 --seeds 1 --json ett.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.training import train

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TRAINING, VALIDATION, TEST = 8640, 2880, 2880
LOOKBACK = 336

SHARED: dict[str, Any] = {
    "lookback": LOOKBACK,
    "distribution": "point",
    "calendar": False,
    "hidden": 64,
    "epochs": 8,
    "early_stopping": 3,
    "threads": 1,
    "tensorboard": False,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "univariate": {"columns": "OT", "window_norm": "mean", "stride": 2, "ema": 0.99},
    "multivariate": {"loss": "absolute", "stride": 3},
}
METRICS = ("mse_scaled", "mae_scaled")


def write_parts(source: Path, folder: Path) -> tuple[Path, Path, Path]:
    """The three parts as tables, the later ones with the rows that their first window reads."""
    header, *rows = source.read_text().splitlines()
    ends = np.cumsum([TRAINING, VALIDATION, TEST])
    starts = (0, TRAINING - LOOKBACK, TRAINING + VALIDATION - LOOKBACK)
    paths = []
    for name, start, end in zip(("training", "validation", "test"), starts, ends, strict=True):
        paths.append(folder / f"{name}.csv")
        paths[-1].write_text("\n".join([header, *rows[start:end]]) + "\n")
    return paths[0], paths[1], paths[2]


def measure(
    parts: tuple[Path, Path, Path], setting: str, horizon: int, seed: int, out: Path
) -> dict[str, Any]:
    """Train once, and read the test part once."""
    training, validation, test = parts
    started = time.perf_counter()
    run: Any = train(
        training, out, validation=str(validation), horizon=horizon, seed=seed, **SHARED, **SETTINGS[setting]
    )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "table": run.evaluate(test)["table"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)))
    parser.add_argument("--only", choices=[*SETTINGS], help="one setting; both by default")
    parser.add_argument("--horizons", type=int, nargs="+", default=[24, 96])
    parser.add_argument("--seed", type=int, default=1, help="the first of --seeds seeds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, torch {version('torch')}, {os.cpu_count()} cores, one thread")
    print(f"{'':13} {'H':>3} {'method':15} {'MSE':>6} {'':17} {'MAE':>6} {'':17} seconds")
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = write_parts(arguments.data / "ett" / "ETTh1.csv", folder)
        for setting in [arguments.only] if arguments.only else SETTINGS:
            for horizon in arguments.horizons:
                seeds = range(arguments.seed, arguments.seed + arguments.seeds)
                runs = [
                    measure(parts, setting, horizon, seed, folder / f"{setting}-{horizon}-{seed}")
                    for seed in seeds
                ]
                found.append({"setting": setting, "horizon": horizon, "runs": runs})
                for method in runs[0]["table"]:
                    print(_line(setting, horizon, method, runs), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def _line(setting: str, horizon: int, method: str, runs: list[dict[str, Any]]) -> str:
    cells = []
    for metric in METRICS:
        values = [run["table"][method][metric] for run in runs]
        spread = f"({min(values):.4f} to {max(values):.4f})" if max(values) > min(values) else ""
        cells.append(f"{np.mean(values):.4f} {spread:18}")
    seconds = f"{np.mean([run['seconds'] for run in runs]):.0f}" if method == "forecaster" else ""
    return f"{setting:13} {horizon:3} {method:15} {' '.join(cells)} {seconds}"


if __name__ == "__main__":
    main()
