"""A forecast that goes on with every new row: a ring of the last rows, and what they say when asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.errors import CheckpointError, DataError
from throughtime.saved import Saved
from throughtime.tasks.forecaster.series import Roles, Series

if TYPE_CHECKING:
    from throughtime.tasks.forecaster.run import ForecasterRun

_VERSION = 1


class ForecastSession:
    """Rows as they come, and forecasts from the last --lookback of them. Memory stays constant.

    Example:
        session = run.session()
        session.update({"time": "2024-05-01 13:00", "load": 31.5})
        ...
        for row in session.forecast():
            print(row)
        saved = session.snapshot()
        session = run.restore_session(saved)

    Args:
        run: the trained forecaster of a wide table.
    Raises:
        DataError: the run is of a long table.
    """

    def __init__(self, run: ForecasterRun) -> None:
        if run.known.roles.series is not None:
            raise DataError(
                "a session follows the columns of a wide table; this run forecasts a long one: use forecast()"
            )
        self._run = run
        self._place: int | None = None
        self._rows: list[list[float]] = []

    @property
    def rows(self) -> int:
        """Rows that are kept, at most --lookback."""
        return len(self._rows)

    def update(self, values: Mapping[str, Any]) -> None:
        """Take the next row in.

        Args:
            values: by the names of the table's columns: the time, the targets (None or NaN where a value is
                missing), and the other columns that the model reads. Steps that are left out are missing.
        Raises:
            DataError: a column is missing or no number, or the time is not after the last one, or off the
                grid.
        """
        place, row = self._read(values)
        gap = 0 if self._place is None else place - self._place - 1
        if gap < 0:
            raise DataError(f"the row at {self._run.known.frequency.write(place)} is not after the last one")
        lookback = self._run.config.data.lookback
        self._rows += [[np.nan] * len(row)] * min(gap, lookback) + [row]
        self._rows = self._rows[-lookback:]
        self._place = place

    def forecast(self, future: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
        """What comes after the last row; rows as of `ForecasterRun.forecast`.

        Args:
            future: rows with the columns that are known ahead, one for each step to come, if there are any.
        Raises:
            DataError: fewer than --lookback rows came, or what is known ahead is missing.
        """
        run, known = self._run, self._run.known
        data = run.config.data
        if self._place is None or len(self._rows) < data.lookback:
            raise DataError(f"a forecast reads {data.lookback:,} rows, and {len(self._rows):,} came so far")
        roles = known.roles
        count, targets = roles.width(roles.known), len(roles.targets)
        ahead = np.full((data.horizon, roles.width(roles.covariates)), np.nan)
        if count:
            if len(future) < data.horizon:
                raise DataError(f"forecast() needs {data.horizon} rows with {', '.join(roles.known)}")
            for step, values in enumerate(future[: data.horizon]):
                ahead[step, :count] = _numbers(values, roles.known, roles)
            if np.isnan(ahead[:, :count]).any():
                raise DataError(f"a row to come lacks a value of {', '.join(roles.known)}")
        rows = np.array(self._rows)
        first = self._place - len(rows) + 1
        series = [
            Series(name, first, rows[:, column], np.concatenate([rows[:, targets:], ahead]))
            for column, name in enumerate(roles.targets)
        ]
        return run.forecast_series(series)

    def snapshot(self) -> bytes:
        """All that going on exactly here needs, as JSON."""
        rows = np.array(self._rows, np.float64).ravel()
        missing = np.flatnonzero(np.isnan(rows)).tolist()
        state = {
            "version": _VERSION,
            "run": _identity(self._run),
            "place": self._place,
            "values": np.nan_to_num(rows).tolist(),
            "missing": missing,
        }
        return json.dumps(state).encode()

    @classmethod
    def restore(cls, run: ForecasterRun, snapshot: bytes) -> ForecastSession:
        """A session that goes on where a snapshot was taken.

        Raises:
            CheckpointError: the snapshot is damaged, or of another run.
        """
        try:
            values = json.loads(snapshot)
        except (ValueError, RecursionError):
            raise CheckpointError("the snapshot is damaged: it is no JSON") from None
        session = cls(run)
        with Saved(values, Path("the snapshot")) as saved:
            saved.integer("version", _VERSION, _VERSION)
            if saved.text("run") != _identity(run):
                raise CheckpointError("the snapshot is of another run")
            session._place = saved.optional_integer("place", -(2**62), 2**62)
            roles = run.known.roles
            width = len(roles.targets) + roles.width(roles.covariates)
            rows = np.array(saved.numbers("values"), np.float64)
            if len(rows) % width or len(rows) > width * run.config.data.lookback:
                saved.refuse("values", len(rows), f"rows of {width} numbers")
            rows[saved.integers("missing", 0, len(rows) - 1)] = np.nan
            session._rows = rows.reshape(-1, width).tolist()
        return session

    def _read(self, values: Mapping[str, Any]) -> tuple[int, list[float]]:
        from throughtime.tasks.forecaster.times import Moments
        from throughtime.tasks.forecaster.written_times import as_dates

        roles = self._run.known.roles
        for column in roles.times:
            if column not in values:
                raise DataError(f"the row lacks {column!r:.60}")
        found = roles.read_time(values, self._run.config.data.day_first)
        frequency = self._run.known.frequency
        if found.unit == "number" and frequency.unit != "number":
            found = (as_dates([found.value]) or [found])[0]
        unit, time, clock, _ = found
        moments = Moments(unit, np.array([time]), [1], clock, "the row,")
        place = int(moments.places(frequency)[0])
        return place, _numbers(values, (*roles.targets, *roles.covariates), roles)


def _numbers(values: Mapping[str, Any], columns: Sequence[str], roles: Roles) -> list[float]:
    found: list[float] = []
    for column in columns:
        if column not in values:
            raise DataError(f"the row lacks {column!r:.60}")
        try:
            found += roles.read(column, values[column])
        except DataError as error:
            raise DataError(f"{column!r:.60}: {error}") from None
    return found


def _identity(run: ForecasterRun) -> str:
    """What tells the sessions of one model from those of another: its columns, grid and sizes."""
    data = run.config.data
    roles = run.known.roles
    facts = [data.lookback, data.horizon, str(roles), str(run.known.frequency)]
    facts += [roles.names] if roles.names else []
    facts += [roles.times] if roles.time_rest else []  # series below each other have no sessions
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
