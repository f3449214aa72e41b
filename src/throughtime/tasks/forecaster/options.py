"""The options of a forecaster: numbers over time, and what they will be."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_RATE,
    MOST_UNITS,
    Decimal,
    Encoding,
    Section,
)
from throughtime.config.training import TrainingConfig
from throughtime.encodings import UTF8
from throughtime.tasks.forecaster.steps import EXAMPLES, parse_step

Aggregate = Literal["mean", "sum", "last", "min", "max", "count"]

# Steps of a window, and of a forecast: a year of minutes would be 525,600.
MOST_STEPS = 1 << 17
# Weights of the linear map of a window: 256 MB.
_MOST_IN_HIGHWAY = 1 << 26


class SeriesData(Section):
    """Which columns of a table mean what, and how its rows are split."""

    source: str = Field(default="", description="A table of numbers over time.")
    validation: str | None = Field(
        default=None,
        description="A table to validate on, instead of the last rows of the training table. It may begin "
        "with --lookback rows of the training table, as context.",
    )
    validation_fraction: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share of the rows, the last in time, kept for validation; 0 for none.",
    )
    time_column: str | None = Field(
        default=None,
        description="The column that says when, by name or number from 1; several between commas where a "
        "time stands in parts: a day and a clock, or year, month, day and hour.",
    )
    day_first: bool | None = Field(
        default=None,
        description="Whether dates such as 02/03/2024 begin with the day (default: what the training data "
        "shows).",
    )
    every: str | None = Field(
        default=None,
        description="Bring rows at any times to steps of this length: 10min, 1h, day, week, month. Without "
        "it, they have to be at regular times.",
    )
    aggregate: Aggregate = Field(
        default="mean",
        description="What the value of such a step is made of: the mean, sum, last, smallest or largest "
        "value of its rows, or their number. A step without rows is 0 for sum and count, and else missing.",
    )
    columns: str | None = Field(
        default=None,
        description="The columns to forecast, names or numbers from 1 between commas; without it, all "
        "numbers that have no other use.",
    )
    series_column: str | None = Field(
        default=None,
        description="Long tables: the column that names the series of a row, or several between commas that "
        "tell series apart together, such as store and item.",
    )
    value_column: str | None = Field(default=None, description="Long tables: the column of the values.")
    known_future: str | None = Field(
        default=None,
        description="Columns that are known ahead, such as holidays or prices, between commas; they hold "
        "numbers or names. A forecast needs their future values.",
    )
    past_columns: str | None = Field(
        default=None,
        description="Columns that help and are known only up to now, such as measured weather; numbers or "
        "names.",
    )
    static_columns: str | None = Field(
        default=None,
        description="Long tables: columns that say what a series is, numbers or names, the same in all its "
        "rows.",
    )
    calendar: bool = Field(
        default=True,
        description="Read hour, weekday and month off the time column, as far as the steps are that fine.",
    )
    horizon: int = Field(
        default=0, ge=0, le=MOST_STEPS, description="Steps to forecast; 0 chooses by the time between rows."
    )
    lookback: int = Field(
        default=0,
        ge=0,
        le=MOST_STEPS,
        description="Steps that a forecast is made from; 0 chooses by the time between rows.",
    )
    season: int = Field(
        default=0,
        ge=0,
        le=MOST_STEPS,
        description="Steps after which things repeat, for baselines and MASE; 0 chooses by the time between "
        "rows.",
    )
    encoding: Encoding = Field(default=UTF8, description="The encoding of a table of text.")
    decimal: Decimal = None


class ForecasterNetwork(RecurrenceConfig):
    """The network: a recurrence over the window, a decoder, and what it says of each step to come."""

    cell: str = Field(default="gru", description="The recurrent cell.")
    hidden: int = Field(default=128, ge=1, le=MOST_UNITS, description="Hidden units in each layer.")
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    segment: int = Field(
        default=0,
        ge=0,
        le=MOST_STEPS,
        description="Steps that the recurrence reads together, as one; it has to divide --lookback. 0 "
        "chooses.",
    )
    decoder: Literal["direct", "autoregressive"] = Field(
        default="direct",
        description="Say all steps at once, or one after the other, each from those before.",
    )
    window_norm: Literal["none", "last", "mean"] = Field(
        default="last",
        description="What is taken off a window and added to its forecast: its last value, its mean, or "
        "nothing.",
    )
    highway: bool = Field(
        default=True,
        description="Add a linear map of the window to what the recurrence says (direct decoder).",
    )
    joint: bool = Field(
        default=False,
        description="Wide tables: let every series read the windows of all the others, too.",
    )
    series_identity: bool = Field(
        default=False,
        description="Tell the network which series it reads; it then knows those of the training only.",
    )
    distribution: Literal["point", "gaussian", "student-t", "quantiles", "negative-binomial"] = Field(
        default="quantiles",
        description="What is said of each step: a number; a normal or a Student t distribution; seven "
        "quantiles; or a negative binomial one, for counts.",
    )
    output_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Dropout on what the decoder reads of the recurrence."
    )
    # A horizon and a lookback are sizes of the network; `prepare` settles them here.
    beside_the_program: ClassVar[frozenset[str]] = RecurrenceConfig.beside_the_program


class ForecasterTraining(TrainingConfig):
    """Windows drawn from the training part, the same loss at every step of the horizon."""

    epochs: int = Field(default=20, ge=1, le=MOST_COUNTED, description="Passes over the training windows.")
    batch: int = Field(default=64, ge=1, le=MOST_COUNTED, description="Windows for each update.")
    learning_rate: float = Field(default=1e-3, gt=0, le=MOST_RATE, description="Peak learning rate.")
    early_stopping: int = Field(
        default=5,
        ge=0,
        le=MOST_COUNTED,
        description="Stop after this many evaluations without improvement; 0 never stops.",
    )
    loss: Literal["squared", "absolute"] = Field(
        default="squared",
        description="Of --distribution point: squared for the mean, absolute for the median.",
    )
    stride: int = Field(
        default=1, ge=1, le=MOST_COUNTED, description="Rows between the starts of two training windows."
    )


class ForecasterConfig(RunConfig):
    """All options of a forecaster."""

    task: Literal["forecaster"] = "forecaster"
    data: SeriesData = SeriesData()
    model: ForecasterNetwork = ForecasterNetwork()
    training: ForecasterTraining = ForecasterTraining()

    @model_validator(mode="after")
    def _fits_together(self) -> ForecasterConfig:
        data, model = self.data, self.model
        if data.every is not None and parse_step(data.every) is None:
            raise ValueError(f"--every has to be a time, {EXAMPLES}, or a number, not {data.every!r:.60}")
        if model.decoder == "autoregressive" and model.segment > 1:
            raise ValueError("--decoder autoregressive says one step after the other: leave out --segment")
        if data.lookback and model.segment and data.lookback % model.segment:
            raise ValueError(f"--segment {model.segment} does not divide --lookback {data.lookback}")
        if (data.series_column is None) != (data.value_column is None):
            raise ValueError("a long table needs both --series-column and --value-column")
        if data.columns is not None and data.series_column is not None:
            raise ValueError("--columns are of a wide table, and --series-column is of a long one")
        if data.static_columns is not None and data.series_column is None:
            raise ValueError("--static-columns are of a long table: it needs --series-column")
        if model.joint and data.series_column is not None:
            raise ValueError("--joint needs series side by side in one wide table")
        if model.highway and model.decoder == "direct" and data.lookback * data.horizon > _MOST_IN_HIGHWAY:
            raise ValueError(
                f"a linear map of {data.lookback:,} steps to {data.horizon:,} is too large: pass --no-highway"
            )
        return self
