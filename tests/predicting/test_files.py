"""Many files: the same bytes however the work is cut, shared out and killed; and what is refused."""

from __future__ import annotations

import csv
import gc
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.predicting.conftest import hashes, predict, rows_of, texts
from throughtime.errors import DataError, OptionError, RunError, ThroughtimeError
from throughtime.predicting import ray_engine
from throughtime.predicting.files import Settings, predict_files
from throughtime.predicting.local import work_locally
from throughtime.predicting.predictor import Predictor
from throughtime.run import Run

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with every format, some of them in row groups or with quoted lines."""
    folder = tmp_path_factory.mktemp("tables")
    rows = texts(700, seed=1)
    table = pa.table({"id": list(range(250)), "text": rows[:250], "extra": [[1.5]] * 250})
    parquet.write_table(table, folder / "a.parquet", row_group_size=40)
    with (folder / "b.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(
            [number, text.replace(" ", "\n", 1) if number % 3 else f'"{text}", é']
            for number, text in enumerate(rows[250:450])
        )
    lines = [
        json.dumps({"text": text, "id": number}) + "\n" * (1 + number % 2)
        for number, text in enumerate(rows[450:600])
    ]
    (folder / "c.jsonl").write_text("".join(lines))
    with gzip.open(folder / "d.tsv.gz", "wt") as file:
        file.write("id\ttext\n" + "".join(f"{number}\t{text}\n" for number, text in enumerate(rows[600:])))
    (folder / "notes.md").write_text("not a table")
    return folder


def test_a_part_has_what_predict_says_of_each_row(run: Path, folder: Path, tmp_path: Path) -> None:
    state = predict(run, [str(folder)], tmp_path / "out", keep=("id",))
    assert (state.files, state.rows, state.left_out, state.is_complete) == (4, 700, 0, True)
    found = [json.loads(line) for line in rows_of(tmp_path / "out")]
    names = ["a.parquet", "b.csv", "c.jsonl", "d.tsv.gz"]
    said = list(Run.open(run).predict([folder / name for name in names]))
    for one, expected in zip(found, said, strict=True):
        assert list(one) == ["file", "row", "id", "input", "label", "probability"]
        assert one["input"] == expected["input"] and one["probability"] == expected["probability"]
    assert Counter(Path(one["file"]).name for one in found) == {
        "a.parquet": 250,
        "b.csv": 200,
        "c.jsonl": 150,
        "d.tsv.gz": 100,
    }
    assert [one["row"] for one in found[:250]] == list(range(1, 251))
    # The line on which a row begins, where cells hold line breaks and lines are empty.
    assert (folder / "c.jsonl").read_text().splitlines()[found[599]["row"] - 1] == json.dumps(
        {"text": found[599]["input"], "id": 149}
    )
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text())["rows"] == 700


@pytest.mark.parametrize("part_rows", [7, 40, 64, 100_000])
def test_rows_are_the_same_however_they_are_cut(
    run: Path, folder: Path, tmp_path: Path, part_rows: int
) -> None:
    whole = rows_of_whole(run, folder, tmp_path)
    predict(run, [str(folder / "*.*")], tmp_path / "cut", keep=("id",), part_rows=part_rows)
    assert rows_of(tmp_path / "cut") == whole
    sizes = [len(part.read_text().splitlines()) for part in (tmp_path / "cut").glob("part-*")]
    # A compressed file cannot be entered in its middle.
    assert sorted(sizes)[-2 if part_rows < 100 else -1] <= max(part_rows, 100)


def rows_of_whole(run: Path, folder: Path, tmp_path: Path) -> list[str]:
    predict(run, [str(folder)], tmp_path / "whole", keep=("id",))
    return rows_of(tmp_path / "whole")


@pytest.mark.parametrize("batch", [1, 33])
def test_rows_are_the_same_whatever_is_predicted_together(
    run: Path, folder: Path, tmp_path: Path, batch: int
) -> None:
    whole = rows_of_whole(run, folder, tmp_path)
    settings = Settings(tmp_path / "out", processes=1)
    predict_files(Predictor(run, keep=["id"], batch=batch), [str(folder)], settings)
    assert rows_of(tmp_path / "out") == whole


def test_two_processes_and_three_shards_write_the_same_bytes(run: Path, folder: Path, tmp_path: Path) -> None:
    for name, shards in (("one", 1), ("three", 3)):
        for index in range(shards):
            state = predict(run, [str(folder)], tmp_path / name, part_rows=50, shard=(index, shards))
            assert state.is_complete == (index == shards - 1)
    state = predict(run, [str(folder)], tmp_path / "two", part_rows=50, processes=2)
    assert state.done == state.parts > 10
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") == hashes(tmp_path / "three")


def test_parquet_parts_are_one_table_with_fixed_columns(run: Path, folder: Path, tmp_path: Path) -> None:
    for name, rows in (("out", 100), ("again", 100)):
        predict(run, [str(folder)], tmp_path / name, keep=("id",), part_rows=rows, format="parquet")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "again")
    from pyarrow import dataset

    table = dataset.dataset(tmp_path / "out").to_table()  # what begins with _ is passed over
    assert table.num_rows == 700
    assert table.schema.names == ["file", "row", "id", "input", "label", "probability"]
    assert table.schema.field("probability").type == pa.float64()
    assert table.schema.field("id").type == pa.string()  # as it is in the tables of text
    predict(run, [str(folder / "a.parquet")], tmp_path / "typed", keep=("id",), format="parquet")
    assert dataset.dataset(tmp_path / "typed").schema.field("id").type == pa.int64()
    lines = [json.loads(line) for line in rows_of_whole(run, folder, tmp_path)]
    assert table.column("probability").to_pylist() == [line["probability"] for line in lines]


def test_a_work_that_is_killed_again_and_again_ends_with_the_same_bytes(run: Path, tmp_path: Path) -> None:
    rows = texts(6_000, seed=4)
    parquet.write_table(pa.table({"text": rows[:3000]}), tmp_path / "a.parquet", row_group_size=700)
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows[3000:]))
    inputs = [str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl")]
    predict(run, inputs, tmp_path / "whole", part_rows=200)
    command = [
        sys.executable,
        "-m",
        "throughtime",
        "predict",
        str(run),
        *inputs,
        "--out",
        str(tmp_path / "killed"),
        "--part-rows",
        "200",
        "--processes",
    ]
    generator = random.Random(5)
    kills = 0
    for attempt in range(12):
        process = subprocess.Popen(
            [*command, "2" if attempt == 1 else "1"], stderr=subprocess.PIPE, start_new_session=True
        )
        if kills < 4:
            _wait_for_parts(tmp_path / "killed", 2 + 5 * kills, process)
            time.sleep(generator.uniform(0, 0.05))
        is_asked = kills == 2
        if kills < 4 and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM if is_asked else signal.SIGKILL)
            kills += 1
        _, said = process.communicate()
        if is_asked:
            assert process.returncode == 143
            assert said.decode().strip().endswith("the same command goes on.")
        if process.returncode == 0:
            break
    assert process.returncode == 0, said.decode()
    assert kills == 4
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob(".*"))


def _wait_for_parts(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if len(list(folder.glob("_done/*.json"))) >= count:
            return
        time.sleep(0.01)


def test_a_shard_clears_away_only_what_it_left_itself(run: Path, folder: Path, tmp_path: Path) -> None:
    predict(run, [str(folder)], tmp_path, part_rows=100, shard=(0, 2))
    left = [tmp_path / f".part-0000{unit}.jsonl.999999999.partial" for unit in (1, 2)]
    for path in left:
        path.write_text("{")
    predict(run, [str(folder)], tmp_path, part_rows=100, shard=(1, 2))
    assert [path.exists() for path in left] == [False, True]


def test_what_an_actor_of_a_killed_command_still_writes_is_cleared_away(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def work(*arguments: Any) -> None:
        work_locally(*arguments)
        (out / f".part-00001.jsonl.{os.getpid()}.partial").write_bytes(b"{")

    monkeypatch.setattr(ray_engine, "work_with_ray", work)
    predict(run, [str(folder)], out, engine="ray")
    assert not list(out.rglob(".*"))


def test_a_part_that_is_lost_or_cut_is_made_again(run: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(run, [str(folder)], out, part_rows=100)
    before = hashes(out)
    parts = sorted(out.glob("part-*"))
    parts[0].unlink()
    parts[1].write_bytes(parts[1].read_bytes()[:-9])
    state = predict(run, [str(folder)], out, part_rows=100)
    assert state.went_on and state.done == len(parts)
    assert hashes(out) == before
    (out / "_done" / "00002.json").write_text("{")
    with pytest.raises(RunError, match=r"00002\.json is damaged .* delete it"):
        predict(run, [str(folder)], out, part_rows=100)


def test_bad_rows_go_to_a_file_of_errors_or_are_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "bad.csv"
    table.write_bytes(b"text,id\ngood film,1\n,2\nfine,3,4\nfun \xff,5\nflat,6\n")
    with pytest.raises(DataError, match=r"bad\.csv row 3: text is empty \(pass --skip-bad"):
        predict(run, [str(table)], tmp_path / "out")
    unheard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unheard.append)
    with pytest.raises(DataError, match=r"bad\.csv row 3: text is empty"):
        predict(run, [str(table)], tmp_path / "arrow", format="parquet")
    gc.collect()
    assert not unheard  # of a file that was left open
    state = predict(run, [str(table)], tmp_path / "out", skip_bad=True)
    assert (state.rows, state.left_out) == (2, 3)
    errors = (tmp_path / "out" / "_errors" / "00000.jsonl").read_text().splitlines()
    assert [(one["row"], one["reason"][:14]) for one in map(json.loads, errors)] == [
        (3, "text is empty"),
        (4, "3 fields, expe"),
        (5, "byte 0xff is n"),
    ]
    predict(run, [str(table)], tmp_path / "cut", skip_bad=True, part_rows=1)
    cut = [
        line
        for path in sorted((tmp_path / "cut" / "_errors").iterdir())
        for line in path.read_text().splitlines()
    ]
    assert cut == errors
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "out")


def test_other_inputs_options_or_models_are_refused(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.csv"
    table.write_text("text\ngood\nbad\n")
    out = tmp_path / "out"
    predict(run, [str(table)], out)

    def refused(inputs: list[Path], folder_of_run: Path = run, **settings: Any) -> str:
        with pytest.raises(ThroughtimeError) as error:
            predict(folder_of_run, [str(one) for one in inputs], out, **settings)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "begun with part-rows 20000, and now it is 7" in refused([table], part_rows=7)
    assert "begun with format 'jsonl', and now it is 'parquet'" in refused([table], format="parquet")
    assert "begun with keep [], and now it is ['text']" in refused([table], keep=("text",))
    assert "c.jsonl, which is new" in refused([table, folder / "c.jsonl"])
    table.write_text("text\ngood\nbad\nfun\n")
    assert "a.csv has changed since" in refused([table]) and "14 bytes, now 18" in refused([table])
    import shutil

    shutil.copytree(run, tmp_path / "other")
    labels = json.loads((tmp_path / "other" / "labels.json").read_text())
    (tmp_path / "other" / "labels.json").write_text(json.dumps(labels).replace("down", "DOWN"))
    assert "begun with another model" in refused([table], tmp_path / "other")
    plan = (out / "_plan.json").read_text()
    for damaged in ("[]", plan.replace('"rows": 2', '"rows": 4'), plan.replace('"rows": 2', '"rows": "x"')):
        (out / "_plan.json").write_text(damaged)
        assert "_plan.json is damaged" in refused([table])
    (out / "_plan.json").unlink()
    assert "is not empty, and holds no _plan.json" in refused([table])


def test_a_file_that_changes_while_it_is_read_is_refused(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("text\ngood\nbad\n")

    def change(state: Any) -> None:
        table.write_text("text\ngood\nbad\nfun\n")

    settings = Settings(tmp_path / "out", processes=1)
    with pytest.raises(DataError, match=r"a\.csv has changed since the work began \(14 bytes, now 18\)"):
        predict_files(Predictor(run), [str(table)], settings, change)
    assert not list((tmp_path / "out").glob("part-*"))


def test_what_is_kept_may_be_what_json_and_int64_cannot_hold(run: Path, tmp_path: Path) -> None:
    lines = '{"text"\n{"text": "good film", "x": [Infinity, 1], "y": NaN}\n'
    (tmp_path / "a.jsonl").write_text(lines)
    state = predict(run, [str(tmp_path / "a.jsonl")], tmp_path / "out", keep=("x", "y"), skip_bad=True)
    assert (state.rows, state.left_out) == (1, 1)  # the columns are those of the first line that is JSON
    found = json.loads(rows_of(tmp_path / "out")[0])
    assert found["x"] == [None, 1] and found["y"] is None
    table = pa.table({"text": ["good film"], "n": pa.array([2**64 - 1], pa.uint64())})
    parquet.write_table(table, tmp_path / "b.parquet")
    predict(run, [str(tmp_path / "b.parquet")], tmp_path / "typed", keep=("n",), format="parquet")
    assert parquet.read_table(tmp_path / "typed").column("n").to_pylist() == [str(2**64 - 1)]
    with pytest.raises(OptionError, match="'row' cannot be kept"):
        predict(run, [str(tmp_path / "a.jsonl")], tmp_path / "other", keep=("row",))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["none.csv"], "none.csv: no such file or folder"),
        (["*.tsv"], r"\*.tsv: no file to read \(the working directory"),
        (["only"], "only: no file to read: 1 other files are there, such as only/notes.md"),
        (["only/notes.md"], "notes.md is not a table that can be read: use .csv"),
        (["empty.csv"], "empty.csv is empty"),
        (["wrong.jsonl"], "wrong.jsonl has no column 'text'; its columns are words"),
        (["wrong.parquet"], "wrong.parquet cannot be read as Parquet"),
        (["nosuch://bucket/a.csv"], "nosuch://bucket/a.csv: Protocol not known: nosuch"),
        ([], "name the files to predict for"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str], message: str
) -> None:
    if any("://" in name for name in inputs):
        pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "notes.md").write_text("no table")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "wrong.jsonl").write_text('{"words": "a"}\n')
    (tmp_path / "wrong.parquet").write_text("no parquet")
    with pytest.raises(ThroughtimeError, match=message) as error:
        predict(run, inputs, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_empty_file_among_others_has_no_rows(run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, content in {"a.csv": "", "b.jsonl": "", "c.csv": "text\nfine\n", "d.csv": "text\n"}.items():
        (tmp_path / "in" / name).write_text(content)
    assert predict(run, [str(tmp_path / "in")], tmp_path / "out").rows == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "spark"}, "--engine 'spark' is unknown: use local or ray"),
        ({"format": "csv"}, "--format 'csv' is unknown"),
        ({"shard": (4, 4)}, "--shard 4/4: the first of 4 shards is 0, the last 3"),
        ({"out": Path("s3://bucket/out")}, "is a URL"),
    ],
)
def test_settings_out_of_range_are_named(run: Path, tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        predict_files(Predictor(run), ["a.csv"], Settings(**{"out": tmp_path, **settings}))


def test_a_process_that_dies_ends_the_work_in_one_line(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from throughtime.predicting import local

    monkeypatch.setattr(local, "_serve", _killed)
    with pytest.raises(RunError, match="a process ended with signal SIGKILL in part [01].*out of memory"):
        predict(run, [str(folder)], tmp_path / "out", part_rows=50, processes=2)


def _killed(job: Any, connection: Any, parent: int) -> None:
    connection.recv()
    os.kill(os.getpid(), signal.SIGKILL)
