"""Small valid files of every kind, and a run folder of every kind that was trained on them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.damage_media import renumbered

Files = dict[str, bytes]

_TEXT = "".join(
    f"The {one} sat on the {other} – and purred.\n" for one in ("cat", "dog", "hat") for other in "abcd"
)
_WORDS = ("good", "fine", "warm", "dull", "cold", "flat")
_RATE = 8000
# With transparency first; then palettes, grey and what loses nothing come last.
PICTURES = ("png", "jpg", "webp", "tif", "gif", "png", "bmp", "ppm", "png", "webp")
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


@dataclass(frozen=True, eq=False)
class Seeds:
    """What is damaged.

    Args:
        files: by their path below the folder that commands run in.
    """

    files: Files

    def below(self, *prefixes: str) -> Files:
        """The files that lie there: `runs/texts/` is a run, `remarks.csv` a file."""
        return {path: content for path, content in self.files.items() if path.startswith(prefixes)}

    def of_suffix(self, suffix: str) -> list[bytes]:
        """Files to splice with: those whose name ends alike."""
        return [content for path, content in self.files.items() if path.endswith(suffix)]

    @property
    def digest(self) -> str:
        """The same digest means that the same input number is the same bytes."""
        known = hashlib.sha256()
        for path in sorted(self.files):
            known.update(path.encode() + b"\0" + self.files[path] + b"\0")
        return known.hexdigest()[:12]


def make_seeds(folder: Path) -> None:
    """Write the files and train the runs, with paths relative to the folder; about ten seconds."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        for write in (_texts, _tables, _arrays, _sounds, _pictures, _clips, _weights):
            write()
        _runs()
        for path in Path().rglob(".lock"):
            path.write_bytes(b"12345")  # the writer's number, another one each time
        for path in Path().rglob("last.safetensors"):
            path.write_bytes(_in_order(path.read_bytes()))
        for path in Path("sounds").glob("*.ogg"):
            path.write_bytes(renumbered(path.read_bytes()))
    finally:
        os.chdir(before)


def read_seeds(folder: Path) -> Seeds:
    """What `make_seeds` wrote."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return Seeds({str(path.relative_to(folder)): path.read_bytes() for path in paths})


# ---- files


def _texts() -> None:
    _write("text.txt", _TEXT.encode())
    _write("short.txt", _TEXT[:90].encode())
    sources, targets = zip(*_pairs(), strict=True)
    for name, lines in (("source.txt", sources), ("target.txt", targets)):
        content = "".join(f"{line}\n" for line in lines).encode()
        _write(name, content)
        _write(f"{name}.gz", gzip.compress(content, mtime=0))
    _write(
        "options.toml",
        b'[model]\nhidden = 4\ncell = "gru"\ndropout = 0.1\n[training]\nepochs = 1\nseed = 3\n',
    )
    _write("lines.txt", b"good film\ncold and dull\nwarm\n")
    _write("numbers.txt", b"0.5,1.5\n-1,2\n3,1e2\n")
    _write("arrays.txt", b"arrays/0.npy\narrays/1.npz\n")
    _write("pictures.txt", b"pictures/0.png\npictures/1.jpg\n")


def _pairs() -> list[tuple[str, str]]:
    return [(f"{a} {b}", f"{b} {a}".upper()) for a in _WORDS[:2] for b in _WORDS[2:]]


def _tables() -> None:
    remarks = [
        {"text": f'{word} film, "{other}"', "label": "bad" if word in _WORDS[3:] else "good"}
        for word in _WORDS
        for other in _WORDS[:3]
    ]
    vectors = [{"a": 0.5 * row, "b": -1.0 + row % 3, "label": "xy"[row % 2]} for row in range(12)]
    sequences = [{**row, "a": [row["a"]] * 3, "b": [row["b"], 0.0, 1.0]} for row in vectors]
    pairs = [{"source": source, "target": target} for source, target in _pairs()]
    for name, rows in (("remarks", remarks), ("vectors", vectors), ("pairs", pairs)):
        _table(f"{name}.csv", rows)
        _table(f"{name}.tsv", rows)
        _table(f"{name}.csv.gz", rows)
    for name, rows in (
        ("remarks", remarks),
        ("vectors", vectors),
        ("sequences", sequences),
        ("pairs", pairs),
    ):
        _table(f"{name}.jsonl", rows)
        _table(f"{name}.jsonl.gz", rows)
        _table(f"{name}.parquet", rows)


def _table(path: str, rows: list[dict[str, Any]]) -> None:
    plain = path.removesuffix(".gz")
    if plain.endswith(".parquet"):
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(arrow.Table.from_pylist(rows), path)
        return
    if plain.endswith(".jsonl"):
        content = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        file = io.StringIO(newline="")
        quoting: Any = {"quoting": csv.QUOTE_NONE, "quotechar": None} if plain.endswith(".tsv") else {}
        delimiter = "\t" if plain.endswith(".tsv") else ","
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n", **quoting)
        table.writeheader()
        table.writerows(rows)
        content = file.getvalue()
    _write(path, gzip.compress(content.encode(), mtime=0) if path.endswith(".gz") else content.encode())


def _arrays() -> None:
    """Sequences with a label each, clips with a label for each frame, and features of pictures."""
    generator = np.random.default_rng(0)
    names = ("0.npy", "1.npz", "2.csv", "3.tsv", "4.npy", "5.npz")
    for folder in ("arrays", "tagged"):
        for number, name in enumerate(names):
            _array(f"{folder}/{name}", generator.normal(number % 2, 1, (24, 2)).astype(np.float32))
    rows = [{"file_name": name, "label": "xy"[number % 2]} for number, name in enumerate(names)]
    for suffix in ("csv", "jsonl", "parquet"):
        _table(f"arrays/metadata.{suffix}", rows)
    for number in range(len(names)):
        labels = ("start,end,label\n0,10,sit\n10,24,walk\n", "label\n" + "sit\n" * 9 + "walk\n" * 15)[
            number % 2
        ]
        _write(f"tagged/{number}.labels.csv", labels.encode())
    rows = [
        {
            "file_name": name,
            "labels": f"{number}.labels.csv",
            "split": "train" if number else "validation",
            "group": "g",
        }
        for number, name in enumerate(names)
    ]
    for suffix in ("csv", "jsonl", "parquet"):
        _table(f"tagged/metadata.{suffix}", rows)
    pictures = np.array([f"{number}.png" for number in range(6)])
    _save_npz("features.npz", names=pictures, features=generator.normal(size=(6, 7)).astype(np.float32))


def _array(path: str, values: Any) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    if path.endswith(".npy"):
        np.save(path, values)
    elif path.endswith(".npz"):
        _save_npz(path, features=values)
    else:
        separator = "\t" if path.endswith(".tsv") else ","
        # Without a header: the names in it would have to be those of the arrays, which have none.
        rows = [separator.join(f"{value:.3f}" for value in row) for row in values]
        _write(path, ("\n".join(rows) + "\n").encode())


def _save_npz(path: str, **arrays: Any) -> None:
    np.savez_compressed(path, **arrays)


def _sounds() -> None:
    import soundfile

    Path("sounds").mkdir()
    names = ("0.wav", "1.flac", "2.ogg", "3.wav", "4.flac", "5.ogg")
    time = np.arange(_RATE // 5) / _RATE
    for number, name in enumerate(names):
        soundfile.write(f"sounds/{name}", 0.3 * np.sin(2 * np.pi * (300 + 500 * (number % 2)) * time), _RATE)
    rows = [
        {"file_name": name, "label": "low" if number % 2 == 0 else "high"}
        for number, name in enumerate(names)
    ]
    _table("sounds/metadata.csv", rows)


def _pictures() -> None:
    from PIL import Image

    Path("pictures").mkdir()
    generator = np.random.default_rng(1)
    rows = []
    for number, suffix in enumerate(("png", "jpg", "webp", "tif", "gif", "png", "bmp", "ppm", "png", "webp")):
        pixels = np.repeat(np.repeat(generator.integers(0, 256, (4, 5, 4), dtype=np.uint8), 6, 0), 6, 1)
        image = Image.fromarray(pixels, "RGBA")
        image = (
            image
            if number in (0, 9)
            else image.convert("P" if number == 5 else "L" if number == 8 else "RGB")
        )
        options: dict[str, Any] = {"lossless": number == 9} if suffix == "webp" else {}
        name = f"{number}.{suffix}"
        image.save(f"pictures/{name}", **options)
        caption = f"a {_WORDS[number % 6]} picture"
        rows.append(
            {
                "file_name": name,
                "caption": caption,
                "split": ("test", "validation")[number - 8] if number > 7 else "train",
            }
        )
    for suffix in ("csv", "jsonl", "parquet"):
        _table(f"pictures/metadata.{suffix}", rows)
    _table("captions.csv", [{**row, "file_name": f"{number}.png"} for number, row in enumerate(rows[:6])])


def _clips() -> None:
    from throughtime.data.video import write_video

    Path("clips").mkdir()
    rows = []
    for number in range(3):
        frames = (np.full((32, 48, 3), 60 * (number + frame // 6), np.uint8) for frame in range(12))
        write_video(f"clips/{number}.mp4", frames, rate=10)
        _write(f"clips/{number}.labels.csv", b"start,end,label\n0,6,dark\n6,12,bright\n")
        rows.append({"file_name": f"{number}.mp4", "labels": f"{number}.labels.csv"})
    _table("clips/metadata.csv", rows)


def _weights() -> None:
    """A language model of torch.nn's, as its own program would save it, and a CNN as ONNX."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    size = len(set(_TEXT))
    modules = {
        "emb": torch.nn.Embedding(size, 4),
        "rnn": torch.nn.LSTM(4, 5),
        "out": torch.nn.Linear(5, size),
    }
    state = {
        f"{name}.{key}": tensor for name, part in modules.items() for key, tensor in part.state_dict().items()
    }
    save_file(state, "foreign.safetensors")
    _save_npz("foreign.npz", **{name: tensor.numpy() for name, tensor in state.items()})

    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("GlobalAveragePool", ["image"], ["features"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, side, side])
        for name, side in (("image", 32), ("features", 1))
    ]
    graph = helper.make_graph([node], "cnn", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "cnn.onnx")


# ---- run folders


_FEW = {"embedding": 4}
_NARROW = {**_FEW, "image_embedding": 3}
_LANGUAGE_MODEL, _CLASSIFIER, _TAGGER, _CAPTIONER = "language-model", "classifier", "tagger", "captioner"
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
}


class _Stop(Exception):  # noqa: N818 - not an error: the checkpoint is there
    """Ends a training from its own progress display, after a checkpoint."""


def _runs() -> None:
    from throughtime.run import Run
    from throughtime.run.quantization import quantize_run

    for name, (task, source, options) in _RUNS.items():
        _train(source, f"runs/{name}", {"task": task, **_SMALL, **options})
    quantize_run("runs/text", "int8", "runs/int8")
    run: Any = Run.open("runs/text", threads=1)
    session = run.session(seed=1)
    session.read("The cat")
    session.write(3)
    _write("snapshot.safetensors", session.snapshot())
    for unwanted in Path("runs").rglob("*.png"):
        unwanted.unlink()


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


def _write(path: str, content: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
