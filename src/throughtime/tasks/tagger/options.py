"""The options of a tagger: clips of video, sound or features; a label, labels or numbers for every frame."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import CELLS, RecurrenceConfig
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
from throughtime.targets.options import TargetTraining

# Frames a second, which divide: a frame in eleven days.
LEAST_FRAME_RATE = 1e-6


class FrameData(SoundFrames):
    """Where the clips come from and how their frames are read."""

    source: str = Field(default="", description="A folder of clips with a metadata file.")
    validation: str | None = Field(
        default=None, description="A folder of clips to validate on, instead of some of the training clips."
    )
    validation_fraction: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Share of the clips (of the groups, if the metadata has them), drawn by --seed, kept for "
        "validation; 0 for none. A split column in the metadata overrides it.",
    )
    target: Literal["label", "labels", "number"] = Field(
        default="label",
        description="What a frame has: one label, any of several labels (0 or 1 for each), or numbers.",
    )
    background: str | None = Field(
        default=None,
        description="The label of frames that have none, such as the time outside the segments of a sound "
        "(sounds: background). Empty, such frames are not learned.",
    )
    image_encoder: str | None = Field(
        default=None,
        description="Video: a trained CNN, MobileNetV2 weights (.safetensors or .npz) or any model (.onnx), "
        "which stays frozen. Without it, a small CNN trains along.",
    )
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        description="Video: resize frames to this many pixels on each side (default 32; 224 with "
        "--image-encoder).",
    )
    pixels: Literal["imagenet", "symmetric", "unit"] = Field(
        default="imagenet",
        description="How an .onnx model reads pixels: with ImageNet's mean and deviation, from -1 to 1, or "
        "from 0 to 1.",
    )
    columns: str | None = Field(
        default=None,
        description="Arrays: read only these columns, names or numbers from 1 between commas; a "
        "timestamp can be "
        "left out so.",
    )
    fill: Fill = "none"
    frame_rate: float | None = Field(
        default=None,
        ge=LEAST_FRAME_RATE,
        le=MOST_RATE,
        description="Feature arrays: frames per second, for labels and timelines in seconds.",
    )
    skip_bad: SkipBad = False
    allow_outside_files: AllowOutsideFiles = False


class TaggerNetwork(RecurrenceConfig):
    """The network: encoder of frames, recurrence, output layer."""

    cells: ClassVar[tuple[str, ...]] = (*CELLS, "none")

    cell: str = Field(
        default="lstm",
        description="The recurrent cell; none is a feed-forward network that sees one frame, as "
        "large as the LSTM, as a baseline.",
    )
    hidden: int = Field(
        default=128, ge=1, le=MOST_UNITS, description="Hidden units in each layer and direction."
    )
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    bidirectional: bool = Field(
        default=False,
        description="Read from both ends: this sees what comes after a frame, but cannot run as a stream.",
    )
    encoder_features: int = Field(
        default=64,
        ge=1,
        le=MOST_UNITS,
        description="Video: number of features that the small CNN computes for a frame.",
    )
    input_dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout on the features of a frame.")
    output_dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before the output layer.")


class TaggerTraining(TargetTraining):
    """Truncated BPTT over clips that are read in parallel."""

    epochs: int = Field(default=30, ge=1, le=MOST_COUNTED, description="Passes over the training data.")
    batch: int = Field(default=8, ge=1, le=MOST_COUNTED, description="Clips to read in parallel.")
    chunk: int = Field(
        default=64,
        ge=0,
        le=MOST_COUNTED,
        description="Frames between the cuts of truncated backpropagation; 0 never cuts.",
    )
    context: int = Field(
        default=32,
        ge=0,
        le=MOST_COUNTED,
        description="Bidirectional: frames read on either side of a chunk that add nothing to the loss.",
    )


class TaggerConfig(RunConfig):
    """All options of a tagger."""

    task: Literal["tagger"] = "tagger"
    data: FrameData = FrameData()
    model: TaggerNetwork = TaggerNetwork()
    training: TaggerTraining = TaggerTraining()

    @property
    def frame_size(self) -> int:
        """H and W of the frames that the encoder reads."""
        return self.data.image_size or (224 if self.data.image_encoder else 32)
