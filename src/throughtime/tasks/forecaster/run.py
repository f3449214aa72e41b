"""The run of a forecaster: what numbers over time will be, and which of them are odd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.lines import shown
from throughtime.data.tables import BadRows, TableFormat
from throughtime.errors import DataError, MissingExtraError, OptionError
from throughtime.in_memory import Data, known_options, on_disk, takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.run.run import Run, refuse_text
from throughtime.tasks.forecaster import prepared
from throughtime.tasks.forecaster.anomalies import Oddity, odd_rows
from throughtime.tasks.forecaster.backtest import backtest
from throughtime.tasks.forecaster.baselines import Linear, fit_linear
from throughtime.tasks.forecaster.defaults import settle_sizes
from throughtime.tasks.forecaster.distributions import LEVELS
from throughtime.tasks.forecaster.options import ForecasterConfig
from throughtime.tasks.forecaster.prediction import Forecast, Forecasting
from throughtime.tasks.forecaster.prepared import SERIES, Prepared, SeriesFile
from throughtime.tasks.forecaster.scaling import measure
from throughtime.tasks.forecaster.series import Series, SeriesTable, find_roles, read_series, with_names
from throughtime.tasks.forecaster.session import ForecastSession
from throughtime.tasks.forecaster.steps import Steps
from throughtime.tasks.forecaster.windows import Windows

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

PICTURE = "forecast.png"
# Series in the picture of a training.
MOST_FANS = 4
DATA = "data"
# Both intervals of a forecast, by the places of their ends among the levels.
INTERVALS = {"low_95": 0, "low_80": 1, "high_80": 5, "high_95": 6}


class ForecasterRun(Run):
    """A trained forecaster in its folder.

    Example:
        run = ForecasterRun.open("runs/sales")
        for row in run.forecast("recent.csv"):
            print(row["time"], row["forecast"], row["low_80"], row["high_80"])
    """

    task = "forecaster"
    config: ForecasterConfig
    known: SeriesFile

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        form = TableFormat.of(data)
        columns = (
            "time_column", "columns", "series_column", "value_column", "known_future", "past_columns",
            "static_columns",
        )  # fmt: skip
        roles = find_roles(data.source, form, **{name: getattr(data, name) for name in columns})
        roles = with_names(data.source, roles, form)
        for column, found in roles.names.items():
            listed = ", ".join(map(shown, found[:10])) + (", ..." if len(found) > 10 else "")
            count = f"{len(found)} name{'s' * (len(found) > 1)}"
            show.remark(f"{data.source}: column {shown(column)} has {count}: {listed}")
        steps = Steps.of(data)
        table = read_series(data.source, roles, form, steps=steps)
        self.config = settle_sizes(self.config, table, roles)
        data = self.config.data
        validation = None
        if data.validation is not None:
            validation = read_series(data.validation, roles, form, table.frequency, steps)
        for one in (table, validation):
            if one is not None and one.remarks():
                show.remark(one.remarks())
        counts = self.config.model.distribution == "negative-binomial"
        if counts:
            for one in (table, *([] if validation is None else [validation])):
                prepared.expect_counts(one)
        kept = prepared.training_lengths(table, self.config, validation is not None)
        model = self.config.model
        scaling = measure(
            table.series, kept, roles, data.season, counts, data.calendar, model.joint, model.series_identity
        )
        self.known = SeriesFile(roles, table.frequency, scaling, kept)
        self.known.save(self.folder / SERIES)
        prepared.write_part(self.folder / DATA, "training", table)
        if validation is not None:
            prepared.write_part(self.folder / DATA, "validation", validation)
        training, held_out = self._windows()
        if not len(training):
            raise DataError(
                f"{data.source}: no training window of {data.lookback} + {data.horizon} steps fits into its "
                f"{max(kept, default=0):,} training rows: choose a smaller --lookback or --horizon, or bring "
                f"more rows"
            )
        if held_out is None or not len(held_out):
            if data.validation is not None:
                raise DataError(
                    f"{data.validation}: no window of {data.lookback} + {data.horizon} steps fits into it: "
                    f"let it begin with the last {data.lookback} rows of the training"
                )
            if data.validation_fraction:
                show.remark("too few rows to hold any out for validation: the last weights are kept")
        self.fit_to_data(len(training), show, "windows")
        linear = fit_linear(training, held_out)
        prepared.write_linear(self.folder, linear)

    def load(self) -> None:
        self.known = SeriesFile.load(self.folder / SERIES, self.config)
        if (self.folder / prepared.LINEAR).exists():
            # An autoregressive network would go on to any horizon that config.toml says.
            prepared.map_linear(self.folder, self.config)

    def build_model(self) -> nn.Module:
        from throughtime.tasks.forecaster.model import AutoregressiveForecaster, Forecaster

        kind = AutoregressiveForecaster if self.config.model.decoder == "autoregressive" else Forecaster
        return kind(self.config.model, self.known.shape(self.config))

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.forecaster.model import Forecaster
        from throughtime.tasks.forecaster.training import ForecastTask

        # A resumed training puts its own weights in this one's place.
        if isinstance(model, Forecaster) and self.config.training.init_from is None:
            model.begin_with(self._linear)
        training, validation = self._windows()
        errors = self._naive_errors(validation.names if validation is not None else [])
        return ForecastTask(model, training, validation, self.config, errors)  # type: ignore[arg-type]

    def predictor(self, network: Functions) -> Forecasting:
        return Forecasting(network, self.config.model.distribution, self.config.training.seed)

    def port_sizes(self) -> dict[tuple[str, str], int]:
        shape = self.known.shape(self.config)
        if self.config.model.decoder == "direct":
            return {("forecast", "features"): shape.features} if shape.features else {}
        return {("step", "future"): shape.future} if shape.future else {}

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        return (SERIES,), {"levels": list(LEVELS), "distribution": self.config.model.distribution}

    @property
    def pipeline_tag(self) -> str:
        return "time-series-forecasting"

    def next_command(self) -> str:
        return f"Forecast: throughtime forecast {self.folder} recent.csv --chart forecast.png"

    def facts(self) -> dict[str, Any]:
        data = self.config.data
        return {
            "series": [one.name for one in self.known.scaling.series][:1000],
            "rows_apart": self.known.frequency.name,
            **{name: getattr(data, name) for name in ("lookback", "horizon", "season")},
        }

    def conclude(self) -> None:
        """Draw the last window of the validation part, what was forecast beside what came."""
        _, validation = self._windows()
        if validation is None or not len(validation):
            return
        from throughtime.tasks.forecaster.picture import Fan, draw_fans

        chosen: dict[int, int] = {int(owner): number for number, owner in enumerate(validation.series_of)}
        fans = [
            Fan.of_window(validation.names[owner], validation, number, self.network)
            for owner, number in list(chosen.items())[:MOST_FANS]
        ]
        with contextlib.suppress(MissingExtraError):  # without matplotlib there is no picture
            draw_fans(self.folder / PICTURE, fans, self.known.frequency)

    # ---- what it is for

    def forecast(
        self,
        recent: Data,
        future: Data | None = None,
        chart: str | Path | None = None,
        skip_bad: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """What comes after a table of recent rows.

        Args:
            recent: a table with the columns of the training, --lookback rows of each series at least.
            future: a table with the columns that are known ahead, of the steps to come. Without it, they may
                stand at the end of `recent`, in rows whose targets are empty.
            chart: draw the forecast as a fan chart, there.
            skip_bad: leave out series that are too short, with a count in `left_out`.
        Yields:
            series, time, forecast; and low_95, low_80, high_80, high_95, unless the model names one number.
        Raises:
            DataError: the table cannot be used, or is too short.
        """
        known = known_options(self)
        with on_disk(recent, known) as path, on_disk(future, known) as ahead:
            series = self._recent(path, ahead, BadRows(skip_bad))
        yield from self.forecast_series(series, chart)

    def forecast_series(
        self, series: Sequence[Series], chart: str | Path | None = None
    ) -> list[dict[str, Any]]:
        """As `forecast`, of series that end with the last value; covariates go on over the horizon."""
        windows = self._windows_of(series, beyond=True)
        found = [self._said(windows, number, series) for number in range(len(windows))]
        if chart is not None:
            from throughtime.tasks.forecaster.picture import Fan, draw_fans

            step = self.known.frequency
            draw_fans(
                chart,
                [
                    Fan.of_series(one, step, said, self.config.data.horizon)
                    for one, said in zip(series, found, strict=True)
                ],
                step,
            )
        return [row for number, said in enumerate(found) for row in self._rows(windows, number, series, said)]

    @takes_frames
    def predict(self, inputs: Sequence[str | Path], skip_bad: bool = False) -> Iterator[dict[str, Any]]:
        """The forecasts that follow tables, as of `forecast`."""
        refuse_text(inputs, "predict")
        if "-" in map(str, inputs):
            raise OptionError("a forecaster reads tables: throughtime forecast RUN recent.csv")
        for path in inputs:
            yield from self.forecast(path, skip_bad=skip_bad)

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        context: Data | None = None,
    ) -> dict[str, Any]:
        """Backtest on a table: forecasts from every row that has enough before it and behind it.

        Args:
            path: the table. Its first --lookback rows are context only, unless `context` has them.
            skip_bad: must not be set; a series has no rows to leave out.
            progress: called with the share that is done.
            context: a table with the rows before those of `path`.
        Returns:
            windows, horizon, and `table`: for each method its metrics; see `metrics.Scores`.
        Raises:
            DataError: the table cannot be used, or no window fits into it.
        """
        if skip_bad:
            raise OptionError("a series has no rows to leave out: mend the table, or leave cells empty")
        table = self._read(path)
        ranges = None
        if context is not None:
            with on_disk(context, known_options(self)) as place:
                before = self._read(place)
            series, ranges = prepared.joined(before, table)
        else:
            series = table.series
        windows = self._windows_of(series, ranges=ranges)
        data = self.config.data
        if not len(windows):
            raise DataError(
                f"{path}: no window of {data.lookback} + {data.horizon} steps fits into it: let it begin "
                f"with {data.lookback} rows of context, or name the table before it (--context)"
            )
        errors = self._naive_errors(windows.names)
        scores = backtest(self.network, windows, self._linear, data.season, errors, progress)
        return {"windows": len(windows), "horizon": data.horizon, "season": data.season, "table": scores}

    def anomalies(self, data: Data) -> list[Oddity]:
        """How unexpected each value of a table is, given the rows before it, in order.

        Raises:
            DataError: the table cannot be used, or is too short.
        """
        with on_disk(data, known_options(self)) as path:
            series = self._read(path).series
        return odd_rows(self.network, series, self._one_ahead(series), self.known.frequency)

    def session(self) -> ForecastSession:
        """A forecast that goes on with every new row, at constant memory."""
        return ForecastSession(self)

    def restore_session(self, snapshot: bytes) -> ForecastSession:
        """A session that goes on where a snapshot was taken.

        Raises:
            CheckpointError: the snapshot is damaged, or of another run.
        """
        return ForecastSession.restore(self, snapshot)

    # ---- how

    def _read(self, path: str | Path) -> SeriesTable:
        known, data = self.known, self.config.data
        return read_series(path, known.roles, TableFormat.of(data), known.frequency, Steps.of(data))

    def _recent(self, path: str | Path, future: str | Path | None, bad: BadRows) -> list[Series]:
        """The series of a table, cut behind their last value, with what is known of the steps to come.

        The columns of a wide table are cut at the same row: they are forecast from the same moment.
        """
        data = self.config.data
        ahead = None if future is None else prepared.read_future(future, self.known, data)
        table, found = self._read(path), []
        ends = [_end(one) for one in table.series]
        if self.known.roles.series is None:
            ends = [max(ends)] * len(ends)
        for one, last in zip(table.series, ends, strict=True):
            if last < data.lookback:
                message = (
                    f"series {one.name!r:.60} has {last:,} rows up to its last value, and a forecast reads "
                    f"{data.lookback:,}: give it more rows"
                )
                bad.report(path, None, message)
                continue
            found.append(prepared.with_future(one, last, data.horizon, ahead, self.known, str(path)))
        self.left_out = bad.summary()
        return found

    def _windows(self) -> tuple[Windows, Windows | None]:
        """The training and the validation windows of what `prepare` left."""
        found = Prepared.open(self.folder / DATA, self.known, self.config)
        training = self._windows_of(
            found.training, [(0, length) for length in self.known.training], self.config.training.stride
        )
        if found.validation is not None:
            return training, self._windows_of(found.validation)
        rest = [(length, len(one)) for one, length in zip(found.training, self.known.training, strict=True)]
        if all(first == last for first, last in rest):
            return training, None
        return training, self._windows_of(found.training, rest)

    def _windows_of(
        self,
        series: Sequence[Series],
        ranges: Sequence[tuple[int, int]] | None = None,
        stride: int = 1,
        beyond: bool = False,
    ) -> Windows:
        known = self.known
        shape = known.shape(self.config)
        return Windows(series, known.scaling, known.frequency, shape, ranges, stride, beyond)

    def _one_ahead(self, series: Sequence[Series]) -> Windows:
        """Windows whose first step is any row that has enough rows before it, also the last."""
        from dataclasses import replace

        horizon = self.config.data.horizon
        empty = [
            replace(
                one,
                values=np.concatenate([one.values, np.full(horizon - 1, np.nan)]),
                covariates=np.concatenate(
                    [one.covariates, np.full((horizon - 1, one.covariates.shape[1]), np.nan)]
                ),
            )
            for one in series
        ]
        return self._windows_of(empty)

    def _said(self, windows: Windows, number: int, series: Sequence[Series]) -> Forecast:
        name = series[int(windows.series_of[number])].name
        return self.network.forecast(windows.batch(np.array([number])), f"series {name!r:.60}")

    def _rows(
        self, windows: Windows, number: int, series: Sequence[Series], said: Forecast
    ) -> Iterator[dict[str, Any]]:
        name = series[int(windows.series_of[number])].name
        for step, place in enumerate(windows.places(number)):
            row: dict[str, Any] = {
                "series": name,
                "time": self.known.frequency.write(int(place)),
                "forecast": _rounded(said.point[0, step]),
            }
            if said.quantiles is not None:
                row |= {key: _rounded(said.quantiles[0, step, at]) for key, at in INTERVALS.items()}
            yield row

    def _naive_errors(self, names: Sequence[str]) -> NDArray[np.float64]:
        """The unit of MASE of each series; 0 where the training did not have it."""
        known = {one.name: one.naive_error for one in self.known.scaling.series}
        return np.array([known.get(name, 0.0) for name in names])

    @cached_property
    def _linear(self) -> Linear:
        return prepared.read_linear(self.folder, self.config)


def _end(one: Series) -> int:
    """The number of rows up to the last value."""
    there = np.flatnonzero(~np.isnan(one.values))
    return int(there[-1]) + 1 if len(there) else 0


def _rounded(value: np.float64 | NDArray[np.float64]) -> float:
    """Seven digits: what a 32-bit number holds."""
    return float(f"{float(value):.7g}")
