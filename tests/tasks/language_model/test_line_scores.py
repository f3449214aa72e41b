"""Scores of lines: as the network says, whatever stands beside them, the odd ones on top."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tasks.language_model.line_runs import trained
from throughtime.errors import NotANumberError, OptionError
from throughtime.tasks.language_model import line_scores
from throughtime.tasks.language_model.line_run import LineModelRun
from throughtime.tasks.language_model.line_scores import Bursts

NORTH = {"land": "north", "size": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LineModelRun:
    return trained(tmp_path_factory.mktemp("scores"), epochs=10, learning_rate=0.01)


def by_hand(run: LineModelRun, text: str) -> tuple[float, float]:
    """Nats and surprise, token by token with torch."""
    model = LineModelRun.open(run.folder, "torch").model
    tokens = run.tokenizer.encode(f"\n{text}\n")
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.from_numpy(tokens[:-1, None]))[0][:, 0].double(), -1).numpy()
    losses = -logs[np.arange(len(tokens) - 1), tokens[1:]]
    excess = losses + (np.exp(logs) * logs).sum(1) - 1
    stretches = [excess[a:b].sum() for a in range(len(excess)) for b in range(a, len(excess) + 1)]
    return float(losses.sum()), float(max(stretches))


def test_nats_and_surprise_are_those_of_the_definition(run: LineModelRun) -> None:
    texts = ["katomi", "u", "rrrrrr", "mirensolu"]
    for text, score in zip(texts, run.score_texts(texts), strict=True):
        nats, surprise = by_hand(run, text)
        assert score.nats == pytest.approx(nats, rel=1e-4)
        assert score.surprise == pytest.approx(surprise, rel=1e-3, abs=1e-4)
        assert (score.tokens, score.characters) == (len(text) + 1, len(text))
        assert score.nats_per_character == pytest.approx(nats / (len(text) + 1), rel=1e-4)


def test_a_line_scores_the_same_in_any_company_and_by_any_backend(
    run: LineModelRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["kato" * (1 + n % 7) for n in range(40)] + ["u", "ren"]
    wanted = run.score_texts(texts)
    assert [score.nats for score in run.score_texts(texts[::-1])] == [score.nats for score in wanted[::-1]]
    monkeypatch.setattr(line_scores, "_POOL", 5)
    monkeypatch.setattr(line_scores, "_SLOTS", 3)
    monkeypatch.setattr(line_scores, "_LOGITS", 20)
    assert run.score_texts(texts) == wanted
    other = LineModelRun.open(run.folder, "torch").score_texts(texts)
    np.testing.assert_allclose([s.nats for s in other], [s.nats for s in wanted], rtol=1e-4)


def test_a_character_that_training_never_saw_costs_and_is_counted(run: LineModelRun) -> None:
    plain, odd = run.score_texts(["kato", "ka%to"])
    assert odd.unknown == 1
    assert odd.nats == pytest.approx(plain.nats + math.log(run.line_facts.tokens + 1))
    assert odd.surprise > plain.surprise + 5
    assert odd.tokens == plain.tokens + 1


def test_logits_at_both_ends_of_32_bits_are_no_scores(
    run: LineModelRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: line_scores.EngineLines, tokens: np.ndarray) -> np.ndarray:
        logits = np.full((*tokens.shape, self.vocabulary_size), -3e38, np.float32)
        logits[..., ::2] = 3e38
        return logits

    monkeypatch.setattr(line_scores.EngineLines, "read", read)
    with pytest.raises(NotANumberError, match="output for the lines is not a number"):
        run.score_texts(["kato"])


def test_the_figures_of_a_file_are_the_means_of_its_lines(run: LineModelRun, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("kato\n\nmiren\nxx\n")
    scores = list(run.score(path))
    assert [score.line for score in scores] == [1, 3, 4]
    found = run.evaluate(path)
    nats = sum(score.nats for score in scores)
    assert found.nats_per_line == pytest.approx(nats / 3)
    assert found.nats_per_token == pytest.approx(nats / 14)
    assert found.perplexity == pytest.approx(math.exp(nats / 14))
    assert (found.lines, found.tokens, found.characters, found.unknown) == (3, 14, 11, 2)
    with pytest.raises(OptionError, match="--streams"):
        run.evaluate(path, streams=2)


def test_conditions_count_for_a_score(tmp_path: Path) -> None:
    run = trained(tmp_path, True, epochs=40, learning_rate=0.01, output_dropout=0.0, hidden=24)
    right, wrong = run.score_texts(["katona", "katona"], [NORTH, {**NORTH, "land": "south"}])
    assert right.nats + 2 < wrong.nats
    table = {score.line: score.nats for score in run.score(tmp_path / "names.csv")}
    assert len(table) == 60
    text = tmp_path / "a.txt"
    text.write_text("katona\n")
    (score,) = run.score(text, {"land": "north", "size": "3"})
    assert score.nats == pytest.approx(right.nats)
    with pytest.raises(OptionError, match="columns have the conditions"):
        list(run.score(tmp_path / "names.csv", {"land": "north"}))


def test_a_burst_is_the_largest_sum_of_a_stretch() -> None:
    random = np.random.default_rng(0)
    excess = random.normal(0.5, 2, (6, 30))
    bursts = Bursts(6)
    bursts.add(excess[:, :11])
    bursts.add(excess[:, 11:])
    less = excess - 1
    for row in range(6):
        every = [less[row, a:b].sum() for a in range(30) for b in range(a, 31)]
        assert bursts.largest[row] == pytest.approx(max(every))
