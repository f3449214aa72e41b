"""The visitors of a pool: what repeats, what is known ahead, and a demo that shows the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from throughtime.demos import visitors
from throughtime.recognition import recognise
from throughtime.tasks.forecaster.run import ForecasterRun
from throughtime.training import train


def test_nobody_swims_at_night_and_galas_fill_the_pool() -> None:
    hours = list(visitors.visit(np.random.default_rng(0), 60))
    counts, galas = np.array(hours).T.reshape(2, 60, 24)
    assert counts[:, :7].sum() == 0
    assert set(galas.sum(1)) == {0, 4}
    assert counts[galas == 1].mean() > counts[(galas == 0) & (counts > 0)].mean() + 100


def test_the_files_go_on_where_the_others_end(tmp_path: Path) -> None:
    source = visitors.write(tmp_path, 1)
    training, unseen = (path.read_text().splitlines() for path in (source, tmp_path / visitors.UNSEEN))
    assert len(training) == 200 * 24 + 1 and len(unseen) == 42 * 24 + 1
    assert training[-7 * 24 :] == unseen[1 : 7 * 24 + 1]
    assert recognise(source, {"known_future": "gala"}).why.endswith("forecasting `visitors`")


def test_a_trained_run_is_shown_beside_the_truth_and_the_baselines(tmp_path: Path) -> None:
    source = visitors.write(tmp_path, 1)
    quick = {"epochs": 1, "hidden": 4, "stride": 24, "threads": 1, "tensorboard": False}
    run = train(source, tmp_path / "run", **{**visitors.OPTIONS, **quick})
    assert isinstance(run, ForecasterRun)
    text = "".join(visitors.show(run, tmp_path))
    for part in ("A day with a gala", "the day before", "forecaster", "seasonal naive"):
        assert part in text
