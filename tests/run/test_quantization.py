"""A run folder in fewer bits: what is copied, and what there is to measure on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.test_trainer import SMALL, TEXT
from throughtime.data import Tokenizer
from throughtime.errors import OptionError, RunError
from throughtime.interchange import import_language_model
from throughtime.run.quantization import quantize_run
from throughtime.training import resume, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    return train(folder / "text.txt", out=folder / "run", **SMALL).folder


def test_only_what_predicts_is_taken_over(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / ".x.png.1.partial").write_bytes(b"")
    (folder / "inspection").mkdir()
    (folder / "inspection" / "gates.png").write_bytes(b"a picture")
    quantize_run(folder, "int8")
    names = sorted(
        path.relative_to(tmp_path / "run-int8").as_posix() for path in (tmp_path / "run-int8").rglob("*")
    )
    card = ["README.md", "config.json", "config.toml"]
    assert names == [*card, "model.safetensors", "program.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize("name", ["secret", "inspection", "tokenizer.json"])
def test_links_are_not_followed(trained: Path, tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(trained, folder)
    outside.mkdir()
    (outside / "file").write_bytes((folder / "tokenizer.json").read_bytes())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside if name == "inspection" else outside / "file")
    with pytest.raises(RunError, match=rf"{name} is a symbolic link, and quantize follows none"):
        quantize_run(folder, "int8")
    assert not (tmp_path / "run-int8").exists()


def test_an_imported_run_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    size = len(set(TEXT))
    model = nn.ModuleDict({"lstm": nn.LSTM(size, 4), "output": nn.Linear(4, size)})
    torch.manual_seed(0)
    tokenizer = Tokenizer.train("character", tmp_path / "text.txt")
    run = import_language_model(model.state_dict(), tokenizer, tmp_path / "theirs")
    with pytest.raises(OptionError, match=r"theirs holds no text .*: name one with --data FILE"):
        quantize_run(run.folder, "int8")
    assert not (tmp_path / "theirs-int8").exists()
    assert quantize_run(run.folder, "int8", data=tmp_path / "text.txt")["figures"]
    with pytest.raises(RunError, match="holds no text of its own: name a text file"):
        run.held_out_tokens()
    with pytest.raises(RunError, match="cannot be trained further: it was imported"):
        resume(run.folder)


def test_a_damaged_text_is_not_measured_on(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    tokens = bytearray((folder / "tokens" / "text.bin").read_bytes())
    tokens[7] ^= 1
    (folder / "tokens" / "text.bin").write_bytes(tokens)
    with pytest.raises(RunError, match=r"text\.bin is damaged: its checksum"):
        quantize_run(folder, "int8")


@pytest.mark.parametrize("precision", ["fp32", "[/b]", "../x", ""])
def test_an_unknown_precision_is_refused_by_name(trained: Path, precision: str) -> None:
    with pytest.raises(OptionError, match="--precision must be int8 or bf16"):
        quantize_run(trained, precision)
