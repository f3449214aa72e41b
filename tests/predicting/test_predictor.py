"""The predictor as other engines use it: pickled, batch by batch, with columns in and columns out."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from tests.predicting.conftest import texts
from throughtime.errors import DataError, OptionError
from throughtime.predicting.files import Settings, predict_files
from throughtime.run import Run


def test_a_predictor_is_small_as_a_pickle_and_opens_the_run_where_it_is_called(run: Path) -> None:
    predictor = tt.Predictor(run, keep=["id"], probabilities=True)
    batch = {"id": [7, 8], "text": ["a good film", "dull"]}
    said = predictor(batch)
    packed = pickle.dumps(predictor)
    assert len(packed) < 1000
    assert pickle.loads(packed)(batch) == said
    assert list(said) == ["id", "input", "label", "probability", "probabilities"]
    assert said["id"] == [7, 8]
    (expected,) = Run.open(run).classify(["dull"])
    assert said["probability"][1] == expected["probability"]
    assert said["probabilities"][1] == expected["probabilities"]


def test_a_row_has_the_same_prediction_in_every_batch(run: Path) -> None:
    predictor = tt.Predictor(run)
    rows = texts(200, seed=2)
    together = predictor({"text": rows})["probability"]
    assert [predictor({"text": [text]})["probability"][0] for text in rows] == together


def test_tables_of_arrow_come_back_as_tables_with_the_promised_schema(run: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    predictor = tt.Predictor(run, keep=["id"])
    table = pa.table({"id": pa.array([1, 2], pa.int16()), "text": ["good", "bad"], "other": [[1], [2]]})
    answer = predictor(table)
    assert answer.schema.names == ["id", "input", "label", "probability"]
    assert answer.schema.field("id").type == pa.int16()
    assert answer.select(predictor.schema.names).schema == predictor.schema
    (batch,) = table.to_batches()
    assert predictor(batch).equals(answer.to_batches()[0])
    assert predictor(table.slice(0, 0)).num_rows == 0


def test_data_frames_come_back_as_data_frames(run: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["good", "bad"], "id": [1, 2]}, index=[5, 9])
    answer = tt.Predictor(run, keep=["id"])(frame)
    assert list(answer.columns) == ["id", "input", "label", "probability"]
    assert list(answer.index) == [5, 9]
    assert answer["probability"].dtype == float


def test_columns_of_numpy_come_back_as_arrays(run: Path) -> None:
    answer = tt.Predictor(run)({"text": np.array(["good", "bad"])})
    assert answer["probability"].dtype == np.float64
    assert answer["label"].dtype == object and len(answer["label"]) == 2


def test_rows_that_cannot_be_used_raise_or_are_null(run: Path) -> None:
    batch: dict[str, Any] = {"text": ["good", " ", None]}
    with pytest.raises(DataError, match="the batch, row 3: column 'text' is missing"):
        tt.Predictor(run)(batch)
    answer = tt.Predictor(run, errors="null")(batch)
    assert answer["error"] == [None, "text is empty", "column 'text' is missing"]
    assert answer["label"][1] is None and answer["label"][0] is not None
    pandas = pytest.importorskip("pandas")
    missing = tt.Predictor(run, errors="null")(pandas.DataFrame(batch, dtype="string"))  # as of Dask
    assert missing["error"].tolist()[1:] == answer["error"][1:]


@pytest.mark.parametrize(
    ("options", "batch", "message"),
    [
        ({}, {"text": ["a"], "id": [1, 2]}, "the batch has 2 values of 'id' and 1 of 'text'"),
        ({}, {"words": ["a"]}, "the batch has no column 'text'; its columns are words"),
        ({"keep": ["id"]}, {"text": ["a"]}, "the batch has no column 'id'"),
        ({"keep": ["label"]}, {"text": ["a"], "label": ["b"]}, "'label' cannot be kept"),
        ({"keep": "id"}, {}, r"keep takes a list of columns: keep=\['id'\]"),
        ({"errors": "skip"}, {}, "errors is 'skip': use 'raise' or 'null'"),
        ({"batch": 0}, {}, "batch is 0"),
        (
            {},
            [1],
            "takes a dictionary of columns, a table of pyarrow or a data frame of pandas: list is none",
        ),
    ],
)
def test_mistakes_are_named(run: Path, options: Any, batch: Any, message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        tt.Predictor(run, **options)(batch)


def test_threads_may_share_a_predictor(run: Path) -> None:
    predictor = tt.Predictor(run)
    batches = [{"text": texts(30, seed=seed)} for seed in range(6)]
    alone = [predictor(batch) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(tt.Predictor(run), batches)) == alone


def test_predicting_imports_neither_torch_nor_pyarrow(run: Path) -> None:
    code = (
        "import sys, throughtime as tt; tt.Predictor(sys.argv[1])({'text': ['good']}); "
        "sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True)


def test_a_run_of_the_hub_is_opened_by_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "models--me--mine"
    shutil.copytree(run, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    predictor = pickle.loads(pickle.dumps(tt.Predictor("hf://me/mine")))
    assert predictor({"text": ["a good film"]}) == tt.Predictor(run)({"text": ["a good film"]})
    (tmp_path / "in.csv").write_text("text\na good film\n")
    settings = Settings(tmp_path / "out", processes=1)
    assert predict_files(predictor, [str(tmp_path / "in.csv")], settings).is_complete
