"""What a run folder's JSON and TOML say wrongly is refused in one line, before anything is built from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.config import resolve
from throughtime.data import Tokenizer
from throughtime.errors import RunError
from throughtime.run import Run
from throughtime.runtime import Engine
from throughtime.runtime.weights import write_weights

FACTS: dict[str, dict[str, Any]] = {
    "captioner": {"images.json": {"shape": [64, 64, 3], "longest": 7}},
    "tagger": {
        "frames.json": {
            "labels": ["a", "b"],
            "kind": "array",
            "frame_rate": 25.0,
            "mean": [0.5],
            "deviation": [1],
        }
    },
    "classifier": {
        "labels.json": ["a", "b"],
        "features.json": {"names": ["x"], "rate": None, "mean": [0.5], "deviation": [1.0]},
    },
    "language-model": {},
}


def make_folder(folder: Path, task: str, weights: dict[str, Any] | None = None, **metadata: str) -> Path:
    """A run folder of which everything but the weights is right."""
    folder.mkdir()
    options = {"input": "vectors"} if task == "classifier" else {}
    resolve({"task": task, **options}).save(folder / "config.toml")
    (folder / "model.safetensors").write_bytes(write_weights(weights or {}, metadata))
    (folder / "text.txt").write_text("abc")
    Tokenizer.train("character", folder / "text.txt").save(folder / "tokenizer.json")
    for name, facts in FACTS[task].items():
        (folder / name).write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize("task", FACTS)
def test_a_folder_without_damage_is_opened(task: str, tmp_path: Path) -> None:
    assert Run.open(make_folder(tmp_path / "run", task)).task == task


@pytest.mark.parametrize(
    ("task", "file"),
    [
        ("language-model", "tokenizer.json"),
        *((task, file) for task, files in FACTS.items() for file in files),
    ],
)
@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "3", "null", "{}", "[[]]"]
)
def test_other_json_is_refused_by_its_file(task: str, file: str, content: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", task)
    (folder / file).write_text(content)
    with pytest.raises(RunError) as raised:
        Run.open(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder / file} is damaged") and "\n" not in message and len(message) < 600


@pytest.mark.parametrize(
    ("task", "file", "change", "said"),
    [
        ("captioner", "images.json", {"longest": 2**31}, "longest: input should be less than or equal to"),
        ("captioner", "images.json", {"longest": 0}, "longest"),
        ("captioner", "images.json", {"longest": 2**70}, "longest"),
        ("captioner", "images.json", {"shape": [2**40]}, "shape.0"),
        ("captioner", "images.json", {"shape": []}, "shape"),
        ("captioner", "images.json", {"shape": 3}, "shape: input should be a valid array, not 3"),
        ("tagger", "frames.json", {"mean": 3}, "mean: input should be a valid array, not 3"),
        ("tagger", "frames.json", {"mean": [1, 2]}, "mean and deviation do not fit together"),
        ("tagger", "frames.json", {"mean": None, "deviation": None}, "mean and deviation"),
        ("tagger", "frames.json", {"labels": ["a", "a"]}, "a label occurs twice"),
        ("tagger", "frames.json", {"labels": ["a", 2]}, "labels.1: input should be a valid string, not 2"),
        ("tagger", "frames.json", {"kind": "film"}, "kind: input should be 'video', 'array' or 'sound'"),
        ("tagger", "frames.json", {"frame_rate": "25"}, "frame_rate"),
        ("tagger", "frames.json", {"frame_rate": 5e-324}, "frame_rate"),
        ("classifier", "features.json", {"mean": 3}, "mean: input should be a valid array, not 3"),
        ("classifier", "features.json", {"mean": [float("inf")]}, "mean.0: input should be a finite number"),
        ("classifier", "features.json", {"deviation": [0]}, "deviation.0"),
        ("classifier", "features.json", {"rate": 2**40}, "rate"),
        ("classifier", "features.json", {"names": ["x", "y"]}, "differ in number"),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(
    task: str, file: str, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "run", task)
    (folder / file).write_text(json.dumps({**FACTS[task][file], **change}))
    with pytest.raises(RunError) as raised:
        Run.open(folder)
    assert f"{folder / file} is damaged" in str(raised.value) and said in str(raised.value)


@pytest.mark.parametrize("vocabulary", [{"a": 0, "b": 2}, {"a": -1}, {"a": 2**40}, {"ab": 0}, {}])
def test_a_vocabulary_that_is_not_numbered_from_0_is_refused(
    vocabulary: dict[str, int], tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "run", "language-model")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] = vocabulary
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"tokenizer.json is damaged"):
        Run.open(folder)


@pytest.mark.parametrize(
    ("task", "line", "said"),
    [
        ("classifier", "members = 100000000", "--members: input should be less than or equal to 1000"),
        (
            "classifier",
            "hidden = 9223372036854775808",
            "--hidden: input should be less than or equal to 65536",
        ),
        ("language-model", "layers = 100000000", "--layers: input should be less than or equal to 256"),
        ("language-model", "embedding = 1" + "0" * 5000, "is damaged"),
        ("language-model", "embedding = " + "[" * 100_000, "is damaged: it is nested too deeply"),
    ],
)
def test_a_size_without_bound_is_refused(task: str, line: str, said: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", task)
    (folder / "config.toml").write_text(f'task = "{task}"\n[model]\n{line}\n')
    with pytest.raises(RunError) as raised:
        Run.open(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder / 'config.toml'} is damaged: ") and said in message
    assert "\n" not in message and len(message) < 300 + len(str(folder))


def test_a_task_of_any_length_is_quoted_in_part(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", "language-model")
    (folder / "config.toml").write_text(f'task = "{"a" * 50_000}"\n')
    with pytest.raises(RunError, match=r"is a 'aaa.*\.\.\., and this needs a language-model") as raised:
        Engine.load(folder)
    assert len(str(raised.value)) < 200 + len(str(folder))


def test_sizes_are_held_against_the_weights_before_they_take_memory(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    resource = pytest.importorskip("resource")
    folder = make_folder(tmp_path / "run", "language-model", {"output.bias": np.zeros(3, np.float32)})
    resolve({"task": "language-model", "hidden": 5000, "layers": 4}).save(folder / "config.toml")
    run = Run.open(folder, backend="torch")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunError, match=r"model.safetensors lacks .*: it does not belong to this config.toml"):
        _ = run.model
    # One matrix of the network would take 400 MB; the import of torch is in it.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_a_damaged_header_of_weights_or_checkpoint_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", "language-model", precision="fp64")
    with pytest.raises(RunError, match=r"model.safetensors is damaged.*precision 'fp64'"):
        Run.open(folder)
    folder = make_folder(tmp_path / "other", "language-model")
    run = Run.open(folder)
    (folder / "checkpoints").mkdir()
    checkpoint = folder / "checkpoints" / "last.safetensors"
    position = {"step": 3, "epoch": 1, "tokens": 9, "seconds": 0.5, "finished": True, "best": 1.5}
    for state, said in (
        ("[" * 100_000, "recursion limit exceeded"),
        ("{}", "lacks position"),
        ('{"position": 3}', "position is no JSON object"),
        (json.dumps({"position": {**position, "step": 10**30}}), "position.step"),
        (json.dumps({"position": {**position, "seconds": "1"}}), "position.seconds"),
    ):
        checkpoint.write_bytes(write_weights({}, {"state": state}))
        with pytest.raises(RunError) as raised:
            run.describe()
        assert str(checkpoint) in str(raised.value) and said in str(raised.value)
    window = {name: 0.0 for name in ("loss", "gradient_norm", "seconds", "learning_rate")}
    position |= {
        "window": {**window, "tokens": 0, "steps": 0},
        "evaluations_since_best": 0,
        "evaluated_at": 0,
    }
    state = {"position": position, "threads": 2, "torch": "2.13.0"}
    checkpoint.write_bytes(write_weights({}, {"state": json.dumps(state)}))
    assert run.describe()["step"] == 3
    assert run.describe()["trained_on"] == {"kernels": "", "threads": 2, "torch": "2.13.0"}
    checkpoint.write_bytes(write_weights({}, {"state": json.dumps({**state, "threads": 0})}))
    with pytest.raises(RunError, match="threads is 0"):
        run.describe()
