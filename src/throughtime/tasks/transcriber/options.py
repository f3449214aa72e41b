"""The options of a transcriber: sounds or sequences of numbers, and the text of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_RATE,
    MOST_UNITS,
    AllowOutsideFiles,
    Fill,
    SkipBad,
)
from throughtime.config.sound import SoundFrames
from throughtime.config.training import TrainingConfig

# The largest stack: a second of sound.
_MOST_STACKED = 100


class TranscribedData(SoundFrames):
    """Where the recordings and their texts come from, and how they become steps."""

    source: str = Field(default="", description="A folder of sounds or arrays with a metadata file.")
    validation: str | None = Field(
        default=None, description="A folder to validate on, instead of some of the training recordings."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the recordings, drawn by --seed, kept for validation; 0 for none. A split "
        "column in the metadata overrides it.",
    )
    input: Literal["auto", "sequences", "audio"] = Field(
        default="auto", description="What the recordings are; auto infers it from the files."
    )
    text_column: str | None = Field(
        default=None,
        description="The column with the text, by name or by number from 1 (default: text, transcription, "
        "transcript or sentence).",
    )
    lowercase: bool = Field(default=False, description="Read texts in lower case.")
    stack: int = Field(
        default=3,
        ge=1,
        le=_MOST_STACKED,
        description="Join so many neighbouring frames into one step, so that the network has fewer steps.",
    )
    columns: str | None = Field(
        default=None,
        description="Arrays: read only these columns, names or numbers from 1 between commas.",
    )
    fill: Fill = "none"
    skip_bad: SkipBad = False
    allow_outside_files: AllowOutsideFiles = False


class TranscriberNetwork(RecurrenceConfig):
    """The network: recurrence over stacked frames, and a score for each character and the blank."""

    cell: str = Field(default="gru", description=RecurrenceConfig.model_fields["cell"].description)
    hidden: int = Field(
        default=128, ge=1, le=MOST_UNITS, description="Hidden units in each layer and direction."
    )
    layers: int = Field(default=2, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    bidirectional: bool = Field(
        default=True,
        description="Read from both ends: this sees what comes after a step, but cannot run as a stream.",
    )
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the features of a step.")
    output_dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before the output layer.")


class TranscriberTraining(TrainingConfig):
    """How the transcriber learns."""

    epochs: int = Field(default=30, ge=1, le=MOST_COUNTED, description="Passes over the training data.")
    batch: int = Field(default=16, ge=1, le=MOST_COUNTED, description="Recordings per update.")
    learning_rate: float = Field(default=3e-3, gt=0, le=MOST_RATE, description="Peak learning rate.")


class TranscriberConfig(RunConfig):
    """All options of a transcriber."""

    task: Literal["transcriber"] = "transcriber"
    data: TranscribedData = TranscribedData()
    model: TranscriberNetwork = TranscriberNetwork()
    training: TranscriberTraining = TranscriberTraining()
