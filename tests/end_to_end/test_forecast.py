"""Numbers over time, as a user types it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.commands import throughtime
from tests.tasks.forecaster.tables import load_table

SMALL = ["--hidden", "8", "--epochs", "2", "--horizon", "6", "--lookback", "24", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with load.csv, whose last 24 rows have no load yet, and a run made by the command."""
    folder = tmp_path_factory.mktemp("forecast")
    load_table(folder / "load.csv", event=True, skip=(50,))
    result = throughtime(
        "train", "load.csv", "--known-future", "event", "--out", "run", "--json", *SMALL, folder=folder
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["best_val_loss"] > 0
    assert result.stderr.splitlines()[0] == (
        "load.csv: `time` is a time, and `load` and `event` are numbers: forecasting `load`"
    )
    assert "24 empty cells and 1 missing row of a step of 1 hour: masked" in result.stderr
    return folder


def test_a_forecast_is_a_table_json_or_csv_with_the_times_to_come(trained: Path) -> None:
    table = throughtime("forecast", "run", "load.csv", "--chart", "fan.png", folder=trained)
    assert table.returncode == 0, table.stderr
    assert "low 95" in table.stdout and len(table.stdout.splitlines()) == 7
    assert (trained / "fan.png").read_bytes().startswith(b"\x89PNG")
    lines = throughtime("forecast", "run", "load.csv", "--json", folder=trained).stdout.splitlines()
    text = throughtime("forecast", "run", "load.csv", "--csv", folder=trained).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [json.loads(line)["time"] for line in lines] == [row["time"] for row in rows]
    assert rows[0]["time"] == "2024-01-17 16:00"


def test_eval_prints_a_row_for_each_method(trained: Path) -> None:
    printed = throughtime("eval", "run", "load.csv", folder=trained)
    assert printed.returncode == 0, printed.stderr
    assert "is what run was trained on" in printed.stderr
    for method in ("forecaster", "linear", "seasonal naive", "last value"):
        assert method in printed.stdout
    found = json.loads(throughtime("eval", "run", "load.csv", "--json", folder=trained).stdout)
    assert 0 < found["table"]["forecaster"]["coverage_80"] <= 1


def test_anomalies_are_ranked(trained: Path) -> None:
    result = throughtime("forecast", "run", "load.csv", "--anomalies", "--top", "3", "--json", folder=trained)
    scores = [json.loads(line)["score"] for line in result.stdout.splitlines()]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_a_run_is_quantised_exported_and_described(trained: Path) -> None:
    smaller = throughtime("quantize", "run", "--out", "small", "--data", "load.csv", folder=trained)
    assert smaller.returncode == 0 and "mase" in smaller.stdout, smaller.stderr
    assert throughtime("forecast", "small", "load.csv", folder=trained).returncode == 0
    told = json.loads(throughtime("info", "run", "--json", folder=trained).stdout)
    assert (told["task"], told["rows_apart"], told["series"]) == ("forecaster", "1 hour", ["load"])
    pytest.importorskip("onnxruntime")
    exported = throughtime("export", "run", "--onnx", folder=trained)
    assert exported.returncode == 0, exported.stderr
    assert "parameters" in exported.stdout and "No step.onnx" in exported.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forecast", "run", "none.csv"], "none.csv"),
        (["forecast", "run", "load.csv", "--json", "--csv"], "exclude each other"),
        (["forecast", "run", "load.csv", "--top", "3"], "--top is for --anomalies"),
        (["forecast", "run", "load.csv", "--anomalies", "--chart", "a.png"], "leave out --chart"),
        (["predict", "run", "load.csv", "--probabilities"], "--probabilities is for a classifier"),
        (["predict", "run"], "a forecaster reads tables"),
        (["eval", "run", "load.csv", "--skip-bad"], "a series has no rows to leave out"),
        (["train", "load.csv", "--horizon", "9999"], "the longest series has 424 rows"),
        (["train", "load.csv", "--columns", "time"], "every number has another use"),
        (["train", "load.csv", "--loss", "absolute", "--columns", "load"], "it needs --distribution point"),
        (["train", "load.csv", "--series-column", "event"], "--value-column is missing"),
    ],
)
def test_mistakes_are_answered_in_a_line(trained: Path, arguments: list[str], message: str) -> None:
    result = throughtime(*arguments, folder=trained)
    assert result.returncode != 0
    assert message in result.stderr and "Traceback" not in result.stderr
