"""Weights in fewer bits: what is read back, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.runtime.test_stream import E, tensors
from throughtime.errors import CheckpointError, OptionError
from throughtime.runtime import Engine, read_weights
from throughtime.runtime.quantize import quantise, round_bf16
from throughtime.runtime.weights import Weights


def kept(tmp_path: Path, precision: str, given: dict[str, np.ndarray] | None = None) -> Weights:
    path = tmp_path / f"{precision}.safetensors"
    path.write_bytes(quantise(Weights(given or tensors()), precision))
    return read_weights(path)


def test_int8_is_within_half_a_step_of_its_row(tmp_path: Path) -> None:
    weights, original = kept(tmp_path, "int8"), tensors()
    assert set(weights) == set(original) and weights.precision == "int8"
    for name, tensor in original.items():
        if tensor.ndim == 1:
            np.testing.assert_array_equal(weights[name], tensor)
        else:
            step = np.abs(tensor).max(1, keepdims=True) / 127
            assert (np.abs(weights[name] - tensor) <= 0.5001 * step).all()


def test_bf16_is_what_torch_rounds_to(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weights = kept(tmp_path, "bf16")
    for name, tensor in tensors().items():
        rounded = torch.from_numpy(tensor).bfloat16().float().numpy() if tensor.ndim == 2 else tensor
        np.testing.assert_array_equal(weights[name], rounded)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, 1e-40], np.float32)
    wanted = torch.from_numpy(ties).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(round_bf16(ties), wanted)


def test_the_files_are_safetensors_to_others_too(tmp_path: Path) -> None:
    kept(tmp_path, "int8")
    found = load_file(tmp_path / "int8.safetensors")
    assert found["output.weight"].dtype == np.int8
    assert found["output.weight.scale"].shape == found["output.weight"].shape[:1]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_the_engine_computes_with_what_is_in_the_file(precision: str, tmp_path: Path) -> None:
    """Quantising once more what was quantised changes nothing."""
    options = {"layers": 1, "embedding": 0}
    original = {name: tensor for name, tensor in tensors().items() if name != "embedding.weight"}
    original["recurrent.cells.0.weight_ih"] = np.zeros(
        (68, 23), np.float32
    )  # one-hot input: a table, in fp32
    weights = kept(tmp_path, precision, original)
    from_file = Engine.from_tensors(options, weights, precision=precision)
    at_load = Engine.from_tensors(options, original, precision=precision)
    tokens = np.arange(20)[None] % 23
    np.testing.assert_array_equal(
        from_file.read(from_file.open(), tokens), at_load.read(at_load.open(), tokens)
    )


def test_rows_of_zeros_and_odd_precisions(tmp_path: Path) -> None:
    weights = kept(tmp_path, "int8", {"a.weight": np.zeros((3, 4), np.float32)})
    np.testing.assert_array_equal(weights["a.weight"], np.zeros((3, 4)))
    with pytest.raises(OptionError, match="int8 or bf16"):
        quantise(Weights({}), "fp32")
    with pytest.raises(CheckpointError, match="NaN"):
        quantise(Weights({"a.weight": np.full((1, 1), np.nan, np.float32)}), "int8")


def test_a_scale_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    tensor = {"a.weight": np.ones((3, 4), np.int8), "a.weight.scale": np.ones(2, np.float32)}
    save_file(tensor, tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match="a number for each row"):
        read_weights(tmp_path / "bad.safetensors")["a.weight"]


def test_an_engine_loads_a_quantised_folder_at_its_precision(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'task = "language-model"\n[model]\ncell = "lstm"\nlayers = 1\nembedding = {E}\n'
    )
    (tmp_path / "model.safetensors").write_bytes(quantise(Weights(tensors()), "int8"))
    assert Engine.load(tmp_path).precision == "int8"
    assert Engine.load(tmp_path, precision="fp32").precision == "fp32"


def test_the_command_measures_before_and_after(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.end_to_end.test_commands import throughtime

    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    throughtime(
        "train", "text.txt", "--out", "run", "--hidden", "16", "--layers", "1", "--epochs", "1",
        "--batch", "2", "--chunk", "16", "--no-tensorboard", "-q", folder=tmp_path,
    )  # fmt: skip
    found = throughtime("quantize", "run", "--json", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout)["figures"]
    before, after = figures["loss (nats a token)"]
    assert before != after and abs(after / before - 1) < 0.005
    assert figures["bytes"][1] < 0.6 * figures["bytes"][0]
    assert not (tmp_path / "run-int8" / "checkpoints").exists()
    assert (tmp_path / "run" / "loss.png").exists() and not list((tmp_path / "run-int8").glob("*.png"))
    for options in ([], ["--precision", "fp32"], ["--backend", "torch"]):
        written = throughtime(
            "sample", "run-int8", "--seed", "3", "--length", "30", *options, folder=tmp_path
        )
        assert len(written.stdout) > 20, written.stderr
    for arguments, said in (
        (["run"], "exists already"),
        (["run-int8", "--out", "x"], "int8 already"),
        (["run", "--precision", "fp4", "--out", "x"], "int8 or bf16"),
        (["missing"], "no such run folder"),
    ):
        result = throughtime("quantize", *arguments, folder=tmp_path)
        assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr
