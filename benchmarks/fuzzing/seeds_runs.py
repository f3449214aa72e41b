"""A run folder of every kind, trained on the seeds for a few steps and left in the middle."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.seeds_files import write

# A training stops so many steps into its second epoch, so that its checkpoint has something left to do.
_STEPS = 3
_SMALL: dict[str, Any] = {
    "epochs": 9,
    "batch": 4,
    "hidden": 5,
    "layers": 1,
    "threads": 1,
    "tensorboard": False,
    "seed": 1,
}


_FEW = {"embedding": 4}
_NARROW = {**_FEW, "image_embedding": 3}
_LANGUAGE_MODEL, _CLASSIFIER, _TAGGER, _CAPTIONER = "language-model", "classifier", "tagger", "captioner"
_FORECASTER, _WORD_TAGGER = "forecaster", "word-tagger"
_RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "text": (_LANGUAGE_MODEL, "text.txt", {**_FEW, "chunk": 6, "learned_initial_state": True}),
    "words": (_LANGUAGE_MODEL, "text.txt", {**_FEW, "chunk": 4, "tokenizer": "word", "cell": "gru"}),
    "bpe": (_LANGUAGE_MODEL, "text.txt", {"embedding": 0, "chunk": 6, "tokenizer": "bpe", "vocabulary": 280}),
    "remarks": (_CLASSIFIER, "remarks.csv", {**_FEW, "tokenizer": "word"}),
    "vectors": (_CLASSIFIER, "vectors.csv", {"cell": "none"}),
    "arrays": (_CLASSIFIER, "arrays", {"pooling": "attention", "members": 2}),
    "sounds": (_CLASSIFIER, "sounds", {"mel_bands": 8, "cell": "gru"}),
    "tagged": (_TAGGER, "tagged", {"chunk": 8, "batch": 2}),
    "clips": (_TAGGER, "clips", {"chunk": 8, "batch": 2, "cell": "gru", "encoder_features": 4}),
    "pairs": ("translator", "pairs.csv", {**_FEW, "hidden": 6, "tokenizer": "character"}),
    "pictures": (
        _CAPTIONER,
        "pictures",
        {**_NARROW, "image_size": 16, "image_input": "attention", "attention_size": 4},
    ),
    "features": (_CAPTIONER, "captions.csv", {**_NARROW, "image_features": "features.npz"}),
    "cnn": (_CAPTIONER, "pictures", {**_NARROW, "image_encoder": "cnn.onnx"}),
    "scores": (_CLASSIFIER, "scores.csv", {**_FEW, "label_column": "score", "target": "number"}),
    "things": (_CLASSIFIER, "things.jsonl", {**_FEW, "tokenizer": "word"}),
    "answers": (
        _CLASSIFIER,
        "answers.csv",
        {**_FEW, "text_column": "question", "second_text": "answer", "static_columns": "age,place"},
    ),
    "hours": (
        _FORECASTER,
        "hours.csv",
        {"columns": "load,price", "known_future": "holiday,kind", "lookback": 12, "horizon": 3},
    ),
    "shops": (
        _FORECASTER,
        "shops.csv",
        {
            **{"series_column": "shop", "value_column": "sales", "static_columns": "region", "lookback": 6},
            **{"horizon": 2, "decoder": "autoregressive", "distribution": "negative-binomial"},
        },
    ),
    "names": (_WORD_TAGGER, "names.conll", {**_FEW, "characters": "cnn", "batch": 2}),
    "marks": (_WORD_TAGGER, "marks.jsonl", {**_FEW, "batch": 2}),
    "parts": (_WORD_TAGGER, "parts.conllu", {**_FEW, "characters": "lstm", "crf": False, "batch": 2}),
    "people": (
        _LANGUAGE_MODEL,
        "people.csv",
        {**_FEW, "lines": True, "text_column": "name", "condition_columns": "country,year"},
    ),
    "visits": (_LANGUAGE_MODEL, "visits.jsonl", {**_FEW, "lines": True}),
    "spoken": ("transcriber", "spoken", {"mel_bands": 8, "batch": 2}),
    "moments": (_TAGGER, "moments", {"mel_bands": 8, "chunk": 8, "batch": 2}),
}


class _Stop(Exception):  # noqa: N818 - not an error: the checkpoint is there
    """Ends a training from its own progress display, after a checkpoint."""


def make_runs() -> None:
    """Train them, with paths relative to the current folder, where the files lie."""
    from throughtime.run.quantization import quantize_run

    for name, (task, source, options) in _RUNS.items():
        _train(source, f"runs/{name}", {"task": task, **_SMALL, **options})
    quantize_run("runs/text", "int8", "runs/int8")
    _snapshots()
    for unwanted in Path("runs").rglob("*.png"):
        unwanted.unlink()
    for path in Path("runs").rglob(".lock"):
        path.write_bytes(b"12345")  # the writer's number, another one each time
    for path in Path("runs").rglob("last.safetensors"):
        path.write_bytes(_in_order(path.read_bytes()))


def _snapshots() -> None:
    """Sessions that are saved in their middle."""
    from throughtime.run import Run

    runs: dict[str, Any] = {name: Run.open(f"runs/{name}", threads=1) for name in ("text", "people", "hours")}
    session = runs["text"].session(seed=1)
    session.read("The cat")
    session.write(3)
    write("snapshot.safetensors", session.snapshot())
    session = runs["people"].session(seed=1, conditions={"country": "north", "year": "1950"})
    session.read("An")
    write("lines_snapshot.safetensors", session.snapshot())
    session = runs["hours"].session()
    for row in csv.DictReader(Path("recent.csv").read_text().splitlines()):
        session.update(row)
    write("rows.json", session.snapshot())


def _train(source: str, out: str, options: dict[str, Any]) -> None:
    from throughtime.training import train
    from throughtime.training.progress import Progress

    class Stopping(Progress):
        steps = 0

        def stepped(
            self, position: Any, epoch_progress: float, loss: float, gradient_norm: float, rate: float
        ) -> None:
            # Weights are written at the first epoch's end, and a checkpoint after every step.
            self.steps += position.epoch > 0
            if self.steps > _STEPS:
                raise _Stop

    try:
        train(source, out, show=Stopping(), checkpoint_seconds=0, **options)
    except _Stop:
        return
    raise RuntimeError(f"the training of {out} ended before it could be stopped")


def fixed_clock() -> None:
    """Let a second pass between any two looks at the clock, so that seconds in files are the same every time.

    For a process that makes seeds and nothing else.
    """
    import itertools
    import time

    ticks = itertools.count()
    tick: Callable[[], float] = lambda: float(next(ticks))  # noqa: E731
    time.perf_counter = tick


def _in_order(weights: bytes) -> bytes:
    """A safetensors file whose header is sorted: the library writes metadata in random order."""
    length = int.from_bytes(weights[:8], "little")
    header = json.dumps(json.loads(weights[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + weights[8 + length :]
