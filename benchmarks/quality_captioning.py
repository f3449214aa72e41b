"""Quality of captions on Flickr8k, official split, from features of the whole image.

Writes the data in the product's own format (metadata.csv and features.npz) into a temporary folder, trains
and measures with the product's own commands, and prints the figures beside the published ones. No image is
read: the features are MobileNetV2's last mean, of 224-pixel images, as they lie in the data set's folder.

Captions are in lower case, apostrophes fall away, all other punctuation separates words; the references are
treated alike. Everything was chosen on the development split: see CHOSEN.

    python benchmarks/quality_captioning.py
    python benchmarks/quality_captioning.py --epochs 2 --keep runs/flickr8k
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

import numpy as np

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Options by the development split: the size by the loss; then how captions are searched for, by BLEU-1.
CHOSEN = {
    "minimum-count": 5,
    "hidden": 384,
    "batch": 128,
    "learning-rate": 2e-3,
    "epochs": 12,
    "precision": "auto",
    "feature-dropout": 0.5,
    "beam": 30,
    "length-penalty": 0,
    "word-reward": 1.2,
    "rewarded-length": 10,
}

# Percent; the first three of each from the papers' tables for Flickr8k, "-" where none is given.
PUBLISHED = (
    ("Karpathy and Fei-Fei 2015, BRNN", "57.9", "38.3", "24.5", "16.0"),
    ("Vinyals et al. 2015, NIC", "63", "41", "27", "-"),
    ("Xu et al. 2015, soft attention", "67", "44.8", "29.9", "19.5"),
    ("Xu et al. 2015, hard attention", "67", "45.7", "31.4", "21.3"),
)


def write_data(flickr: Path, folder: Path) -> None:
    """metadata.csv with the official split, and features.npz."""
    splits = {
        name: split
        for split, file in (("train", "train.txt"), ("validation", "dev.txt"), ("test", "test.txt"))
        for name in (flickr / file).read_text().split()
    }
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption", "split"])
        for line in (flickr / "captions.txt").read_text(encoding="utf-8").splitlines()[1:]:
            name, caption = line.split(",", 1)
            if name in splits:
                table.writerow([name, caption, splits[name]])
    with np.load(flickr / "mnv2_pooled1280_u8.npz") as packed:
        features = (6 * (packed["u8"].astype(np.float32) / 255) ** 2).astype(np.float16)
        np.savez(folder / "features.npz", names=packed["names"], features=features)


def throughtime(*arguments: object) -> str:
    """Run a command as a user does; its output."""
    program = "from throughtime.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)),
        help="folder of data sets, with flickr8k in it",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=CHOSEN["epochs"])
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to PyTorch")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep data and run here")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("options", nargs="*", help="more options of `throughtime train`, behind --")
    arguments = parser.parse_args()
    flickr = arguments.data / "flickr8k"
    if not flickr.is_dir():
        parser.error(f"{flickr}: no such folder (set THROUGHTIME_DATA to where the data sets are)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_data(flickr, folder)
        options = {**CHOSEN, "epochs": arguments.epochs, "seed": arguments.seed, "threads": arguments.threads}
        flags = ["--consensus", *(part for name, value in options.items() for part in (f"--{name}", value))]
        begin = time.perf_counter()
        throughtime(
            "train",
            folder,
            "--task",
            "captioner",
            "--image-features",
            folder / "features.npz",
            "--out",
            folder / "run",
            "--no-tensorboard",
            *flags,
            *arguments.options,
        )
        training = time.perf_counter() - begin
        begin = time.perf_counter()
        figures = json.loads(throughtime("eval", folder / "run", folder, "--json"))
        evaluation = time.perf_counter() - begin
    report(figures, arguments.seed, training, evaluation)
    if arguments.json:
        facts = {**figures, "seed": arguments.seed, "training_seconds": training}
        arguments.json.write_text(json.dumps(facts, indent=1))


def report(figures: dict, seed: int, training: float, evaluation: float) -> None:
    """Print the table."""
    print(
        f"Flickr8k test, {figures['images']} images, {figures['references']} references, seed {seed}; "
        f"trained in {training:.0f} s, test captions in {evaluation:.0f} s; torch {version('torch')}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    print(f"{'':36}BLEU-1  BLEU-2  BLEU-3  BLEU-4  ROUGE-L  CIDEr-D")
    bleu = "".join(f"{figures[f'bleu{order}']:8.1f}" for order in range(1, 5))
    print(f"{'Throughtime':34}{bleu}{figures['rouge_l']:9.1f}{figures['cider_d']:9.2f}")
    for name, *scores in PUBLISHED:
        print(f"{name:34}" + "".join(f"{score:>8}" for score in scores))


if __name__ == "__main__":
    main()
