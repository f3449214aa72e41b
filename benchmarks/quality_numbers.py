"""Several labels at once, and numbers, on public data: the product's own commands, from files to figures.

jsb       JSB chorales (Boulanger-Lewandowski, Bengio and Vincent 2012): 382 pieces as piano rolls, (T, 88) of
          0 and 1, in the field's split of 229, 76 and 77 pieces. A frame's keys are predicted from all frames
          before it: inputs are the frames 0 to T - 2, labels the frames 1 to T - 1, as in the code of Bai,
          Kolter and Koltun 2018 (TCN), whose files these are. The figure is the negative log-likelihood in
          nats, summed over the 88 keys, mean over the frames of all pieces together. The network has about
          20,000 weights, as those of Chung, Gulcehre, Cho and Bengio 2014 have, whose figures stand beside.
sst       Stanford Sentiment Treebank (Socher et al. 2013), whole sentences: 8,544, 1,101 and 2,210 of them,
          each with a score from 0, very negative, to 4, very positive, as a number. Beside it the training's
          mean, and a ridge regression on the counts of the words that occur twice or more, whose penalty is
          chosen on the validation part.

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
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PARTS = {"train": "traindata", "validation": "validdata", "test": "testdata"}
# The folder of each set in the data folder.
FOLDERS = {"jsb": "jsb", "sst": "sentiment_en"}

OPTIONS: dict[str, list[str]] = {
    # A GRU of 46 units, as theirs. Chosen from some twenty settings by the validation loss of one seed.
    "jsb": [
        *("--cell", "gru", "--hidden", "46", "--epochs", "60", "--batch", "4", "--chunk", "0"),
        *("--learning-rate", "0.005", "--weight-decay", "0.1"),
        *("--zoneout", "0.05", "--input-dropout", "0.1", "--output-dropout", "0"),
    ],
    # Not searched for: the classifier's defaults with words as tokens and smaller layers.
    "sst": [
        *("--target", "number", "--label-column", "score", "--tokenizer", "word", "--hidden", "64"),
        *("--embedding", "100", "--epochs", "6", "--learning-rate", "0.002"),
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


def write_sst(source: Path, target: Path) -> dict[str, Path]:
    """A table of text and score for each part."""
    files = {}
    for part, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        lines = (source / f"stsa.fine.{name}").read_text(encoding="latin-1").splitlines()
        rows = [(text, score) for score, text in (line.split(" ", 1) for line in lines)]
        files[part] = target / f"sst_{part}.csv"
        write_table(files[part], ["text", "score"], rows)
    return files


def write_table(path: Path, header: list[str], rows: list[tuple[str, ...]]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def ridge(files: dict[str, Path]) -> dict[str, float]:
    """RMSE and MAE of ridge regression on the counts of words."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    texts, scores = {}, {}
    for part, path in files.items():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        texts[part] = [row["text"].lower().split() for row in rows]
        scores[part] = np.array([float(row["score"]) for row in rows])
    counts = Counter(word for text in texts["train"] for word in text)
    numbers = {word: number for number, word in enumerate(word for word in counts if counts[word] > 1)}

    def matrix(part: str) -> Any:
        places = [
            (row, numbers[word]) for row, text in enumerate(texts[part]) for word in text if word in numbers
        ]
        ones = np.ones(len(places))
        return csr_matrix((ones, np.array(places).T), shape=(len(texts[part]), len(numbers)))

    inputs = {part: matrix(part) for part in files}
    middle = scores["train"].mean()

    def errors(weights: np.ndarray, part: str) -> np.ndarray:
        return scores[part] - (inputs[part] @ weights + middle)

    fits = [
        lsqr(inputs["train"], scores["train"] - middle, damp=np.sqrt(penalty), iter_lim=500)[0]
        for penalty in (1, 3, 10, 30, 100, 300)
    ]
    best = min(fits, key=lambda weights: float((errors(weights, "validation") ** 2).mean()))
    found = errors(best, "test")
    spread = ((scores["test"] - scores["test"].mean()) ** 2).mean()
    return {
        "rmse": float(np.sqrt((found**2).mean())),
        "mae": float(np.abs(found).mean()),
        "r2": float(1 - (found**2).mean() / spread),
    }


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
    files = (write_jsb if name == "jsb" else write_sst)(source, target)
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
    if name == "sst" and look:
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
        source = arguments.data / FOLDERS[name]
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
