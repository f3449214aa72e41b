"""MLflow: where MLFLOW_TRACKING_URI says, and otherwise where MLflow itself would."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughtime.trackers.tracker import Tracker

EXPERIMENT = "throughtime"
# How many lines it has, logged with each: MLflow keeps equal points twice, and so has to say what it knows.
LINES = "lines_of_metrics"
# What MLflow takes at once, and how long a value may be.
_MOST_PARAMETERS, _LONGEST_VALUE = 100, 500


class MlflowRun(Tracker):
    """A run of MLflow. Its client is told the run each time, so that no global run is touched."""

    def __init__(self, name: str, folder: Path, run: str, lines: int) -> None:
        super().__init__(name, folder, run, lines)
        from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
        from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

        self._client: Any = MlflowClient()
        self._metric, self._parameter = Metric, Param

    def start(self, config: Mapping[str, Any]) -> None:
        client = self._client
        if self.run:
            self.lines = int(client.get_run(self.run).data.metrics.get(LINES, 0))
            client.update_run(self.run, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        self.run = client.create_run(experiment, run_name=self.title).info.run_id
        self.lines = 0
        parameters = [self._parameter(key, value[:_LONGEST_VALUE]) for key, value in _flat(config)]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            client.log_batch(self.run, params=parameters[first : first + _MOST_PARAMETERS])

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        every = {**numbers, LINES: self.lines + 1}
        metrics = [self._metric(name, float(value), now, step) for name, value in every.items()]
        self._client.log_batch(self.run, metrics=metrics)
        self.lines += 1

    def artifact(self, path: Path) -> None:
        self._client.log_artifact(self.run, str(path))

    def finish(self) -> None:
        self._client.set_terminated(self.run)


def _flat(config: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Options in sections as names with dots."""
    found: list[tuple[str, str]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", str(value)))
    return found
