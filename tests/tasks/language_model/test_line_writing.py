"""Whole lines: the same by every backend, told from those that were trained on, steered by conditions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import throughtime as tt
from tests.tasks.language_model.line_runs import trained
from throughtime.errors import CheckpointError, OptionError, RunError, UnknownTokenError
from throughtime.tasks.language_model import line_writing
from throughtime.tasks.language_model.line_run import LineModelRun
from throughtime.tasks.language_model.line_session import LineSession

NORTH = {"land": "north", "size": 3}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> LineModelRun:
    return trained(tmp_path_factory.mktemp("plain"), epochs=10, learning_rate=0.01)


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> LineModelRun:
    folder = tmp_path_factory.mktemp("steered")
    return trained(folder, True, epochs=40, learning_rate=0.01, output_dropout=0.0, hidden=24)


def test_lines_end_by_themselves_and_the_seed_decides_them(plain: LineModelRun) -> None:
    lines = plain.write(50, seed=3)
    assert lines == plain.write(50, seed=3) != plain.write(50, seed=4)
    assert all(line.complete and "\n" not in line.text for line in lines)
    assert len({line.text for line in lines}) > 10
    assert [line.text for line in lines[:5]] == plain.samples(5, seed=3)


def test_a_prompt_is_continued_and_a_line_may_be_cut(plain: LineModelRun) -> None:
    assert all(line.text.startswith("kato") for line in plain.write(9, "kato", seed=1))
    short = plain.write(30, length=2, seed=1)
    assert all(len(line.text) <= 2 for line in short)
    assert not all(line.complete for line in short)
    assert [line.text for line in plain.write(2, "ka", length=0, seed=1)] == ["ka", "ka"]
    stopped = plain.write(20, seed=1, stop=["t"])
    assert not any("t" in line.text for line in stopped)


def test_both_backends_write_the_same_lines(plain: LineModelRun, steered: LineModelRun) -> None:
    for run, conditions in ((plain, None), (steered, NORTH)):
        other = LineModelRun.open(run.folder, "torch")
        assert run.write(30, seed=2, conditions=conditions) == other.write(30, seed=2, conditions=conditions)
        best, others = (
            run.likely(width=5, conditions=conditions),
            other.likely(width=5, conditions=conditions),
        )
        assert [line.text for line in best] == [line.text for line in others]


def test_the_most_probable_lines_have_the_probabilities_of_their_scores(steered: LineModelRun) -> None:
    found = steered.likely(width=4, conditions=NORTH)
    scores = steered.score_texts([line.text for line in found], [NORTH] * len(found))
    for line, score in zip(found, scores, strict=True):
        assert line.complete and line.log_probability == pytest.approx(-score.nats, abs=1e-3)


def test_a_million_lines_begin_at_once(plain: LineModelRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writing, "_AT_ONCE", 7)
    lines = plain.write_each(line_writing.MOST_LINES, seed=5)
    assert [next(lines) for _ in range(20)] == plain.write(20, seed=5)


def test_many_lines_are_drawn_in_several_batches(
    plain: LineModelRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [line.text for line in plain.write(7, seed=5)]
    monkeypatch.setattr(line_writing, "_AT_ONCE", 7)
    found = [line.text for line in plain.write(20, seed=5)]
    assert len(found) == 20 and found[:7] == wanted
    assert found[7:14] != wanted


def test_conditions_steer_what_is_written(steered: LineModelRun) -> None:
    def share(land: str, end: str) -> float:
        lines = steered.write(100, seed=1, conditions={"land": land, "size": 4})
        return sum(line.text.endswith(end) for line in lines) / 100

    assert share("north", "na") > 0.6 and share("south", "ro") > 0.6
    assert share("north", "ro") < 0.1 and share("south", "na") < 0.1


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, "`land` has no value: give it one of north, south"),
        ({"land": "west", "size": 1}, "'west' is no known value of `land`"),
    ],
)
def test_wrong_conditions_are_refused(
    steered: LineModelRun, conditions: dict[str, object] | None, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        steered.write(1, conditions=conditions)


def test_wrong_prompts_and_counts_are_refused(plain: LineModelRun) -> None:
    with pytest.raises(OptionError, match="line break"):
        plain.write(1, "a\nb")
    with pytest.raises(UnknownTokenError, match="'Q'"):
        plain.write(1, "Q")
    with pytest.raises(OptionError, match="samples must be from 1"):
        plain.write(0)
    with pytest.raises(OptionError, match="length"):
        plain.write(1, length=-1)
    with pytest.raises(OptionError, match="trained without conditions"):
        plain.write(1, conditions={"land": "north"})


def test_training_lines_are_known_and_held_out_ones_are_not(plain: LineModelRun) -> None:
    prepared = plain._prepared()
    first = plain.tokenizer.decode(np.asarray(prepared.lines[int(prepared.training[0])])[:-1])
    assert first in plain.known_lines and first + "x" not in plain.known_lines


def test_a_session_writes_line_after_line_and_goes_on_from_anywhere(
    plain: LineModelRun, steered: LineModelRun
) -> None:
    for run, conditions in ((plain, None), (steered, NORTH)):
        assert isinstance(run, LineModelRun)

        def begun(run: LineModelRun = run, conditions: dict[str, object] | None = conditions) -> LineSession:
            return run.session(seed=7, conditions=conditions)

        session = begun()
        wanted = [session.write(40) for _ in range(3)]
        assert session.complete and all("\n" not in line for line in wanted)
        other, found = begun(), [""]
        while len(found) <= 3:
            found[-1] += other.write(1)
            if other.complete:
                found.append("")
            other = run.restore_session(other.snapshot())
        assert found[:3] == wanted


def test_a_session_reads_a_beginning_as_a_prompt_does(steered: LineModelRun) -> None:
    session = steered.session(seed=1, conditions=NORTH)
    session.read("")
    session.read("ka")
    assert session.write(0) == "" and not session.complete
    logits = session._stream.logits
    beginning = line_writing.encode_beginning(steered.tokenizer, "ka")
    state = steered.first_states([steered.encode_conditions(NORTH)])
    expected, _ = steered.network.feed(beginning[None], state)
    np.testing.assert_array_equal(logits, expected[0])
    with pytest.raises(OptionError, match="line break"):
        session.read("a\n")
    with session.fork() as fork:
        assert fork.write(20) == session.write(20)


def test_a_session_of_another_kind_is_refused(plain: LineModelRun) -> None:
    session = plain.session(seed=1)
    session._stream.pending = {"bytes": "", "at_line_start": True}
    with pytest.raises(CheckpointError):
        plain.restore_session(session._stream.snapshot())


def test_a_run_is_loaded_as_what_it_is(steered: LineModelRun) -> None:
    run = tt.load(steered.folder)
    assert isinstance(run, LineModelRun)
    assert run.describe()["conditions"] == {"land": ["north", "south"], "size": "a number"}


def test_a_vocabulary_without_a_line_end_is_damaged(tmp_path: Path) -> None:
    folder = trained(tmp_path, tokenizer="word", epochs=1).folder
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": None}))
    with pytest.raises(RunError, match=r"tokenizer\.json is damaged: it has no token for a line's end"):
        LineModelRun.open(folder)
