"""Small valid files of every format: texts, tables, arrays, sounds, pictures, video and weights."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.damage_media import renumbered

_TEXT = "".join(
    f"The {one} sat on the {other} – and purred.\n" for one in ("cat", "dog", "hat") for other in "abcd"
)
WORDS = ("good", "fine", "warm", "dull", "cold", "flat")
RATE = 8000
# With transparency first; then palettes, grey and what loses nothing come last.
PICTURES = ("png", "jpg", "webp", "tif", "gif", "png", "bmp", "ppm", "png", "webp")


def make_files() -> None:
    """Write them, with paths relative to the current folder."""
    for make in (_texts, _tables, _arrays, _sounds, _pictures, _clips, _weights):
        make()
    for path in Path("sounds").glob("*.ogg"):
        path.write_bytes(renumbered(path.read_bytes()))


def _texts() -> None:
    write("text.txt", _TEXT.encode())
    write("short.txt", _TEXT[:90].encode())
    sources, targets = zip(*_pairs(), strict=True)
    for name, lines in (("source.txt", sources), ("target.txt", targets)):
        content = "".join(f"{line}\n" for line in lines).encode()
        write(name, content)
        write(f"{name}.gz", gzip.compress(content, mtime=0))
    write(
        "options.toml",
        b'[model]\nhidden = 4\ncell = "gru"\ndropout = 0.1\n[training]\nepochs = 1\nseed = 3\n',
    )
    write("lines.txt", b"good film\ncold and dull\nwarm\n")
    write("numbers.txt", b"0.5,1.5\n-1,2\n3,1e2\n")
    write("arrays.txt", b"arrays/0.npy\narrays/1.npz\n")
    write("pictures.txt", b"pictures/0.png\npictures/1.jpg\n")


def _pairs() -> list[tuple[str, str]]:
    return [(f"{a} {b}", f"{b} {a}".upper()) for a in WORDS[:2] for b in WORDS[2:]]


def _tables() -> None:
    remarks = [
        {"text": f'{word} film, "{other}"', "label": "bad" if word in WORDS[3:] else "good"}
        for word in WORDS
        for other in WORDS[:3]
    ]
    vectors = [{"a": 0.5 * row, "b": -1.0 + row % 3, "label": "xy"[row % 2]} for row in range(12)]
    sequences = [{**row, "a": [row["a"]] * 3, "b": [row["b"], 0.0, 1.0]} for row in vectors]
    pairs = [{"source": source, "target": target} for source, target in _pairs()]
    for name, rows in (("remarks", remarks), ("vectors", vectors), ("pairs", pairs)):
        table(f"{name}.csv", rows)
        table(f"{name}.tsv", rows)
        table(f"{name}.csv.gz", rows)
    for name, rows in (
        ("remarks", remarks),
        ("vectors", vectors),
        ("sequences", sequences),
        ("pairs", pairs),
    ):
        table(f"{name}.jsonl", rows)
        table(f"{name}.jsonl.gz", rows)
        table(f"{name}.parquet", rows)
    for name, rows in (("remarks", remarks), ("sequences", sequences)):
        write(f"{name}.json", json.dumps(rows, indent=1).encode())
    clicks = [
        {"user": f"u{row // 3}", "event": WORDS[row % 5], "label": "xy"[row // 3 % 2]} for row in range(36)
    ]
    for suffix in ("csv", "jsonl", "parquet"):
        table(f"clicks.{suffix}", clicks)
    prices = (f"{1 + row}.{row:03},5;{row % 3},25;{'xy'[row % 2]}\n" for row in range(12))
    write("prices.csv", ("area;floor;label\n" + "".join(prices)).encode())
    for number, (label, word) in enumerate((label, word) for label in ("good", "bad") for word in WORDS):
        write(f"classes/{label}/{number}.txt", f"{word} film\n{label}".encode())
    _series(sequences)


def _series(rows: list[dict[str, Any]]) -> None:
    """Labelled series in the two formats of the UCR archive."""
    lists = [(",".join(map(str, row["a"])), ",".join(map(str, row["b"])), row["label"]) for row in rows]
    begin = "# of a watch\n@problemName motions\n@timeStamps false\n@classLabel true x y\n@data\n"
    write("motions.ts", (begin + "".join(f"{a}:{b}:{label}\n" for a, b, label in lists)).encode())
    begin = "% of a watch\n@relation motions\n@attribute 'a 1' numeric\n@attribute a2 real\n"
    begin += "@attribute a3 numeric\n@attribute label {x,y}\n@data\n"
    write("motions.arff", (begin + "".join(f"{b},{label}\n" for _, b, label in lists)).encode())


def table(path: str, rows: list[dict[str, Any]]) -> None:
    """Rows in the format that the path's suffix names."""
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
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n", **quoting)
        writer.writeheader()
        writer.writerows(rows)
        content = file.getvalue()
    write(path, gzip.compress(content.encode(), mtime=0) if path.endswith(".gz") else content.encode())


def _arrays() -> None:
    """Sequences with a label each, clips with a label for each frame, and features of pictures."""
    generator = np.random.default_rng(0)
    names = ("0.npy", "1.npz", "2.csv", "3.tsv", "4.npy", "5.npz")
    for folder in ("arrays", "tagged"):
        for number, name in enumerate(names):
            _array(f"{folder}/{name}", generator.normal(number % 2, 1, (24, 2)).astype(np.float32))
    rows = [{"file_name": name, "label": "xy"[number % 2]} for number, name in enumerate(names)]
    for suffix in ("csv", "jsonl", "parquet"):
        table(f"arrays/metadata.{suffix}", rows)
    for number in range(len(names)):
        labels = ("start,end,label\n0,10,sit\n10,24,walk\n", "label\n" + "sit\n" * 9 + "walk\n" * 15)[
            number % 2
        ]
        write(f"tagged/{number}.labels.csv", labels.encode())
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
        table(f"tagged/metadata.{suffix}", rows)
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
        write(path, ("\n".join(rows) + "\n").encode())


def _save_npz(path: str, **arrays: Any) -> None:
    np.savez_compressed(path, **arrays)


def _sounds() -> None:
    import soundfile

    Path("sounds").mkdir()
    names = ("0.wav", "1.flac", "2.ogg", "3.wav", "4.flac", "5.ogg")
    time = np.arange(RATE // 5) / RATE
    for number, name in enumerate(names):
        soundfile.write(f"sounds/{name}", 0.3 * np.sin(2 * np.pi * (300 + 500 * (number % 2)) * time), RATE)
    rows = [
        {"file_name": name, "label": "low" if number % 2 == 0 else "high"}
        for number, name in enumerate(names)
    ]
    table("sounds/metadata.csv", rows)


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
        caption = f"a {WORDS[number % 6]} picture"
        rows.append(
            {
                "file_name": name,
                "caption": caption,
                "split": ("test", "validation")[number - 8] if number > 7 else "train",
            }
        )
    for suffix in ("csv", "jsonl", "parquet"):
        table(f"pictures/metadata.{suffix}", rows)
    table("captions.csv", [{**row, "file_name": f"{number}.png"} for number, row in enumerate(rows[:6])])


def _clips() -> None:
    from throughtime.data.video import write_video

    Path("clips").mkdir()
    rows = []
    for number in range(3):
        frames = (np.full((32, 48, 3), 60 * (number + frame // 6), np.uint8) for frame in range(12))
        write_video(f"clips/{number}.mp4", frames, rate=10)
        write(f"clips/{number}.labels.csv", b"start,end,label\n0,6,dark\n6,12,bright\n")
        rows.append({"file_name": f"{number}.mp4", "labels": f"{number}.labels.csv"})
    table("clips/metadata.csv", rows)


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


def write(path: str, content: bytes) -> None:
    """A file, and the folder it lies in."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
