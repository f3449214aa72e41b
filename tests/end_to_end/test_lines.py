"""Lines, as a user types the commands: names with conditions, and a log with odd lines in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import throughtime
from tests.tasks.language_model.line_runs import names, write_table

SMALL = ["--hidden", "16", "--embedding", "8", "--batch", "8", "--epochs", "6", "--no-tensorboard"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with names.csv, a run of its names, new.txt and a run of a text."""
    folder = tmp_path_factory.mktemp("lines")
    write_table(folder, 150)
    steer = ["--text-column", "name", "--condition-columns", "land,3"]
    result = throughtime(
        "train",
        "names.csv",
        "--lines",
        *steer,
        "--out",
        "run",
        *SMALL,
        "--learning-rate",
        "0.01",
        folder=folder,
    )
    assert result.returncode == 0, result.stderr
    first = result.stderr.splitlines()[0]
    assert first == "names.csv: 3 columns: writing lines like `name`, steered by `land` and `size`"
    assert "135 training lines" in result.stderr
    assert "--samples 20 --condition land=north --condition size=" in result.stderr
    (folder / "log.txt").write_text("".join(f"{name} is here\n" for name in names(200)) + "\n")
    result = throughtime("train", "log.txt", "--lines", "--out", "log", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("log.txt: a text of 200 lines: writing such lines\n")
    assert "left out 1 blank line of log.txt (line 201)" in result.stderr
    return folder


def test_whole_lines_are_written_and_counted(trained: Path) -> None:
    steer = ["--condition", "land=north", "--condition", "size=2"]
    result = throughtime("sample", "run", "--samples", "8", "--seed", "1", *steer, folder=trained)
    lines = result.stdout.splitlines()
    assert len(lines) == 8, result.stderr
    new = [line not in known(trained) for line in lines]
    assert f"8 lines: {len(set(lines))} distinct, {sum(new)} new" in result.stderr
    assert "(not among the 135 training lines)" in result.stderr
    again = throughtime("sample", "run", "--samples", "8", "--seed", "1", "--json", *steer, folder=trained)
    found = json.loads(again.stdout)
    assert [line["text"] for line in found["lines"]] == lines
    assert [line["new"] for line in found["lines"]] == new
    assert (found["distinct"], found["new"]) == (len(set(lines)), sum(new))


def known(folder: Path) -> set[str]:
    from throughtime.tasks.language_model.line_run import LineModelRun

    run = LineModelRun.open(folder / "run")
    prepared = run._prepared()
    return {run.tokenizer.decode(prepared.lines[int(n)])[:-1] for n in prepared.training}


def test_a_beginning_is_continued_and_a_beam_searches(trained: Path) -> None:
    steer = ["--condition", "land=south", "--condition", "size=2"]
    result = throughtime("sample", "run", "--prefix", "kato", "--samples", "3", *steer, folder=trained)
    assert all(line.startswith("kato") for line in result.stdout.splitlines()), result.stderr
    result = throughtime("sample", "run", "--beam", "3", *steer, folder=trained)
    assert 1 <= len(result.stdout.splitlines()) <= 3, result.stderr


def test_every_line_gets_a_score_and_the_odd_ones_come_first(trained: Path) -> None:
    odd = "mi $$$ was there"
    (trained / "new.log").write_text("\n".join([*(f"{n} is here" for n in names(30, 5)), odd]) + "\n")
    result = throughtime("eval", "log", "new.log", "--per-line", "--top", "3", folder=trained)
    table = result.stdout.splitlines()
    assert len(table) == 4 and table[1].split()[0] == "31" and table[1].endswith(odd), result.stderr
    assert "3 of 31 lines" in result.stderr
    every = throughtime("eval", "log", "new.log", "--per-line", "--json", folder=trained)
    scores = [json.loads(line) for line in every.stdout.splitlines()]
    assert sorted(score["line"] for score in scores) == list(range(1, 32))
    assert scores[0]["text"] == odd and scores[0]["unknown_characters"] == 4
    assert [score["surprise"] for score in scores] == sorted((s["surprise"] for s in scores), reverse=True)


def test_figures_without_per_line(trained: Path) -> None:
    found = json.loads(throughtime("eval", "run", "names.csv", "--json", folder=trained).stdout)
    assert found["lines"] == 150 and found["perplexity"] > 1
    assert found["nats_per_line"] == pytest.approx(found["nats_per_token"] * found["tokens"] / 150)


def test_the_run_is_quantised_exported_inspected_and_described(trained: Path) -> None:
    result = throughtime("quantize", "run", "--out", "small", folder=trained)
    assert result.returncode == 0, result.stderr
    steer = ["--condition", "land=north", "--condition", "size=2"]
    result = throughtime("sample", "small", "--samples", "2", *steer, folder=trained)
    assert len(result.stdout.splitlines()) == 2, result.stderr
    result = throughtime("info", "run", "--json", folder=trained)
    assert json.loads(result.stdout)["conditions"]["land"] == ["north", "south"]
    result = throughtime("inspect", "log", "--out", "look", "--lags", "10", folder=trained)
    assert result.returncode == 0, result.stderr
    pytest.importorskip("onnx")
    result = throughtime("export", "run", "--onnx", "--out", "onnx", folder=trained)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (trained / "onnx").iterdir()} >= {"begin.onnx", "step.onnx"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sample", "run"], "condition `land` has no value: give it one of north, south"),
        (
            ["sample", "run", "--condition", "land=nort", "--condition", "size=1"],
            "'nort' is no known value of `land`: did you mean 'north'? Known: north, south",
        ),
        (["sample", "run", "--condition", "north"], "is not NAME=VALUE"),
        (["sample", "log", "--condition", "land=north"], "trained without conditions"),
        (["eval", "log", "log.txt", "--top", "3"], "needs --per-line"),
        (["eval", "run", "log.txt"], "the lines have conditions (`land` and `size`): name a table"),
        (["eval", "log", "names.csv", "--streams", "3"], "lines are read in parallel by themselves"),
        (["train", "log.txt", "--lines", "--chunk", "32"], "--chunk 32 would do nothing"),
        (["train", "log.txt", "--longest-line", "32"], "needs --lines"),
        (["train", "log.txt", "--lines", "--condition-columns", "x"], "a text has no columns"),
        (["train", "names.csv", "--lines"], "use --text-column name"),
        (["train", "names.csv", "--lines", "--text-column", "nom"], "has no column 'nom'"),
        (
            ["train", "names.csv", "--lines", "--text-column", "name", "--condition-columns", "x"],
            "has no column 'x' (--condition-columns)",
        ),
        (
            ["train", "names.csv", "--lines", "--text-column", "name", "--condition-columns", "name"],
            "`name` holds the lines, and --condition-columns names it, too",
        ),
    ],
)
def test_a_mistake_is_told_in_a_line(trained: Path, command: list[str], message: str) -> None:
    result = throughtime(*command, folder=trained)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1
