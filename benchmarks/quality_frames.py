"""A label for every frame on two public data sets: recurrence against single frames, in the same table.

Each data set is written in the format that `throughtime train` reads, in a temporary folder, and trained on
as `throughtime train` does, three times with the same options: a feed-forward network that sees one
frame at a time and is as large as the LSTM (--cell none), an LSTM that runs as a stream (online), and one
that reads from both ends (offline). The weights are those with the lowest loss on the validation clips; the
test clips are read once, as `throughtime eval` does.

gesture   UCI Gesture Phase Segmentation (Madeo, Wagner and Peres 2014): 7 videos of 3 people, 5 phases. Leave
          one video out: each is the test clip once; the next one of another person is for validation, so
          that the test clip's person is among the five for training. The figures are means over the 7. A
          frame has 47 features, the same for all three models: the positions of hands, wrists and head from
          the spine, in units of the distance from head to spine, and the 32 velocities and accelerations
          that the data set brings (*_va3.csv, which begins 4 frames later). With the velocities, the
          baseline sees a few frames back as well.
hapt      HAPT (Reyes-Ortiz et al. 2015), raw signals: 61 recordings of 30 people with a phone at the waist,
          12 activities and postural transitions; the official 21 and 9 people for training and test, of
          the 21 the last four for validation. 50 Hz are more steps than the task needs: a frame is 0.2
          seconds, 10 samples, of which mean, standard deviation, minimum and maximum of the 6 channels are
          the 24 features, for all three models. Its label is the most frequent of the 10; unlabelled stays
          so, and counts nowhere.

All figures are means over the seeds --seed, --seed + 1, ... (--seeds of them); seconds are all trainings of a
line together.

    python benchmarks/quality_frames.py
    python benchmarks/quality_frames.py --only hapt --seed 2 --json frames.json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.run.history import read_metrics
from throughtime.training import train

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VIDEOS = ("a1", "a2", "a3", "b1", "b3", "c1", "c3")
PHASES = {"D": "rest", "P": "preparation", "S": "stroke", "H": "hold", "R": "retraction"}
SAMPLES_A_FRAME = 10

MODELS: dict[str, dict[str, Any]] = {
    "one frame at a time": {"cell": "none"},
    "LSTM, online": {},
    "LSTM, offline": {"bidirectional": True},
}
# Chosen from a few by the validation loss of the online LSTM; the same for all three models.
GESTURE_OPTIONS: dict[str, Any] = {
    "hidden": 64,
    "epochs": 10,
    "batch": 5,
    "chunk": 64,
    "learning_rate": 2e-3,
    "weight_decay": 0.1,
    "input_dropout": 0.4,
    "output_dropout": 0.5,
}
HAPT_OPTIONS: dict[str, Any] = {
    "hidden": 128,
    "epochs": 12,
    "batch": 8,
    "chunk": 128,
    "input_dropout": 0.2,
    "output_dropout": 0.4,
}
OPTIONS = {"gesture": GESTURE_OPTIONS, "hapt": HAPT_OPTIONS}
SCORES = ("accuracy", "macro_f1", "edit", "f1@10", "f1@25", "f1@50")


def read_numbers(path: Path, columns: int) -> tuple[np.ndarray, list[str]]:
    """A table of the gesture data: its first columns as numbers, and the last one."""
    # Lines end with CR, CR LF or LF, one file begins with a byte order mark.
    with path.open(encoding="utf-8-sig", newline=None) as file:
        rows = [row for row in csv.reader(file) if row][1:]
    return np.array([[float(cell) for cell in row[:columns]] for row in rows]), [row[-1] for row in rows]


def gesture_features(data: Path, video: str) -> tuple[np.ndarray, list[str]]:
    """The 47 features of a video's frames, and their phases."""
    places, _ = read_numbers(data / "gesture_phase" / f"{video}_raw.csv", 18)
    motion, phases = read_numbers(data / "gesture_phase" / f"{video}_va3.csv", 32)
    places = places[len(places) - len(motion) :]
    head, spine = places[:, 6:9], places[:, 9:12]
    unit = np.linalg.norm(head - spine, axis=1, keepdims=True)
    others = [places[:, first : first + 3] for first in (0, 3, 6, 12, 15)]
    return np.hstack([*((one - spine) / unit for one in others), motion]), [PHASES[p] for p in phases]


def write_gesture(data: Path, folder: Path) -> dict[str, Path]:
    """One folder a fold, by its test video."""
    clips = {video: gesture_features(data, video) for video in VIDEOS}
    folds = {}
    for index, test in enumerate(VIDEOS):
        fold = folds[test] = folder / test
        parts: dict[str, str] = dict.fromkeys(VIDEOS, "train")
        later = [*VIDEOS[index:], *VIDEOS[:index]]
        parts[next(video for video in later if video[0] != test[0])] = "validation"
        parts[test] = "test"
        write_clips(fold, [(video, *clips[video], parts[video]) for video in VIDEOS])
    return folds


def write_hapt(data: Path, folder: Path) -> Path:
    """All recordings, with their people's split."""
    people = {
        line.split()[0]: [int(number) for number in line.split()[1:]]
        for line in (data / "hapt_har" / "subjects_split.txt").read_text().splitlines()
    }
    names = {0: ""}
    for line in (data / "hapt_har" / "activity_labels.txt").read_text().splitlines():
        number, name = line.split()
        names[int(number)] = name.lower().replace("_", " ")
    recordings = np.load(data / "hapt_har" / "hapt_raw.npz")
    clips = []
    for key in sorted(name.removesuffix(".x") for name in recordings.files if name.endswith(".x")):
        person = int(key.rpartition("user")[2])
        part = "test" if person in people["test"] else "train"
        if person in people["train"][-4:]:
            part = "validation"
        signal, labels = recordings[f"{key}.x"].astype(np.float64), recordings[f"{key}.y"]
        count = len(signal) // SAMPLES_A_FRAME
        frames = signal[: count * SAMPLES_A_FRAME].reshape(count, SAMPLES_A_FRAME, -1)
        features = np.hstack([frames.mean(1), frames.std(1), frames.min(1), frames.max(1)])
        majority = [
            names[int(np.bincount(one).argmax())]
            for one in labels[: count * SAMPLES_A_FRAME].reshape(count, SAMPLES_A_FRAME)
        ]
        clips.append((key, features, majority, part))
    write_clips(folder, clips)
    return folder


def write_clips(folder: Path, clips: list[tuple[str, np.ndarray, list[str], str]]) -> None:
    """Arrays, a label a frame, and the metadata that lists them."""
    folder.mkdir(parents=True)
    lines = ["file_name,labels,split"]
    for name, features, labels, part in clips:
        np.save(folder / f"{name}.npy", features.astype(np.float32))
        (folder / f"{name}.txt").write_text("".join(f"{label}\n" for label in labels))
        lines.append(f"{name}.npy,{name}.txt,{part}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def measure(source: Path, run: Path, options: dict[str, Any]) -> dict[str, float]:
    """Train as `throughtime train` does, then measure on the test clips as `throughtime eval` does."""
    begin = time.perf_counter()
    trained = train(source, out=run, task="tagger", tensorboard=False, **options)
    seconds = time.perf_counter() - begin
    scores = trained.evaluate(source)
    best = min(entry["val_loss"] for entry in read_metrics(run) if "val_loss" in entry)
    return {
        **{name: scores[name] for name in SCORES},
        "frames": scores["frames"],
        "seconds": seconds,
        "validation_loss": best,
    }


def mean_of(results: list[dict[str, float]]) -> dict[str, float]:
    """Means over trainings; their seconds are summed."""
    return {
        name: float((np.sum if name == "seconds" else np.mean)([result[name] for result in results]))
        for name in results[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("THROUGHTIME_DATA", DEFAULT_DATA))
    parser.add_argument("--data", type=Path, default=data, help="the folder with gesture_phase and hapt_har")
    parser.add_argument("--only", choices=["gesture", "hapt"], help="one of the two")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, help="keep the data and the runs in this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(
            f"{arguments.data}: no such folder (set THROUGHTIME_DATA to where the data sets are)"
        )

    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.runs or Path(temporary)
        sources: dict[str, dict[str, Path]] = {}
        if arguments.only != "hapt":
            sources["gesture"] = write_gesture(arguments.data, folder / "gesture")
        if arguments.only != "gesture":
            sources["hapt"] = {"official": write_hapt(arguments.data, folder / "hapt")}
        for data, splits in sources.items():
            for number, (model, options) in enumerate(MODELS.items()):
                results = {}
                for seed in seeds:
                    wanted = {**OPTIONS[data], **options, "seed": seed, "threads": arguments.threads}
                    for split, source in splits.items():
                        run = folder / f"{data}-{number}-{seed}-{split}"
                        results[f"seed {seed}, {split}"] = measure(source, run, wanted)
                mean = mean_of(list(results.values()))
                figures.setdefault(data, {})[model] = {**mean, "trainings": results}
                print_row(data, model, mean)
    print(
        f"seeds {', '.join(map(str, seeds))}; {arguments.threads} threads, torch {version('torch')}, "
        f"Python {platform.python_version()}, {platform.machine()}\n"
        + "\n".join(f"{data}: throughtime train FOLDER {as_flags(OPTIONS[data])}" for data in figures)
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"seeds": list(seeds), "figures": figures}, indent=1))


_printed: list[str] = []


def as_flags(options: dict[str, Any]) -> str:
    """Options as they are typed."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())


def print_row(data: str, model: str, result: dict[str, float]) -> None:
    """A line of the table, with its header before the first."""
    if not _printed:
        heads = " ".join(f"{name:>8}" for name in ("accuracy", "macro F1", "edit", "F1@10", "F1@25", "F1@50"))
        print(f"{'data':8} {'model':20} {heads} {'seconds':>8}")
    _printed.append(model)
    values = " ".join(f"{100 * result[name]:8.1f}" for name in SCORES)
    print(f"{data:8} {model:20} {values} {result['seconds']:8.0f}", flush=True)


if __name__ == "__main__":
    main()
