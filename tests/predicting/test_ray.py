"""Actors of Ray with two processors: the same parts as the local engine's, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.predicting.conftest import hashes, predict, texts
from throughtime.errors import DataError
from throughtime.predicting.predictor import Predictor

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = pytest.mark.slow  # Ray takes ten seconds to start its processes


def test_ray_writes_the_same_parts_and_takes_the_predictor(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    root = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text\n" + "\n".join(texts(300, seed=9)) + "\n")
    Path("bad.csv").write_text("text,id\n ,1\n")
    predict(run, ["a.csv"], Path("near"), part_rows=40)
    environment = {
        "env_vars": {"PYTHONPATH": f"{root}:{root / 'src'}", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    }
    ray.init(
        num_cpus=2,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    try:
        predict(run, ["a.csv"], Path("far"), part_rows=40, engine="ray", processes=2)
        assert hashes(Path("near")) == hashes(Path("far"))
        with pytest.raises(DataError, match="bad.csv row 2: text is empty"):
            predict(run, ["bad.csv"], Path("bad"), engine="ray", processes=1)
        table = ray.data.from_items([{"text": text} for text in texts(40, seed=9)])
        found = table.map_batches(
            Predictor,
            fn_constructor_args=[run],
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
        ).to_pandas()
    finally:
        ray.shutdown()
    assert len(found) == 40 and set(found.columns) == {"input", "label", "probability"}
