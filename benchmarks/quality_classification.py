"""Quality of classifiers on public data sets: the product's own commands, from files to test accuracy.

Each set is written in the format that users have, trained with `throughtime train` and measured with
`throughtime eval` on the official test split. Options and epochs were chosen on validation data, never on a
test split. Sets whose folder is absent are left out, with a line that says so.

    python benchmarks/quality_classification.py
    python benchmarks/quality_classification.py --defaults --seed 2
    python benchmarks/quality_classification.py --only sst2 fsdd --json figures.json
    THROUGHTIME_DATA=~/data python benchmarks/quality_classification.py --keep runs/quality
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from throughtime.data.audio import LogMel

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Written:
    """A data set in the on-disk format.

    Args:
        training, test: tables or folders.
        validation: likewise; None holds a share of training out.
    """

    training: Path
    test: Path
    validation: Path | None = None


@dataclass(frozen=True)
class Benchmark:
    """One data set, how it is written, how it is trained, and what others reached.

    Args:
        what: the data and the split.
        source: the folder in the data folder.
        write: (source, target) -> what was written.
        options: of `throughtime train`.
        goal: the accuracy to reach; None where it is only reported.
        published: others' figures.
    """

    what: str
    source: str
    write: Callable[[Path, Path], Written]
    options: list[str]
    goal: float | None
    published: str


def write_table(path: Path, header: list[str], rows: Iterable[Iterable[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_sst2(source: Path, target: Path) -> Written:
    """SST-2, whole sentences: a label, a space, the sentence."""

    def table(split: str) -> Path:
        lines = (source / f"stsa.binary.{split}").read_text(encoding="latin-1").splitlines()
        rows = (
            (text, ("negative", "positive")[int(label)]) for label, text in (l.split(" ", 1) for l in lines)
        )
        return write_table(target / f"{split}.csv", ["text", "label"], rows)

    return Written(table("train"), table("test"), table("dev"))


def write_nsmc(source: Path, target: Path) -> Written:
    """Naver movie reviews: id, document, label, by tabs."""

    def table(split: str) -> Path:
        with gzip.open(source / f"ratings_{split}.txt.gz", "rt", encoding="utf-8") as file:
            next(file)
            fields = (line.rstrip("\n").split("\t") for line in file)
            rows = [(text, ("negative", "positive")[int(label)]) for _, text, label in fields]
        return write_table(target / f"{split}.csv", ["text", "label"], rows)

    return Written(table("train"), table("test"))


def read_fsdd(source: Path) -> Iterable[tuple[str, np.ndarray, int, bool]]:
    """Spoken digits: name, samples in [-1, 1], digit, whether it is for the test (indices 0 to 4)."""
    with np.load(source / "fsdd.npz") as data:
        audio, offsets = data["audio"], data["offsets"]
        for number, (digit, speaker, index) in enumerate(
            zip(data["label"], data["speaker"], data["index"], strict=True)
        ):
            samples = audio[offsets[number] : offsets[number + 1]].astype(np.float32) / 32768
            yield f"{digit}_{speaker}_{index}", samples, int(digit), int(index) <= 4


def write_fsdd(source: Path, target: Path) -> Written:
    """A folder of wav files for each split."""
    import soundfile

    rows: dict[bool, list[tuple[str, int]]] = {False: [], True: []}
    for is_test, folder in ((False, "train"), (True, "test")):
        (target / folder).mkdir(parents=True)
        for name, samples, digit, in_test in read_fsdd(source):
            if in_test == is_test:
                soundfile.write(target / folder / f"{name}.wav", samples, 8000, subtype="PCM_16")
                rows[is_test].append((f"{name}.wav", digit))
        write_table(target / folder / "metadata.csv", ["file_name", "label"], rows[is_test])
    return Written(target / "train", target / "test")


def write_fsdd_means(source: Path, target: Path) -> Written:
    """The same sounds without time: the mean log-mel frame as a vector."""
    log_mel = LogMel(8000)
    header = [*(f"mel_{band}" for band in range(log_mel.bands)), "label"]
    rows: dict[bool, list[list[object]]] = {False: [], True: []}
    for _, samples, digit, is_test in read_fsdd(source):
        rows[is_test].append([*log_mel(samples).mean(0).tolist(), digit])
    return Written(
        write_table(target / "train.csv", header, rows[False]),
        write_table(target / "test.csv", header, rows[True]),
    )


def write_ucr(name: str) -> Callable[[Path, Path], Written]:
    """A set of the UCR/UEA archive: .ts lines with dimensions between colons and the class at the end."""

    def write(source: Path, target: Path) -> Written:
        folders = []
        for split in ("TRAIN", "TEST"):
            folder = target / split.lower()
            rows = []
            text = (source / name / f"{name}_{split}.ts").read_text(encoding="utf-8")
            for number, line in enumerate(text[text.index("@data") :].splitlines()[1:]):
                *dimensions, label = line.split(":")
                steps = zip(*(dimension.split(",") for dimension in dimensions), strict=True)
                header = [f"x{dimension}" for dimension in range(len(dimensions))]
                write_table(folder / f"{number}.csv", header, steps)
                rows.append((f"{number}.csv", label))
            write_table(folder / "metadata.csv", ["file_name", "label"], rows)
            folders.append(folder)
        return Written(*folders)

    return write


BENCHMARKS: dict[str, Benchmark] = {
    "sst2": Benchmark(
        "SST-2, whole sentences only; chosen on dev",
        "sentiment_en",
        write_sst2,
        ["--tokenizer", "word", "--epochs", "4", "--members", "5"],
        0.80,
        "LSTM 84.9, trained on all phrases as well (Tai et al. 2015)",
    ),
    "nsmc": Benchmark(
        "NSMC, Korean film reviews, official split",
        "nsmc",
        write_nsmc,
        [
            "--skip-bad",
            "--epochs",
            "4",
            "--batch",
            "128",
            "--vocabulary",
            "8000",
            "--input-dropout",
            "0.3",
            "--word-dropout",
            "0.1",
        ],
        0.86,
        "LSTM and CNN 84 to 87, multilingual BERT 87.5 (recalled, not looked up)",
    ),
    "fsdd": Benchmark(
        "FSDD spoken digits, official split, log-mel frames",
        "fsdd",
        write_fsdd,
        ["--epochs", "20"],
        0.97,
        "CNN and RNN 97 to 99 (recalled, not looked up)",
    ),
    "fsdd-vectors": Benchmark(
        "FSDD, the mean frame as a vector, no recurrence",
        "fsdd",
        write_fsdd_means,
        ["--epochs", "60", "--cell", "none", "--layers", "2", "--output-dropout", "0.2"],
        None,
        "the baseline of the row above",
    ),
    "japanese-vowels": Benchmark(
        "UCI Japanese Vowels, 9 speakers, 7 to 29 steps, official split",
        "ucr",
        write_ucr("JapaneseVowels"),
        ["--epochs", "60"],
        None,
        "1-NN DTW 94.9, LSTM-FCN about 99 (recalled, not looked up)",
    ),
    "gunpoint": Benchmark(
        "UCR GunPoint, 50 training sequences of 150 steps, official split",
        "ucr",
        write_ucr("GunPoint"),
        ["--epochs", "60", "--batch", "4", "--learning-rate", "0.005", "--validation-fraction", "0.2"],
        None,
        "1-NN DTW 90.7, FCN 100 (recalled, not looked up)",
    ),
    "arrowhead": Benchmark(
        "UCR ArrowHead, 36 training sequences of 251 steps, official split",
        "ucr",
        write_ucr("ArrowHead"),
        [],
        0.75,
        "1-NN DTW 70.3 (recalled, not looked up)",
    ),
    "basicmotions": Benchmark(
        "UEA BasicMotions, 40 training sequences of 100 steps of 6 features, official split",
        "ucr",
        write_ucr("BasicMotions"),
        [],
        0.97,
        "DTW 97.5 (recalled, not looked up)",
    ),
    "italypower": Benchmark(
        "UCR ItalyPowerDemand, 67 training sequences of 24 steps, official split",
        "ucr",
        write_ucr("ItalyPowerDemand"),
        [],
        0.95,
        "1-NN DTW 95.0 (recalled, not looked up)",
    ),
}
# What has to do well without any option of the user's: a first try must not mislead.
DEFAULT_GOALS = {
    "sst2": 0.795,
    "fsdd": 0.99,
    "gunpoint": 0.95,
    "arrowhead": 0.75,
    "basicmotions": 0.97,
    "italypower": 0.95,
}


def throughtime(*arguments: str | Path) -> str:
    """Run a command of the product; what it prints."""
    command = [sys.executable, "-c", "from throughtime.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout


def measure(benchmark: Benchmark, source: Path, folder: Path, seed: int, threads: int) -> dict[str, object]:
    """Write, train, evaluate."""
    written = benchmark.write(source / benchmark.source, folder / "data")
    options = [*benchmark.options, "--seed", str(seed), "--threads", str(threads), "--json"]
    if written.validation is not None:
        options += ["--validation", str(written.validation)]
    begin = time.perf_counter()
    trained = json.loads(throughtime("train", written.training, "--out", folder / "run", *options))
    seconds = time.perf_counter() - begin
    skip = ["--skip-bad"] if "--skip-bad" in benchmark.options else []
    scores = json.loads(throughtime("eval", folder / "run", written.test, "--json", *skip))
    return {
        "what": benchmark.what,
        "accuracy": scores["accuracy"],
        "macro_f1": scores["macro_f1"],
        "majority": scores["majority"],
        "examples": scores["examples"],
        "left_out": scores["left_out"],
        "seconds": round(seconds, 1),
        "training": trained,
        "goal": benchmark.goal,
        "published": benchmark.published,
        "options": benchmark.options,
        "seed": seed,
    }


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=None)
    parser.add_argument(
        "--defaults", action="store_true", help="train without any option, and hold the result to that goal"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)),
        help="the data sets",
    )
    parser.add_argument("--keep", type=Path, help="keep data and runs in this folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}, Python "
        f"{platform.python_version()}, seed {arguments.seed}"
    )
    print(f"{'set':16} test accuracy  goal  macro F1  majority     test  train s")
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        for name in arguments.only or (DEFAULT_GOALS if arguments.defaults else BENCHMARKS):
            benchmark = BENCHMARKS[name]
            if arguments.defaults:
                benchmark = replace(benchmark, options=[], goal=DEFAULT_GOALS.get(name))
            if not (arguments.data / benchmark.source).is_dir():
                print(f"{name:16} left out: {arguments.data / benchmark.source} is not there (set --data)")
                continue
            found = measure(benchmark, arguments.data, folder / name, arguments.seed, arguments.threads)
            figures[name] = found
            goal = f"{benchmark.goal:5.1%}" if benchmark.goal else "    -"
            scores = f"{found['accuracy']:13.2%} {goal} {found['macro_f1']:9.4f} {found['majority']:9.2%}"
            size = f"{found['examples']:8,} {found['seconds']:8.0f}"
            print(f"{name:16} {scores} {size}  published: {benchmark.published}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
