"""A model from PyTorch, as a user brings it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.end_to_end.test_commands import TEXT, throughtime


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and the weights of a model of it."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "text.txt").write_text(TEXT)
    size = len(set(TEXT))
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"embedding": nn.Embedding(size, 6), "lstm": nn.LSTM(6, 12, 2), "output": nn.Linear(12, size)}
    )
    save_file(model.state_dict(), folder / "weights.safetensors")
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder


def test_weights_become_a_run_that_writes_and_is_measured(brought: Path) -> None:
    arguments = ["weights.safetensors", "--text", "text.txt", "--out", "run"]
    result = throughtime("import", *arguments, "--json", folder=brought)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["cell"], found["layers"], found["hidden"], found["embedding"]) == ("lstm", 2, 12, 6)
    assert found["tokens"] == len(set(TEXT))
    for command in (["sample", "run", "--length", "20"], ["eval", "run", "text.txt"], ["info", "run"]):
        result = throughtime(*command, folder=brought)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip()
    again = ["weights.safetensors", "--tokenizer", "run/tokenizer.json", "--out", "again"]
    result = throughtime("import", *again, folder=brought)
    assert result.returncode == 0 and "lstm" in result.stdout
    content = (brought / "run" / "model.safetensors").read_bytes()
    assert (brought / "again" / "model.safetensors").read_bytes() == content


def test_a_users_mistakes_are_one_line_each(brought: Path) -> None:
    for arguments, message in [
        (["weights.safetensors", "--out", "new"], "give the vocabulary: either --tokenizer"),
        (["weights.pt", "--text", "text.txt", "--out", "new"], "weights.pt is a pickle"),
        (["none.npz", "--text", "text.txt", "--out", "new"], "none.npz: no such file"),
        (["weights.safetensors", "--text", "none.txt", "--out", "new"], "none.txt"),
    ]:
        result = throughtime("import", *arguments, folder=brought)
        assert result.returncode == 2
        assert message in result.stderr and "Traceback" not in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not (brought / "new").exists()
