"""Translation quality: Multi30k, English to German, trained and scored with the product's own commands.

Trains on train, keeps the weights that are best on val, and scores test_2016_flickr once: sacreBLEU (13a,
cased, untouched text). The options below were chosen on val.

    python benchmarks/quality_translation.py
    python benchmarks/quality_translation.py --data /elsewhere/data --out runs/multi30k --json figures.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OPTIONS = {
    "vocabulary": 6000,
    "cell": "gru",
    "hidden": 512,
    "embedding": 256,
    "precision": "auto",
    "epochs": 12,
}
GOAL = 33.0
PUBLISHED = "attention GRUs of the literature: 36 to 38 (tokenised text)"


def throughtime(*arguments: str, capture: bool = False) -> str:
    """Run a command as a user would; its progress goes to the terminal."""
    command = [sys.executable, "-c", "from throughtime.cli import main; main()", *arguments]
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE if capture else sys.stderr)
    return result.stdout or ""


def versions() -> dict[str, str]:
    import sacrebleu
    import tokenizers
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "tokenizers": tokenizers.__version__,
        "sacrebleu": sacrebleu.__version__,
    }


def train_command(data: Path, out: Path, seed: int, threads: int) -> list[str]:
    """The command that trains the model, as a user types it."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    return [
        "train",
        str(data / "train.en.gz"),
        f"--target={data / 'train.de.gz'}",
        f"--validation={data / 'val.en.gz'}",
        f"--validation-target={data / 'val.de.gz'}",
        "--shared-vocabulary",
        *flags,
        f"--seed={seed}",
        f"--threads={threads}",
        f"--out={out}",
    ]


def score(run: Path, data: Path, name: str) -> dict[str, Any]:
    """The figures of `throughtime eval` on one of the sets."""
    target = f"--target={data / f'{name}.de.gz'}"
    return json.loads(
        throughtime("eval", str(run), str(data / f"{name}.en.gz"), target, "--json", capture=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)),
        help="the folder that holds multi30k/",
    )
    parser.add_argument(
        "--out", type=Path, help="keep the run here; one that is there already is only scored"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="more than one pays only where cores are free")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    data = arguments.data / "multi30k"
    if not (data / "train.en.gz").exists():
        parser.error(f"{data / 'train.en.gz'} is missing: say with --data where the data sets are")

    with tempfile.TemporaryDirectory() as temporary:
        run = arguments.out or Path(temporary) / "run"
        command = train_command(data, run, arguments.seed, arguments.threads)
        print(f"throughtime {' '.join(command)}", file=sys.stderr)
        begin = time.perf_counter()
        if not (run / "model.safetensors").exists():
            throughtime(*command)
        seconds = time.perf_counter() - begin
        figures = {name: score(run, data, name) for name in ("val", "test_2016_flickr")}
        trained = json.loads(throughtime("info", str(run), "--json", capture=True))

    found = versions()
    print(
        f"Multi30k en->de, seed {arguments.seed}, {trained['parameters']:,} parameters, trained in "
        f"{trained['seconds']:.0f} s ({seconds:.0f} s with preparation), {arguments.threads} thread(s); "
        + ", ".join(f"{name} {version}" for name, version in found.items())
    )
    print(f"{'set':18} {'BLEU':>6} {'chrF':>6} {'loss':>7} {'seconds':>8}")
    for name, row in figures.items():
        print(f"{name:18} {row['bleu']:6.2f} {row['chrf']:6.2f} {row['loss']:7.4f} {row['seconds']:8.1f}")
    print(f"goal on test_2016_flickr: {GOAL:g} BLEU; {PUBLISHED}")
    print(figures["test_2016_flickr"]["bleu_signature"])
    if arguments.json:
        report = {
            "figures": figures,
            "seed": arguments.seed,
            "training_seconds": trained["seconds"],
            "options": OPTIONS,
            "versions": found,
        }
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
