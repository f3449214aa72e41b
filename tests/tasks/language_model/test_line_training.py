"""Each line is learned by itself, from its first state to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tasks.language_model.line_runs import CONDITIONS, SMALL, trained, write_table, write_text
from tests.training.test_trainer import Interrupter, assert_same_outcome
from throughtime.errors import DataError
from throughtime.tasks.language_model.line_run import LineModelRun
from throughtime.tasks.language_model.line_training import LineModelling
from throughtime.training import Interrupted, resume, train
from throughtime.training.progress import Progress


class Remarks(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, text: str) -> None:
        self.said.append(text)


def task_of(run: Any) -> LineModelling:
    return run.make_task(run.model, torch.device("cpu"))


@pytest.mark.parametrize("conditions", [False, True])
def test_a_batch_costs_what_its_lines_cost_one_by_one(tmp_path: Path, conditions: bool) -> None:
    run = trained(tmp_path, conditions, backend="torch", output_dropout=0.0)
    task = task_of(run)
    single = [task.loss(np.array([number])) for number in range(5)]
    together = task.loss(np.arange(5))
    nats = sum(one.loss.item() * one.tokens for one in single)
    assert together.tokens == sum(one.tokens for one in single)
    assert together.loss.item() * together.tokens == pytest.approx(nats, rel=1e-5)


def test_the_loss_is_that_of_the_tokens_and_the_end_by_hand(tmp_path: Path) -> None:
    run = trained(tmp_path, backend="torch", validation_fraction=0.0)
    task = task_of(run)
    text = (tmp_path / "names.txt").read_text().splitlines()[0]
    tokens = run.tokenizer.encode(f"\n{text}\n")
    logits, _ = run.model(torch.from_numpy(tokens[:-1, None]))
    wanted = torch.from_numpy(tokens[1:, None])
    by_hand = -torch.log_softmax(logits, -1).gather(2, wanted[..., None]).sum()
    found = task.loss(np.array([0]))
    assert found.tokens == len(text) + 1
    assert found.loss.item() * found.tokens == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"conditions": True, "cell": "gru", "learned_initial_state": True}, {"dropout": 0.3, "layers": 2}],
)
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    options = dict(options)
    steered = options.pop("conditions", False)
    source = write_table(tmp_path) if steered else write_text(tmp_path)
    options = {**SMALL, **(CONDITIONS if steered else {}), **options}
    train(source, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        train(source, out=tmp_path / "parts", show=Interrupter(17), **options)
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")


def test_blank_and_long_lines_are_said(tmp_path: Path) -> None:
    source, show = tmp_path / "a.txt", Remarks()
    source.write_text("anna\n\njo\n" + "x" * 40 + "\nmaria\n" * 9)
    train(source, out=tmp_path / "run", show=show, **{**SMALL, "longest_line": 20})
    assert any("left out 9 blank lines of a.txt (the first is line 2)" in text for text in show.said)
    assert any("1 line is longer than 20 tokens" in text for text in show.said)


def test_bad_rows_stop_a_training_or_are_left_out_with_a_count(tmp_path: Path) -> None:
    source = write_table(tmp_path)
    source.write_text(source.read_text() + "Anna,,3\n")
    options = {**SMALL, **CONDITIONS}
    with pytest.raises(DataError, match=r"names\.csv line 62: condition `land` is empty"):
        train(source, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    show = Remarks()
    train(source, out=tmp_path / "run", show=show, **options, skip_bad=True)
    assert any("left out 1 bad example" in text for text in show.said)


def test_lines_of_another_file_are_for_validation(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("zoë\nmika\n")
    source = write_text(tmp_path)
    train(source, out=tmp_path / "run", **SMALL, validation=str(other))
    from throughtime.tasks.language_model.line_run import LineModelRun

    run = LineModelRun.open(tmp_path / "run")
    assert run.line_facts.lines == 60
    assert len(run._prepared().validation) == 2
    assert "zoë" not in run.known_lines


@pytest.mark.parametrize("tokenizer", ["byte", "bpe", "word"])
def test_every_tokenizer_learns_lines(tmp_path: Path, tokenizer: str) -> None:
    run = trained(tmp_path, tokenizer=tokenizer)
    lines = run.write(5, seed=1, length=12)
    assert all("\n" not in line.text for line in lines)
    assert run.evaluate(tmp_path / "names.txt").lines == 60


def test_a_condition_that_only_validation_has_is_refused_or_left_out(tmp_path: Path) -> None:
    source = write_table(tmp_path)
    (tmp_path / "other.csv").write_text("name,land,size\nkato,north,1\nmiro,west,2\nsolu,south,3\n")
    options: dict[str, Any] = {**SMALL, **CONDITIONS, "validation": str(tmp_path / "other.csv")}
    with pytest.raises(DataError, match=r"other\.csv line 3: 'west' is no known value of `land`"):
        train(source, out=tmp_path / "strict", **options)
    train(source, out=tmp_path / "run", skip_bad=True, **options)
    assert len(LineModelRun.open(tmp_path / "run")._prepared().validation) == 2
