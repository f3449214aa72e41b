"""Which files of a run folder may leave the machine: a list of what may, so that nothing else can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from throughtime.errors import RunError

# What predicting needs, what describes the model, and its figures. Not the text or the examples (tokens/,
# data/, given/), no checkpoint, no events, no picture but that of the loss: those show the data.
SHARED_FILES = (
    "README.md",
    "config.json",
    "config.toml",
    "program.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "source_tokenizer.json",
    "target_tokenizer.json",
    "alphabet.json",
    "words.json",
    "labels.json",
    "target.json",
    "calibration.json",
    "features.json",
    "static.json",
    "conditions.json",
    "lines.json",
    "images.json",
    "frames.json",
    "series.json",
    "linear.npy",
    "encoder.safetensors",
    "encoder.onnx",
    "folds.json",
    "metrics.jsonl",
    "loss.png",
)


@dataclass(frozen=True)
class SharedFile:
    """A file that is shared.

    Args:
        name: in the run folder.
        size: in bytes.
    """

    name: str
    size: int


def shared_files(folder: Path) -> list[SharedFile]:
    """The files of a run folder that may be shared, in the order of `SHARED_FILES`.

    Raises:
        RunError: one is a symbolic link, and would share what lies elsewhere.
    """
    found: list[SharedFile] = []
    for name in SHARED_FILES:
        path = folder / name
        if path.is_symlink():
            raise RunError(f"{path} is a symbolic link, and none is shared: put the file itself there")
        if path.is_file():
            found.append(SharedFile(name, path.stat().st_size))
    return found
