"""From a run folder to files: what is written, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interchange.runs import make_run
from tests.tasks.language_model.line_runs import trained
from throughtime.errors import CheckpointError, MissingExtraError, RunError
from throughtime.run import WEIGHTS, Run
from throughtime.runtime.quantize import quantise

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from throughtime.interchange import check, onnx_files  # noqa: E402
from throughtime.interchange.graph import FLOAT  # noqa: E402
from throughtime.interchange.onnx_files import export_onnx  # noqa: E402
from throughtime.program.network import Port  # noqa: E402


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", "language-model", hidden=5, layers=1, embedding=4)


def test_the_files_and_their_description(run: Run) -> None:
    done = export_onnx(run)
    assert done.folder == run.folder / "onnx"
    names = {path.name: path.stat().st_size for path in done.folder.iterdir()}
    assert names == done.sizes and set(names) == {
        "step.onnx",
        "sequence.onnx",
        "tokenizer.json",
        "export.json",
    }
    assert json.loads((done.folder / "export.json").read_text()) == done.description
    model = onnx.load(str(done.folder / "step.onnx"))
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["task"] == "language-model" and about["opset"] == "17"
    assert json.loads(about["files"]) == ["tokenizer.json"]
    assert json.loads(about["inputs"])[0]["name"] == "token"


def test_a_graph_that_gives_other_numbers_is_not_written(run: Run) -> None:
    # The run's model is read first, then its weights change on the disk: as if the export were wrong.
    assert run.model is not None
    other = make_run(run.folder.parent / "other", "language-model", hidden=5, layers=1, embedding=4)
    other.model.output.bias.data[3] += 0.01
    from throughtime.training.checkpoint import save_tensors

    save_tensors(run.folder / WEIGHTS, other.model.state_dict(), {})
    with pytest.raises(RunError, match="step.onnx: logits is off by 0.01"):
        export_onnx(run)
    assert not (run.folder / "onnx").exists()
    assert export_onnx(run, compare=False).differences is None


def test_weights_that_only_a_graph_reads_are_checked(tmp_path: Path) -> None:
    from throughtime.training.checkpoint import read_tensors, save_tensors

    run = trained(tmp_path, True, epochs=1)
    tensors, _ = read_tensors(run.folder / WEIGHTS)
    del tensors["begin.deviation"]
    save_tensors(run.folder / WEIGHTS, tensors, {})
    with pytest.raises(RunError, match="lacks begin.deviation"):
        export_onnx(Run.open(run.folder), compare=False)


def test_a_difference_that_is_no_number_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = check.call_graph

    def broken(*arguments: Any) -> Any:
        return {name: value * np.nan for name, value in real(*arguments).items()}

    monkeypatch.setattr(check, "call_graph", broken)
    with pytest.raises(RunError, match="off by inf"):
        export_onnx(run)


def test_random_inputs_are_as_the_ports_say() -> None:
    ports = (
        Port("tokens", "int64", ("T", "B"), "read", 3),
        Port("lengths", "int64", ("B",), "steps", "T"),
        Port("x", FLOAT, ("B", 2), "numbers"),
        Port("pixels", "uint8", ("B", 4), "colours"),
    )
    inputs = check.random_inputs(ports, {"T": 50, "B": 30}, np.random.default_rng(0))
    assert sorted(set(inputs["tokens"].ravel())) == [0, 1, 2]
    assert inputs["lengths"].min() >= 1 and inputs["lengths"].max() == 50
    assert inputs["x"].dtype == np.float32 and inputs["x"].shape == (30, 2)
    assert inputs["pixels"].dtype == np.uint8 and inputs["pixels"].max() > 200


def test_without_onnxruntime_nothing_is_compared_unless_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    real = onnx_files.find_spec
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    done = export_onnx(run)
    assert done.differences is None and done.unchecked == "onnxruntime is not installed"
    with pytest.raises(MissingExtraError, match=r"pip install .*onnxruntime"):
        export_onnx(run, compare=True)


def test_without_onnx_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*onnx"):
        export_onnx(run)


def test_damaged_weights_are_the_runs_fault(run: Run) -> None:
    content = (run.folder / WEIGHTS).read_bytes()
    (run.folder / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        export_onnx(run)
    from safetensors.numpy import save_file

    save_file({"output.bias": np.zeros(3, np.float32)}, run.folder / WEIGHTS)
    with pytest.raises(RunError, match=r"not belong to this config\.toml"):
        export_onnx(run)


def test_a_folder_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file"):
        export_onnx(run, tmp_path / "file", compare=False)
    (run.folder / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"tokenizer\.json cannot be read: No such file"):
        export_onnx(run, compare=False)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_a_quantised_run_is_exported_as_float32(precision: str, run: Run) -> None:
    content = quantise(run.read_weights(), precision)
    (run.folder / WEIGHTS).write_bytes(content)
    done = export_onnx(Run.open(run.folder))
    assert done.differences is not None
    assert {port["dtype"] for port in done.description["graphs"]["step.onnx"]["outputs"]} == {"float32"}
