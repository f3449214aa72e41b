"""What is left to the data: horizon, lookback, season and segments."""

from __future__ import annotations

from throughtime.errors import DataError, OptionError
from throughtime.tasks.forecaster.options import ForecasterConfig
from throughtime.tasks.forecaster.series import Roles, SeriesTable

# Horizon and lookback by season: a day of hours from a week, two weeks of days from eight, a year of months
# from three...
_BY_SEASON = {24: (24, 168), 7: (14, 56), 5: (10, 40), 12: (12, 36), 52: (13, 104), 4: (8, 16)}
_OTHERWISE = (24, 96)
# The recurrence reads no more segments than this, where it may choose: its time is that of its steps.
_MOST_SEGMENTS = 60
_LONGEST_SEGMENT = 24


def settle_sizes(config: ForecasterConfig, table: SeriesTable, roles: Roles) -> ForecasterConfig:
    """The options with the sizes that were left to the data.

    Raises:
        DataError: the series are too short for a window.
        OptionError: options do not fit each other.
    """
    data, model = config.data, config.model
    longest = max(len(one) for one in table.series)
    season = data.season or table.frequency.season
    horizon, lookback = _BY_SEASON.get(season, (season, 2 * season) if season > 24 else _OTHERWISE)
    horizon = data.horizon or max(1, min(horizon, longest // 5))
    if not data.lookback:
        lookback = max(lookback, min(2 * horizon, 512))
        lookback = max(2, min(lookback, longest // 3))
        if model.segment:
            lookback = max(model.segment, lookback // model.segment * model.segment)
        elif 1 < season < lookback:
            lookback = lookback // season * season
    else:
        lookback = data.lookback
    if longest < lookback + horizon:
        raise DataError(
            f"{table.path}: the longest series has {longest:,} rows, and a window takes "
            f"{lookback:,} + {horizon:,} (--lookback, --horizon)"
        )
    if model.decoder == "autoregressive" and (roles.past or model.joint):
        option = "--joint" if model.joint else "--past-columns"
        raise OptionError(f"{option} needs --decoder direct: they are not known of the steps to come")
    if model.decoder == "autoregressive" and lookback < 2:
        raise OptionError("--decoder autoregressive needs a --lookback of 2 or more")
    segment = 1 if model.decoder == "autoregressive" else model.segment or _segment(lookback, season)
    if lookback % segment:
        raise OptionError(f"--segment {segment} does not divide --lookback {lookback}")
    settled = {"horizon": horizon, "lookback": lookback, "season": season, "segment": segment}
    return config.changed(settled)


def _segment(lookback: int, season: int) -> int:
    """Steps to read together: a season that is short and leaves four segments, else as few as will do."""
    if lookback <= _MOST_SEGMENTS:
        return 1
    if 1 < season <= _LONGEST_SEGMENT and lookback % season == 0 and lookback // season >= 4:
        return season
    fitting = [size for size in range(1, lookback + 1) if lookback % size == 0 and size <= _LONGEST_SEGMENT]
    enough = [size for size in fitting if lookback // size <= _MOST_SEGMENTS]
    return enough[0] if enough else fitting[-1]
