"""The pages of many files and of sweeps: each command and program runs, where its engine is installed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import folder_for_path
from tests.predicting.conftest import run, texts  # noqa: F401

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(?P<language>sh|python)\n(?P<code>.*?)```(?:\n\n```text\n(?P<output>.*?)```)?", re.S)


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """What the pages begin with: a run, a folder of tables, a table to learn from."""
    shutil.copytree(run, tmp_path / "runs" / "reviews")
    rows = texts(60, seed=3)
    (tmp_path / "reviews").mkdir()
    for number in (1, 2):
        table = pa.table({"id": list(range(30)), "text": rows[30 * number - 30 : 30 * number]})
        parquet.write_table(table, tmp_path / "reviews" / f"{number}.parquet")
    lines = [f"{text},{number},{'up' if 'good' in text else 'down'}\n" for number, text in enumerate(rows)]
    (tmp_path / "more.csv").write_text("text,id,label\n" + "".join(lines))
    (tmp_path / "reviews.csv").write_text((tmp_path / "more.csv").read_text().replace(",id,", ",number,"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str, heading: str | None) -> list[re.Match[str]]:
    """The blocks of a page, of those below a heading, or those before the first recipe."""
    text = (ROOT / "docs" / page).read_text()
    parts = re.split(r"\n#{2,3} (?=Spark|Dask|Ray Data|Optuna)", text)
    part = parts[0] if heading is None else next(one for one in parts[1:] if one.startswith(heading))
    return list(BLOCK.finditer(part))


def execute(match: re.Match[str]) -> None:
    """Run a program of a page, and compare what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(match["code"], "page", "exec"), {"__name__": "example"})
    assert match["output"] is None or printed.getvalue() == match["output"]


def test_the_commands_of_many_files_run(place: Path) -> None:
    programs = [str(folder_for_path()), os.environ["PATH"]]
    for match in blocks("many_files.md", None):
        if match["language"] == "python":
            execute(match)
            continue
        environment = {**os.environ, "PATH": os.pathsep.join(programs)}
        subprocess.run(["sh", "-ec", match["code"]], check=True, env=environment, capture_output=True)
    assert len((place / "predicted" / "part-00000.jsonl").read_text().splitlines()) == 120


def test_dask_predicts_with_the_recipe(place: Path) -> None:
    pytest.importorskip("dask.dataframe", reason="dask is not installed")
    (match,) = blocks("many_files.md", "Dask")
    execute(match)
    assert parquet.read_table(place / "by_dask").num_rows == 60


def test_optuna_searches_with_the_recipe(place: Path) -> None:
    (match,) = blocks("sweeps.md", "Optuna")
    compile(match["code"], "sweeps.md", "exec")
    pytest.importorskip("optuna", reason="optuna is not installed")
    execute(match)
    assert len(list((place / "trials").iterdir())) == 3


@pytest.mark.slow  # a virtual machine of Java starts
def test_spark_predicts_with_the_recipe(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    (match,) = blocks("many_files.md", "Spark")
    execute(match)
    table = parquet.read_table(place / "by_spark")
    assert table.num_rows == 60 and table.schema.names[0] == "id"
    from pyspark.sql import SparkSession

    SparkSession.builder.getOrCreate().stop()


@pytest.mark.slow  # Ray takes ten seconds to start its processes
def test_ray_data_predicts_with_the_recipe(place: Path) -> None:
    ray: Any = pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("ray.data")
    (match,) = blocks("many_files.md", "Ray Data")
    settings = {"include_dashboard": False, "log_to_driver": False}
    ray.init(num_cpus=4, object_store_memory=80 << 20, **settings)
    try:
        execute(match)
    finally:
        ray.shutdown()
    assert parquet.read_table(place / "by_ray").num_rows == 60
