"""A forecaster from its table to its forecasts, whatever runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tasks.forecaster.tables import hours, load_table, sales_table, waves, write
from throughtime.config import resolve
from throughtime.errors import CheckpointError, DataError, OptionError, RunError
from throughtime.run import Run
from throughtime.tasks.forecaster.run import ForecasterRun
from throughtime.training import Interrupted, resume, train

QUICK: dict[str, Any] = {
    "hidden": 8,
    "epochs": 2,
    "horizon": 4,
    "lookback": 24,
    "threads": 1,
    "tensorboard": False,
}


def trained(folder: Path, source: Path, **options: Any) -> ForecasterRun:
    found = train(source, folder, **{**QUICK, **options})
    assert isinstance(found, ForecasterRun)
    return found


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> tuple[ForecasterRun, Path]:
    """A run of a wide table with an event that is known ahead, and its table."""
    folder = tmp_path_factory.mktemp("load")
    table = load_table(folder / "load.csv", event=True, skip=(100, 101))
    return trained(folder / "run", table, known_future="event"), table


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"distribution": "gaussian", "window_norm": "mean", "segment": 6},
        {"distribution": "student-t", "decoder": "autoregressive"},
        {"distribution": "point", "decoder": "autoregressive", "cell": "lstm"},
        {"distribution": "point", "loss": "absolute", "highway": False, "calendar": False},
        {"distribution": "quantiles", "decoder": "autoregressive", "calendar": False},
    ],
)
def test_native_says_what_torch_says(tmp_path: Path, options: dict[str, Any]) -> None:
    run = trained(tmp_path / "run", load_table(tmp_path / "load.csv"), **options)
    native = list(run.forecast(tmp_path / "load.csv"))
    torch = list(ForecasterRun.open(run.folder, "torch").forecast(tmp_path / "load.csv"))
    assert [row["time"] for row in native] == [row["time"] for row in torch]
    for mine, other in zip(native, torch, strict=True):
        assert mine.keys() == other.keys()
        numbers = [name for name in mine if name not in ("series", "time")]
        np.testing.assert_allclose(
            [mine[n] for n in numbers], [other[n] for n in numbers], rtol=1e-3, atol=1e-3
        )
        if options.get("distribution") != "point":
            assert mine["low_95"] <= mine["low_80"] <= mine["high_80"] <= mine["high_95"]


def test_counts_of_several_series_with_what_they_are(tmp_path: Path) -> None:
    table = sales_table(tmp_path / "sales.csv")
    run = trained(
        tmp_path / "run", table, series_column="store", value_column="sales", static_columns="size",
        distribution="negative-binomial", series_identity=True,
    )  # fmt: skip
    rows = list(run.forecast(table))
    assert [row["series"] for row in rows[::4]] == ["s0", "s1", "s2"] and rows[0]["time"] == "2023-01-01"
    assert all(row["low_95"] >= 0 and row["low_95"] == int(row["low_95"]) for row in rows)
    assert run.evaluate(table)["table"]["forecaster"]["mase"] < 2
    fourth = table.read_text().replace("s2,", "s9,")
    (tmp_path / "other.csv").write_text(fourth)
    with pytest.raises(DataError, match="'s9' was not in the training"):
        list(run.forecast(tmp_path / "other.csv"))


def test_numbers_that_are_no_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"series 'load' holds 30.*negative-binomial is for counts"):
        trained(tmp_path / "run", load_table(tmp_path / "load.csv"), distribution="negative-binomial")
    assert not (tmp_path / "run").exists()


def test_joint_series_read_each_other(tmp_path: Path) -> None:
    rows = [(n, value, value * 2) for n, value in enumerate(waves(200))]
    table = write(tmp_path / "two.csv", ("t", "a", "b"), *rows)
    run = trained(tmp_path / "run", table, joint=True, time_column="t")
    assert [row["series"] for row in run.forecast(table)] == ["a"] * 4 + ["b"] * 4


def test_what_is_known_ahead_has_to_be_given(load: tuple[ForecasterRun, Path], tmp_path: Path) -> None:
    run, table = load
    lines = table.read_text().splitlines()
    (tmp_path / "past.csv").write_text("\n".join(lines[:-24]) + "\n")
    (tmp_path / "future.csv").write_text("\n".join([lines[0], *lines[-24:]]) + "\n")
    at_end = list(run.forecast(table))
    assert at_end == list(run.forecast(tmp_path / "past.csv", tmp_path / "future.csv"))
    assert at_end == list(run.predict([table]))
    names, *rows = (line.split(",") for line in lines)
    columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    past, future = (
        {name: column[part] for name, column in columns.items()} for part in (slice(-24), slice(-24, None))
    )
    assert (
        at_end
        == list(run.forecast(columns))
        == list(run.forecast(past, future))
        == list(run.predict(columns))
    )
    with pytest.raises(DataError, match=r"'event' of 2024-01-17 16:00 is not given.*--future"):
        list(run.forecast(tmp_path / "past.csv"))


def test_the_future_of_what_is_known_ahead_changes_the_forecast(load: tuple[ForecasterRun, Path]) -> None:
    run, table = load
    lines = table.read_text().splitlines()
    other = table.with_name("other.csv")
    other.write_text("\n".join([*lines[:-24], *(line[:-1] + "1" for line in lines[-24:])]) + "\n")
    assert list(run.forecast(table)) != list(run.forecast(other))


def test_a_table_that_is_too_short_says_how_short(load: tuple[ForecasterRun, Path], tmp_path: Path) -> None:
    run, table = load
    (tmp_path / "short.csv").write_text("\n".join(table.read_text().splitlines()[:11]) + "\n")
    with pytest.raises(DataError, match=r"'load' has 10 rows.*reads 24"):
        list(run.forecast(tmp_path / "short.csv"))
    with pytest.raises(DataError, match=r"no window of 24 \+ 4 steps.*--context"):
        run.evaluate(tmp_path / "short.csv")
    with pytest.raises(DataError, match=r"no value with 24 rows before it"):
        run.anomalies(tmp_path / "short.csv")


def test_a_validation_table_may_hold_other_series(tmp_path: Path) -> None:
    table = sales_table(tmp_path / "sales.csv")
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("s0,", "x,"))
    names = {"series_column": "store", "value_column": "sales"}
    run = trained(tmp_path / "run", table, validation=str(other), **names)
    own = run.evaluate(table)["table"]["forecaster"]
    assert run.evaluate(other)["table"]["forecaster"]["mae"] == pytest.approx(own["mae"], rel=0.2)


def test_short_series_can_be_left_out_with_a_count(tmp_path: Path) -> None:
    table = sales_table(tmp_path / "sales.csv")
    run = trained(tmp_path / "run", table, series_column="store", value_column="sales")
    with table.open("a") as file:
        file.write("new,2023-01,4,big\nnew,2023-02,5,big\n")
    with pytest.raises(DataError, match=r"series 'new' has 2 rows"):
        list(run.forecast(table))
    assert {row["series"] for row in run.forecast(table, skip_bad=True)} == {"s0", "s1", "s2"}
    assert "left out 1 bad" in run.left_out and "'new' has 2 rows" in run.left_out


def test_columns_side_by_side_are_forecast_from_the_same_moment(tmp_path: Path) -> None:
    rows = [(n, value, value * 2 if n < 195 else "") for n, value in enumerate(waves(200))]
    table = write(tmp_path / "two.csv", ("t", "a", "b"), *rows)
    run = trained(tmp_path / "run", table, joint=True, time_column="t")
    assert [row["time"] for row in run.forecast(table)] == ["200", "201", "202", "203"] * 2


def test_more_series_than_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHTIME_MAX_SERIES_BYTES", "1000")
    with pytest.raises(
        DataError, match=r"1 series with 8 numbers for each step take .*THROUGHTIME_MAX_SERIES"
    ):
        trained(tmp_path / "run", load_table(tmp_path / "load.csv"))
    with pytest.raises(OptionError, match="pass --no-highway"):
        resolve({"task": "forecaster"}, {"lookback": 100_000, "horizon": 1000})


def test_eval_measures_the_baselines_beside_it_and_takes_context(
    load: tuple[ForecasterRun, Path], tmp_path: Path
) -> None:
    run, table = load
    lines = table.read_text().splitlines()
    (tmp_path / "before.csv").write_text("\n".join(lines[:301]) + "\n")
    (tmp_path / "after.csv").write_text("\n".join([lines[0], *lines[301:-24]]) + "\n")
    (tmp_path / "both.csv").write_text("\n".join([lines[0], *lines[277:-24]]) + "\n")
    found = run.evaluate(tmp_path / "after.csv", context=tmp_path / "before.csv")
    assert found == run.evaluate(tmp_path / "both.csv")
    assert list(found["table"]) == ["forecaster", "linear", "seasonal naive", "last value"]
    assert found["windows"] == len(lines) - 24 - 301 - 4 + 1
    with pytest.raises(DataError, match="rows missing between them"):
        run.evaluate(tmp_path / "after.csv", context=write_part(tmp_path / "gap.csv", lines, 200))


def write_part(path: Path, lines: list[str], rows: int) -> Path:
    path.write_text("\n".join(lines[: rows + 1]) + "\n")
    return path


def test_the_odd_value_is_on_top(load: tuple[ForecasterRun, Path], tmp_path: Path) -> None:
    run, table = load
    lines = table.read_text().splitlines()
    time, _, event = lines[200].split(",")
    lines[200] = f"{time},95,{event}"
    (tmp_path / "odd.csv").write_text("\n".join(lines) + "\n")
    found = run.anomalies(tmp_path / "odd.csv")
    # The value after it may be as odd: it is forecast from the odd one.
    assert time in [one.time for one in sorted(found, key=lambda one: -one.score)[:2]]
    assert found[-1].time == lines[-25].split(",")[0]  # the last value has a score, too


def test_names_that_are_known_ahead_are_read_and_asked_for(tmp_path: Path) -> None:
    times, table = hours(400), tmp_path / "load.csv"
    named = ["Easter" if hour % 31 < 3 else "" for hour in range(400)]
    rows = [
        (t, hour % 24 + 30 * bool(name), name)
        for hour, (t, name) in enumerate(zip(times, named, strict=True))
    ]
    write(table, ("time", "load", "event"), *rows)
    run = trained(tmp_path / "run", table, known_future="event", epochs=10, batch=8, learning_rate=0.01)
    ahead = write(
        tmp_path / "ahead.csv", ("time", "event"), *zip(hours(404)[400:], ["Easter"] * 4, strict=True)
    )
    quiet = write(tmp_path / "quiet.csv", ("time", "event"), *zip(hours(404)[400:], [""] * 4, strict=True))
    busy, usual = ([row["forecast"] for row in run.forecast(table, future=one)] for one in (ahead, quiet))
    assert min(np.subtract(busy, usual)) > 5
    session = ForecasterRun.open(run.folder).session()
    for time, value, name in rows:
        session.update({"time": time, "load": value, "event": name})
    assert [row["forecast"] for row in session.forecast([{"event": "Easter"}] * 4)] == busy
    with pytest.raises(DataError, match="'event': 'Xmas' is a name that the training table does not have"):
        session.forecast([{"event": "Xmas"}] * 4)
    with pytest.raises(DataError, match=r"'event' of .* is not given, and a forecast"):
        list(run.forecast(table))


def test_a_session_says_what_a_file_says_and_goes_on_after_a_snapshot(
    load: tuple[ForecasterRun, Path],
) -> None:
    run, table = load
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    session = run.session()
    with pytest.raises(DataError, match="reads 24 rows, and 0 came"):
        session.forecast()
    ahead = [{"event": row[2]} for row in rows[-24:]]
    for time, value, event in rows[:-30]:
        session.update({"time": time, "load": value, "event": event})
    saved = session.snapshot()
    session = run.restore_session(saved)
    for time, value, event in rows[-30:-24]:
        session.update({"time": time, "load": float(value), "event": event})
    assert session.forecast(ahead) == list(run.forecast(table))
    assert session.rows == 24
    with pytest.raises(DataError, match="lacks 'load'"):
        session.update({"time": "2024-03-01 00:00"})
    with pytest.raises(DataError, match="is not after the last one"):
        session.update({"time": rows[0][0], "load": 1, "event": 0})
    with pytest.raises(DataError, match="needs 4 rows with event"):
        session.forecast()


@pytest.mark.parametrize("parts", [("day", "clock"), ("month",), ("seconds",)])
def test_a_session_reads_times_as_its_table_has_them(tmp_path: Path, parts: tuple[str, ...]) -> None:
    forms: dict[str, Any] = {
        "day": [time[:10] for time in hours(200)],
        "clock": [time[11:] for time in hours(200)],
        "month": [f"{2005 + month // 12}{month % 12 + 1:02}" for month in range(200)],
        "seconds": [1_700_000_000 + 3600 * number for number in range(200)],
    }
    rows = list(zip(*(forms[part] for part in parts), waves(200), strict=True))
    table = write(tmp_path / "a.csv", (*parts, "load"), *rows)
    run = trained(tmp_path / "run", table, time_column=",".join(parts), epochs=1)
    session = run.session()
    for row in rows:
        session.update(dict(zip((*parts, "load"), row, strict=True)))
    assert session.forecast() == list(run.forecast(table))
    with pytest.raises(DataError, match=f"the row lacks '{parts[-1]}'"):
        session.update({"load": 1, **dict(zip(parts[:-1], rows[0], strict=False))})


def test_damaged_snapshots_are_refused(load: tuple[ForecasterRun, Path]) -> None:
    run, _ = load
    session = run.session()
    session.update({"time": "2024-03-01 00:00", "load": 1, "event": None})
    state = json.loads(session.snapshot())
    changes = ({"run": "x"}, {"version": 9}, {"values": [1.0]}, {"missing": [7]}, {"place": "x"}, {"more": 1})
    for change in (*changes, {"values": [], "missing": [0]}):
        with pytest.raises(CheckpointError):
            run.restore_session(json.dumps({**state, **change}).encode())
    with pytest.raises(CheckpointError, match="no JSON"):
        run.restore_session(b"\xff")


def test_a_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    from tests.training.test_launch import Interrupter

    table = load_table(tmp_path / "load.csv")
    whole = trained(tmp_path / "whole", table)
    with pytest.raises(Interrupted):
        train(table, tmp_path / "parts", show=Interrupter(7), **QUICK)
    resume(tmp_path / "parts")
    first, second = (
        (folder / "model.safetensors").read_bytes() for folder in (whole.folder, tmp_path / "parts")
    )
    assert first == second


def test_what_is_left_to_the_data_is_settled_and_kept(tmp_path: Path) -> None:
    run = train(
        load_table(tmp_path / "load.csv", 800), tmp_path / "run", hidden=4, epochs=1, tensorboard=False
    )
    data, model = run.config.data, run.config.model
    assert isinstance(run, ForecasterRun)
    assert (data.horizon, data.lookback, data.season, model.segment) == (24, 168, 24, 24)  # type: ignore[attr-defined]
    assert run.config.training.batch == 32
    assert run.describe()["rows_apart"] == "1 hour"
    assert (tmp_path / "run" / "forecast.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment": 5}, "--segment 5 does not divide --lookback 24"),
        ({"decoder": "autoregressive", "segment": 4}, "one step after the other"),
        ({"series_column": "x"}, "needs both"),
        ({"joint": True, "series_column": "x", "value_column": "y"}, "side by side"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolve({"task": "forecaster"}, {"lookback": 24, **options})


def test_columns_known_up_to_now_need_a_direct_decoder(tmp_path: Path) -> None:
    rows = [(n, value, value * 2) for n, value in enumerate(waves(200))]
    table = write(tmp_path / "two.csv", ("t", "a", "b"), *rows)
    with pytest.raises(OptionError, match="--past-columns needs --decoder direct"):
        trained(tmp_path / "run", table, columns="a", past_columns="b", decoder="autoregressive")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "series.json",
            lambda text: text.replace('"scale": ', '"scale": -'),
            "series.0.scale: input should be",
        ),
        ("series.json", lambda text: text.replace('"step": ', '"step": "x'), "series.json is damaged"),
        (
            "series.json",
            lambda text: text.replace('"step": ', '"step": 1e-99, "x": '),
            "frequency.step: input",
        ),
        (
            "series.json",
            lambda text: text.replace('"origin": ', '"origin": 1e99, "x": '),
            "frequency.origin: input",
        ),
        ("series.json", lambda text: text.replace('"training": [', '"training": [1, '), "do not fit"),
        ("series.json", lambda text: text.replace('"past": 0', '"past": 7'), "do not fit"),
        ("series.json", lambda text: text.replace('"shift": ', '"shift": 1e999'), "series.json is damaged"),
        ("series.json", lambda text: text.replace('"training": [', '"training": [-'), "is damaged"),
        ("config.toml", lambda text: text.replace("horizon = 4", "horizon = 0"), "have to be set"),
        (
            "config.toml",
            lambda text: text.replace("lookback = 24", "lookback = 48"),
            r"linear\.npy is damaged, or of another run .*for a lookback of 48 and a horizon of 4",
        ),
    ],
)
def test_damaged_facts_are_refused(tmp_path: Path, name: str, change: Any, message: str) -> None:
    run = trained(tmp_path / "run", load_table(tmp_path / "load.csv"))
    path = run.folder / name
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=message):
        list(Run.open(run.folder).predict([tmp_path / "load.csv"]))


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_a_linear_baseline_is_checked_and_large_weights_are_no_fault(tmp_path: Path, value: float) -> None:
    run = trained(tmp_path / "run", load_table(tmp_path / "load.csv"))
    path = run.folder / "linear.npy"
    np.save(path, np.full_like(np.load(path), value))
    opened = Run.open(run.folder)
    assert isinstance(opened, ForecasterRun)
    if np.isfinite(value):
        assert opened.evaluate(tmp_path / "load.csv")
        return
    with pytest.raises(RunError, match=r"linear.npy is damaged: a weight is not finite"):
        opened.evaluate(tmp_path / "load.csv")
