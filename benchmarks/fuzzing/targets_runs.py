"""Run folders, snapshots, and weights that come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fuzzing.target import ONE_THREAD, PREPARE, Target

_SAMPLE = f"sample {ONE_THREAD} --length=5 --seed 1 --json"
_EVAL = f"eval {ONE_THREAD} --json"
_PREDICT = f"predict {ONE_THREAD} --json"
_CAPTION = f"caption {ONE_THREAD} --json"
_FORECAST = f"forecast {ONE_THREAD} --json"

# What a run is for, by its name in `seeds`.
_USES: dict[str, tuple[str, ...]] = {
    "text": (
        *(f"{_SAMPLE} runs/text", f"sample {ONE_THREAD} runs/text --beam 2 --length=5", "@engine runs/text"),
        *(f"{_EVAL} runs/text short.txt", "quantize runs/text --json"),
    ),
    "words": (f"{_SAMPLE} runs/words", f"{_EVAL} runs/words short.txt"),
    "bpe": (f"{_SAMPLE} runs/bpe", "@engine runs/bpe"),
    "int8": (f"{_SAMPLE} runs/int8", "@engine runs/int8"),
    "remarks": (f"{_PREDICT} runs/remarks lines.txt", f"predict {ONE_THREAD} runs/remarks lines.txt"),
    "vectors": (f"{_PREDICT} runs/vectors vectors.csv", f"predict {ONE_THREAD} runs/vectors vectors.csv"),
    "arrays": (f"{_PREDICT} runs/arrays arrays/0.npy", f"predict {ONE_THREAD} runs/arrays arrays/0.npy"),
    "sounds": (f"{_PREDICT} runs/sounds sounds/0.wav",),
    "tagged": (f"{_PREDICT} runs/tagged tagged/0.npy", f"predict {ONE_THREAD} runs/tagged tagged/0.npy"),
    "clips": (f"{_PREDICT} runs/clips clips/0.mp4",),
    "pairs": (f"translate {ONE_THREAD} runs/pairs source.txt --json", f"{_PREDICT} runs/pairs source.txt"),
    "pictures": (f"{_CAPTION} runs/pictures pictures/0.png",),
    "features": (
        f"{_CAPTION} runs/features features.npz",
        f"{_CAPTION} runs/features features.npz --temperature 1",
    ),
    "cnn": (f"{_CAPTION} runs/cnn pictures/0.png",),
    "scores": (f"{_PREDICT} runs/scores lines.txt", f"{_EVAL} runs/scores scores.csv"),
    "things": (f"{_PREDICT} runs/things lines.txt", f"{_EVAL} runs/things things.jsonl"),
    "answers": (f"{_PREDICT} runs/answers answers.csv", f"predict {ONE_THREAD} runs/answers answers.csv"),
    "hours": (f"{_FORECAST} runs/hours recent.csv --future ahead.csv", f"{_EVAL} runs/hours hours.csv"),
    "shops": (f"{_FORECAST} runs/shops shops.csv", f"{_FORECAST} runs/shops shops.csv --anomalies"),
    "names": (f"{_PREDICT} runs/names sentences.txt", f"{_EVAL} runs/names names.conll"),
    "marks": (f"{_PREDICT} runs/marks marks.jsonl", f"{_EVAL} runs/marks marks.json"),
    "parts": (f"{_PREDICT} runs/parts sentences.txt", f"predict {ONE_THREAD} runs/parts sentences.txt"),
    "people": (
        f"{_SAMPLE} runs/people --samples 2 --condition country=north --condition year=1950",
        f"{_EVAL} runs/people people.csv --per-line",
    ),
    "visits": (f"{_SAMPLE} runs/visits", f"{_EVAL} runs/visits visits.jsonl"),
    "spoken": (f"{_PREDICT} runs/spoken spoken/0.wav", f"{_PREDICT} runs/spoken spoken/0.wav --beam 3"),
    "moments": (f"{_PREDICT} runs/moments moments/0.wav",),
}
_DATA = ("short.txt", "lines.txt", "vectors.csv", "source.txt", "features.npz", "arrays/0.npy")
_DATA += ("tagged/0.npy", "sounds/0.wav", "clips/0.mp4", "pictures/0.png", "spoken/0.wav", "moments/0.wav")
_DATA += ("scores.csv", "things.jsonl", "answers.csv", "recent.csv", "ahead.csv", "hours.csv", "shops.csv")
_DATA += ("sentences.txt", "names.conll", "people.csv", "visits.jsonl", "marks.jsonl", "marks.json")

_OF_TRAINING = ("checkpoints/", "data/", "tokens/", "metrics.jsonl")
_EXPORTED = ("text", "remarks", "tagged", "pairs", "features", "hours", "names", "people", "spoken")
_CENTRAL = {"config.toml": 1.5, "model.safetensors": 1.5, "checkpoints/last.safetensors": 1.5}
# Like others, or slow: their networks have a CNN.
_SELDOM = {"pictures": 0.4, "clips": 0.4, "cnn": 0.4, "bpe": 0.4, "words": 0.4}


def run_folders(paths: Sequence[str]) -> Iterator[Target]:
    """Every file of every run.

    Args:
        paths: of the seeds.
    """
    for run, uses in _USES.items():
        resume = f"train --resume runs/{run} --quiet"
        described = (f"info runs/{run} --json", f"info runs/{run}")
        for path in paths:
            if not path.startswith(f"runs/{run}/"):
                continue
            name = path.removeprefix(f"runs/{run}/")
            commands = (*uses, *described, *((resume,) if run != "int8" else ()))
            if name.startswith(_OF_TRAINING):
                commands = (resume, resume, resume, described[0])
            if name == "metrics.jsonl":
                commands += (f"@loss runs/{run}",)
            if name == "model.safetensors" and run in _EXPORTED:
                commands += (f"export runs/{run} --onnx --no-check --out onnx --json",)
            weight = _CENTRAL.get(name, 0.35) * _SELDOM.get(run, 1.0)
            yield Target(f"run: {_group(name)}", "folders", path, (f"runs/{run}/", *_DATA), commands, weight)


def _group(name: str) -> str:
    if name.endswith(".npy"):
        return "data/*.npy"
    if name.endswith("tokenizer.json"):
        return "tokenizer.json"
    return "*.json" if name.endswith(".json") else name


def snapshots() -> Iterator[Target]:
    """A text in the making, saved, and a forecast's last rows."""
    for run, path, weight in (
        ("text", "snapshot.safetensors", 4),
        ("people", "lines_snapshot.safetensors", 1),
        ("hours", "rows.json", 2),
    ):
        commands = (f"@restore runs/{run} {path}",)
        yield Target("session snapshot", "snapshots", path, (f"runs/{run}/",), commands, weight)


def foreign_weights() -> Iterator[Target]:
    """What `throughtime import` and --image-encoder read."""
    vocabulary = "runs/text/tokenizer.json"
    for name in ("foreign.safetensors", "foreign.npz"):
        commands = (
            f"import {name} --text text.txt --out new --json",
            f"import {name} --tokenizer {vocabulary} --out new",
        )
        yield Target("foreign weights", "weights", name, ("text.txt", vocabulary), commands, 2.5)
    given = "import foreign.npz --out new --json"
    yield Target(
        "foreign vocabulary", "weights", vocabulary, ("foreign.npz",), (f"{given} --tokenizer {vocabulary}",)
    )
    yield Target("foreign vocabulary", "weights", "text.txt", ("foreign.npz",), (f"{given} --text text.txt",))
    read = (f"train pictures --image-encoder cnn.onnx {PREPARE}",)
    yield Target("a CNN in ONNX", "weights", "cnn.onnx", ("pictures/",), read, 1.5)
