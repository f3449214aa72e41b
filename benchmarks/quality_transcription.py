"""Spoken digits in a row: written down by CTC, and found in a stream, by the product's commands.

FSDD's recordings of single digits (8 kHz, 6 speakers) are joined to longer sounds as this program runs. A
recording is in one part only: those with the indices 0 to 4 are for testing (the official split), 5 to 9 for
validation, 10 to 49 for training. So all test sounds are of unseen recordings; their speakers are known.

strings   2 to 6 digits of one speaker with 0.05 to 0.3 s of silence before each, and faint noise. The text is
          "three one four". Character and word error rates on 300 test sounds, by the best path and by a beam.
stream    8 s of noise with digits of any speaker in it, 0.2 to 1.2 s apart. The noise is white, 5 to 20 dB
          below the digits. A label every 0.01 s: the digit, or background. The baseline (--cell none) is a
          feed-forward network of about as many weights that sees one frame at a time.

The weights are those that were best on the validation sounds; the test sounds are read once. The figures are
given for each seed, which draws the weights and the order; the sounds are the same for all.

    python benchmarks/quality_transcription.py strings --seeds 1 2 3
    python benchmarks/quality_transcription.py stream --seeds 1 2 3 --json stream.json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.audio import write_sound

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000
PARTS = {"train": (10, 49), "validation": (5, 9), "test": (0, 4)}
STRINGS = {"train": 1500, "validation": 150, "test": 300}
STREAMS = {"train": 240, "validation": 20, "test": 40}
STREAM_SECONDS = 8.0

STRING_OPTIONS = {"layers": 1, "epochs": 14}
STREAM_OPTIONS = {"epochs": 20, "hidden": 96}
STREAM_MODELS: dict[str, dict[str, Any]] = {
    "one frame at a time": {"cell": "none"},
    "GRU, online": {"cell": "gru"},
    "GRU, both ways": {"cell": "gru", "bidirectional": True},
}
BEAM = 8


class Digits:
    """The recordings of a part.

    Args:
        data: the folder of data sets.
        part: "train", "validation" or "test".
    """

    def __init__(self, data: Path, part: str) -> None:
        with np.load(data / "fsdd" / "fsdd.npz") as found:
            audio, ends = found["audio"], found["offsets"]
            first, last = PARTS[part]
            wanted = np.flatnonzero((first <= found["index"]) & (found["index"] <= last))
            self.label, self.speaker = found["label"][wanted], found["speaker"][wanted]
            self.samples = [audio[ends[one] : ends[one + 1]] / 32768 for one in wanted]

    def draw(self, generator: np.random.Generator, count: int, speaker: str | None = None) -> list[int]:
        """The numbers of some recordings."""
        own = np.arange(len(self.samples)) if speaker is None else np.flatnonzero(self.speaker == speaker)
        return [int(one) for one in generator.choice(own, size=count)]


def write_strings(data: Path, folder: Path) -> None:
    """strings: a folder with a split column."""
    rows: list[tuple[Any, ...]] = [("file_name", "text", "split")]
    for part, count in STRINGS.items():
        digits, generator = Digits(data, part), np.random.default_rng([1, count])
        for number in range(count):
            speaker = str(generator.choice(np.unique(digits.speaker)))
            chosen = digits.draw(generator, int(generator.integers(2, 7)), speaker)
            pieces: list[NDArray[np.floating]] = []
            for one in chosen:
                pieces += [np.zeros(int(RATE * generator.uniform(0.05, 0.3))), digits.samples[one]]
            samples = np.concatenate([*pieces, np.zeros(RATE // 10)])
            samples += 0.001 * generator.standard_normal(len(samples))
            name = f"{part}-{number:04}.wav"
            write_sound(folder / name, samples.clip(-1, 1), RATE)
            rows.append((name, " ".join(WORDS[digits.label[one]] for one in chosen), part))
    write_table(folder, rows)


def write_streams(data: Path, folder: Path) -> None:
    """stream: a folder with a row for each digit."""
    rows: list[tuple[Any, ...]] = [("file_name", "start", "end", "label", "split")]
    for part, count in STREAMS.items():
        digits, generator = Digits(data, part), np.random.default_rng([2, count])
        for number in range(count):
            samples, place = np.zeros(int(RATE * STREAM_SECONDS)), RATE * generator.uniform(0.2, 1.2)
            name = f"{part}-{number:04}.wav"
            while True:
                (one,) = digits.draw(generator, 1)
                start, end = int(place), int(place) + len(digits.samples[one])
                if end > len(samples) - RATE // 5:
                    break
                samples[start:end] = 0.3 * digits.samples[one] / np.abs(digits.samples[one]).max()
                rows.append((name, start / RATE, end / RATE, WORDS[digits.label[one]], part))
                place = end + RATE * generator.uniform(0.2, 1.2)
            loudness = np.sqrt(np.mean(samples[samples != 0] ** 2))
            noise = loudness * 10 ** (-generator.uniform(5, 20) / 20)
            samples += noise * generator.standard_normal(len(samples))
            write_sound(folder / name, samples.clip(-1, 1), RATE)
    write_table(folder, rows)


def write_table(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    """metadata.csv."""
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def throughtime(*arguments: object) -> tuple[dict[str, Any], float]:
    """Run a command as a user does; what it says as JSON, and the seconds of processor time."""
    program = "from throughtime.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(found), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def train(source: Path, out: Path, seed: int, options: dict[str, Any]) -> tuple[float, float]:
    """The best validation score, and the seconds of processor time."""
    flags: list[object] = []
    for name, value in options.items():
        flags += [f"--{name}"] if value is True else [f"--{name}", value]
    said, seconds = throughtime("train", source, "--out", out, "--seed", seed, "--quiet", *flags)
    return next(value for name, value in said.items() if name.startswith("best_val")), seconds


def strings(folder: Path, seed: int) -> list[dict[str, Any]]:
    """The figures of a seed, by the best path and by a beam."""
    out = folder.parent / f"strings-{seed}"
    validation, seconds = train(folder, out, seed, STRING_OPTIONS)
    rows = []
    for beam in (1, BEAM):
        test, _ = throughtime("eval", out, folder, "--beam", beam)
        kept = {name: test[name] for name in ("recordings", "loss", "cer", "wer", "right")}
        what = {"model": f"beam {beam}", "seed": seed, "validation cer": validation}
        rows.append({**what, **kept, "processor s": round(seconds)})
    return rows


def stream(folder: Path, seed: int) -> list[dict[str, Any]]:
    """The figures of a seed, for each model."""
    rows = []
    for model, options in STREAM_MODELS.items():
        out = folder.parent / f"stream-{seed}-{model.replace(' ', '-')}"
        validation, seconds = train(folder, out, seed, {**STREAM_OPTIONS, **options})
        test, _ = throughtime("eval", out, folder)
        kept = {name: test[name] for name in ("accuracy", "macro_f1", "edit", "f1@10", "f1@50")}
        what = {"model": model, "seed": seed, "validation loss": validation}
        rows.append({**what, **kept, "processor s": round(seconds)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("strings", "stream"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA)))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--json", type=Path, help="write the figures there")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"Python {platform.python_version()}, torch {version('torch')}, {os.cpu_count()} cores", flush=True)
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        (write_strings if chosen.what == "strings" else write_streams)(chosen.data, folder)
        for seed in chosen.seeds:
            for row in (strings if chosen.what == "strings" else stream)(folder, seed):
                figures.append(row)
                shown = {key: round(one, 4) if isinstance(one, float) else one for key, one in row.items()}
                print(json.dumps(shown), flush=True)
                if chosen.json is not None:
                    chosen.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
