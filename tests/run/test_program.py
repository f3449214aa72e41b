"""A run and its program: written once, also for the folders of older versions, and of this run alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interchange.runs import make_run
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import MissingExtraError, RunError
from throughtime.program.files import PROGRAM
from throughtime.run import Run

TEXTS = ["what a film", "the cat"]


def test_a_folder_of_an_older_version_gets_its_program_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "classifier", hidden=4, input="text")
    assert not (tmp_path / PROGRAM).exists()
    first = run.classify(TEXTS)
    assert "writing program.json" in capsys.readouterr().err
    assert (tmp_path / PROGRAM).exists()
    assert Run.open(tmp_path).classify(TEXTS) == first
    assert capsys.readouterr().err == ""
    with_torch = Run.open(tmp_path, backend="torch").classify(TEXTS)
    for mine, theirs in zip(first, with_torch, strict=True):
        assert mine["label"] == theirs["label"]
        np.testing.assert_allclose(mine["probability"], theirs["probability"], rtol=1e-5)


def test_without_torch_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "classifier", hidden=4, input="text")

    def missing() -> None:
        raise MissingExtraError("no torch")

    monkeypatch.setattr("throughtime.run.run.require_torch", missing)
    with pytest.raises(RunError, match="has no program.json.* use the run once where PyTorch is installed"):
        run.classify(TEXTS)


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on the device")

    monkeypatch.setattr("throughtime.run.run.write_program", full)
    assert make_run(tmp_path, "classifier", hidden=4, input="text").classify(TEXTS)
    assert not (tmp_path / PROGRAM).exists()


@pytest.mark.parametrize(
    "line, field", [("hidden = 5", "hidden"), ("zoneout = 0.5", "zoneout"), ('pooling = "mean"', "pooling")]
)
def test_options_that_the_program_was_not_made_with_are_refused(
    tmp_path: Path, line: str, field: str
) -> None:
    make_run(tmp_path, "classifier", hidden=4, input="text").classify(TEXTS)
    config = (tmp_path / "config.toml").read_text().splitlines()
    changed = [line if one.startswith(f"{field} =") else one for one in config]
    assert changed != config
    (tmp_path / "config.toml").write_text("\n".join(changed))
    with pytest.raises(RunError, match=rf"config.toml: model.{field} is .*, and the network in program.json"):
        Run.open(tmp_path).classify(TEXTS)


def test_options_beside_the_program_may_change(tmp_path: Path) -> None:
    make_run(tmp_path, "classifier", hidden=4, input="text").classify(TEXTS)
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace("\ndropout = ", "\ndropout = 0.1 #"))
    assert Run.open(tmp_path).classify(TEXTS)


def test_the_program_of_another_run_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "classifier", hidden=4, input="text").classify(TEXTS)
    other = make_run(tmp_path / "b", "classifier", hidden=4, input="text")
    labels = tmp_path / "b" / "labels.json"
    labels.write_text(json.dumps([*json.loads(labels.read_text()), "worse"]))
    (tmp_path / "b" / PROGRAM).write_bytes((tmp_path / "a" / PROGRAM).read_bytes())
    with pytest.raises(
        RunError, match="logits of sequence has 3 values, and the run 4: it is of another run"
    ):
        Run.open(other.folder).classify(TEXTS)


@pytest.mark.parametrize("text", ["abc", "".join(map(chr, range(32, 300)))])
def test_weights_of_another_vocabulary_are_refused(tmp_path: Path, text: str) -> None:
    make_run(tmp_path, "language-model", hidden=4)
    Tokenizer.train_on_texts("character", [text]).save(tmp_path / "tokenizer.json")
    with pytest.raises(RunError, match=r"model.safetensors does not fit tokenizer.json: it knows \d+ tokens"):
        Run.open(tmp_path).sample(length=3)


@pytest.mark.parametrize("name", ["new_h", "logits"])
def test_a_program_that_lacks_what_a_translation_needs_is_refused(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, "translator", hidden=4)
    assert list(run.translate(["a"]))
    text = (tmp_path / PROGRAM).read_text()
    assert f'"{name}"' in text
    (tmp_path / PROGRAM).write_text(text.replace(f'"{name}"', '"other"'))
    with pytest.raises(RunError, match=rf"program.json.*{name}"):
        list(Run.open(tmp_path).translate(["a"]))


def in_other_letters(given: Any, old: str, new: str) -> Any:
    """What JSON holds, with another letter for a free size."""
    if isinstance(given, list):
        return [in_other_letters(one, old, new) for one in given]
    if isinstance(given, dict):
        return {name: in_other_letters(one, old, new) for name, one in given.items()}
    return new if given == old else given


@pytest.mark.parametrize("task", ["translator", "captioner"])
def test_a_program_of_other_sizes_than_a_search_needs_is_refused(tmp_path: Path, task: str) -> None:
    run = make_run(tmp_path, task, hidden=4)
    assert run.network
    content = json.loads((tmp_path / PROGRAM).read_text())
    functions = content["network"]["functions"]
    functions["step"] = in_other_letters(functions["step"], "B", "Q")
    (tmp_path / PROGRAM).write_text(json.dumps(content))
    with pytest.raises(RunError, match="damaged: "):
        damaged = Run.open(tmp_path).network
        damaged.searcher().begin([np.array([1])])


def test_a_function_without_inputs_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, "classifier", hidden=4, input="text")
    run.classify(TEXTS)
    content = json.loads((tmp_path / PROGRAM).read_text())
    nothing = {"inputs": {}, "nodes": [], "outputs": [], "ports": [[], []]}
    content["network"]["functions"]["sequence"] = nothing
    (tmp_path / PROGRAM).write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"program\.json"):
        Run.open(tmp_path).classify(TEXTS)
