"""The options of a captioner: pictures with captions, a CNN, a recurrence that the features enter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_RATE,
    MOST_TOKENS,
    MOST_UNITS,
    AllowOutsideFiles,
    Section,
    SkipBad,
)
from throughtime.config.training import TrainingConfig


class CaptionData(Section):
    """Pictures, their captions, and what reads the pictures."""

    source: str = Field(default="", description="A folder of images with a metadata table, or that table.")
    validation: str | None = Field(
        default=None, description="Another such folder to validate on, instead of a part of the source."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the images kept for validation if the table has no column `split`; 0 for none.",
    )
    image_features: str | None = Field(
        default=None,
        description="Features computed elsewhere: an .npz with `names` and `features`; no image is read.",
    )
    image_encoder: str | None = Field(
        default=None,
        description="A trained CNN: MobileNetV2 weights (.safetensors or .npz) or any model (.onnx). Without "
        "it a small CNN of our own learns from scratch.",
    )
    image_size: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="Resize images to this; by default 224, or 64 for our own CNN.",
    )
    pixels: Literal["imagenet", "symmetric", "unit"] = Field(
        default="imagenet",
        description="How an .onnx model reads pixels: with ImageNet's mean and deviation, from -1 to 1, or "
        "from 0 to 1.",
    )
    tokenizer: Literal["character", "byte", "bpe", "word"] = Field(
        default="word", description="The unit of text that is one token."
    )
    vocabulary: int | None = Field(
        default=None,
        ge=3,
        le=MOST_TOKENS,
        description="Largest vocabulary, for bpe (default 4096) and word (default: see --minimum-count).",
    )
    minimum_count: int = Field(
        default=1,
        ge=1,
        le=MOST_COUNTED,
        description="Treat words that occur less often in the training captions as unknown.",
    )
    normalise_captions: bool = Field(
        default=True,
        description="Captions in lower case and without punctuation, as the field measures them.",
    )
    skip_bad: SkipBad = False
    allow_outside_files: AllowOutsideFiles = False


class CaptionerNetwork(RecurrenceConfig):
    """The network: features of the image, words, recurrence, output layer."""

    image_input: Literal["every-step", "first-input", "initial-state", "attention", "late-attention"] = Field(
        default="every-step",
        description="How the features enter: added at every step, as the first input, as the initial state, "
        "or attended to over the feature grid, before or (late) after the recurrence has read the word.",
    )
    hidden: int = Field(default=512, ge=1, le=MOST_UNITS, description="Hidden units in each layer.")
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    embedding: int = Field(default=256, ge=1, le=MOST_UNITS, description="Size of the word embedding.")
    image_embedding: int = Field(
        default=256,
        ge=0,
        le=MOST_UNITS,
        description="For every-step and both attentions: project the features to this size; 0 does not "
        "project.",
    )
    attention_size: int = Field(default=256, ge=1, le=MOST_UNITS, description="Units of the attention's MLP.")
    input_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout on the word embeddings.")
    output_dropout: float = Field(default=0.5, ge=0, lt=1, description="Dropout before the output layer.")
    feature_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout on the image's features.")
    beam: int = Field(default=5, ge=1, le=1000, description="Beam width when writing captions; 1 is greedy.")
    length_penalty: float = Field(
        default=1.0, ge=0, le=10, description="How strongly the beam search favours longer captions."
    )
    word_reward: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Nats that the beam search adds for each token of a caption, END included; use "
        "it with --length-penalty 0.",
    )
    rewarded_length: int | None = Field(
        default=None,
        ge=1,
        le=MOST_COUNTED,
        description="Reward at most this many tokens of a caption; by default, as many as the "
        "longest training caption has.",
    )
    consensus: bool = Field(
        default=False,
        description="Pick the caption that agrees best with the rest of the beam, not the most probable one.",
    )
    fine_tune: int = Field(
        default=0,
        ge=0,
        le=18,
        description="Train this many of MobileNetV2's last blocks as well; 0 freezes all.",
    )

    @property
    def attends(self) -> bool:
        """Whether it looks at places of the image, and not at the whole."""
        return self.image_input in ("attention", "late-attention")


class CaptionTraining(TrainingConfig):
    """How the network learns: each caption is an example."""

    epochs: int = Field(default=20, ge=1, le=MOST_COUNTED, description="Passes over the training captions.")
    batch: int = Field(default=64, ge=1, le=MOST_COUNTED, description="Captions per update.")
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Probability given to all words alike in the targets."
    )
    attention_penalty: float = Field(
        default=1.0,
        ge=0,
        le=MOST_RATE,
        description="Weight of the penalty that makes attention visit every place equally over a caption.",
    )


class CaptionerConfig(RunConfig):
    """All options of a captioner."""

    task: Literal["captioner"] = "captioner"
    data: CaptionData = CaptionData()
    model: CaptionerNetwork = CaptionerNetwork()
    training: CaptionTraining = CaptionTraining()

    @model_validator(mode="after")
    def _parts_fit(self) -> CaptionerConfig:
        encoder, ready = self.data.image_encoder, self.data.image_features
        if self.model.fine_tune and (encoder is None or encoder.endswith(".onnx") or ready):
            raise ValueError(
                "fine_tune needs --image-encoder with MobileNetV2 weights, and images: our own CNN learns "
                "anyhow, an ONNX model or ready features cannot"
            )
        if encoder is None and not ready and (self.data.image_size or 8) % 8:
            raise ValueError(
                f"image_size must be a multiple of 8 for our own CNN, not {self.data.image_size}"
            )
        return self
