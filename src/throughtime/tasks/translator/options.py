"""The options of a translator: parallel texts, an encoder and a decoder with attention."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_TOKENS,
    MOST_UNITS,
    Encoding,
    Section,
    SkipBad,
)
from throughtime.config.training import TrainingConfig


class ParallelData(Section):
    """Where the pairs of source and target come from and how they become tokens."""

    source: str = Field(
        default="", description="A table with source and target columns, or the text file of sources."
    )
    target: str | None = Field(
        default=None,
        description="The text file of targets, whose lines match those of the sources; .gz works too.",
    )
    validation: str | None = Field(
        default=None, description="A table or text file to validate on, instead of some of the pairs."
    )
    validation_target: str | None = Field(
        default=None, description="The targets that go with --validation, if that is a text file."
    )
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the pairs, drawn at random, kept for validation."
    )
    source_column: str = Field(
        default="source", description="The table's column of sources, by name or by number from 1."
    )
    target_column: str = Field(
        default="target", description="The table's column of targets, by name or by number from 1."
    )
    header: bool = Field(
        default=True,
        description="The first line of a CSV or TSV file names its columns; without it they have numbers.",
    )
    encoding: Encoding = Field(
        default="utf-8",
        description="What the text files are encoded in: utf-8, utf-16, cp949, latin-1, cp1252, shift_jis...",
    )
    tokenizer: Literal["character", "byte", "bpe", "word"] = Field(
        default="bpe", description="The unit of text that is one token."
    )
    vocabulary: int | None = Field(
        default=None,
        ge=3,
        le=MOST_TOKENS,
        description="Largest vocabulary of each side, for bpe (default 4096) and word (default: every word).",
    )
    shared_vocabulary: bool = Field(
        default=False, description="One vocabulary and one embedding for both sides."
    )
    lowercase: bool = Field(default=False, description="Lowercase the text before anything else.")
    max_length: int = Field(
        default=100,
        ge=1,
        le=MOST_COUNTED,
        description="Leave out training pairs with more tokens than this on either side.",
    )
    skip_bad: SkipBad = False


class TranslatorNetwork(RecurrenceConfig):
    """The network: a bidirectional encoder, a decoder, attention from the one to the other."""

    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    decoder_layers: int = Field(
        default=0,
        ge=0,
        le=MOST_LAYERS,
        description="Recurrent layers of the decoder; 0 for as many as --layers.",
    )
    encoder_hidden: int = Field(
        default=0,
        ge=0,
        le=MOST_UNITS,
        description="Hidden units of each direction of the encoder; 0 for half of --hidden.",
    )
    bidirectional: bool = Field(default=True, description="Let the encoder read backwards as well.")
    embedding: int = Field(default=256, ge=1, le=MOST_UNITS, description="Size of the token embeddings.")
    tie_weights: bool = Field(
        default=True, description="The output layer uses the weights of the target embedding."
    )
    attention: Literal["none", "luong", "bahdanau"] = Field(
        default="luong", description="How the decoder looks at the source."
    )
    attention_score: Literal["general", "dot"] = Field(
        default="general", description="Luong: the score between decoder and encoder states."
    )
    input_feeding: bool = Field(
        default=False, description="Luong: each readout enters the next step; slower, step by step."
    )
    dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Dropout between layers and on the encoder's outputs."
    )
    input_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout on the embeddings.")
    output_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout before the output layer.")

    @model_validator(mode="after")
    def _fits_together(self) -> TranslatorNetwork:
        if self.input_feeding and self.attention != "luong":
            raise ValueError("input_feeding is of luong attention: leave it out, or pass --attention luong")
        if self.projection >= self.encoder_units:
            raise ValueError(
                f"projection must be below the encoder's {self.encoder_units} hidden units: raise "
                "--encoder-hidden"
            )
        read = (self.projection or self.encoder_units) * (2 if self.bidirectional else 1)
        written = self.projection or self.hidden
        if self.attention == "luong" and self.attention_score == "dot" and read != written:
            raise ValueError(
                f"attention_score dot needs an encoder as wide as the decoder, and they are {read} and "
                f"{written}: use general, or change --encoder-hidden"
            )
        return self

    @property
    def encoder_units(self) -> int:
        """Hidden units of each direction of the encoder."""
        return self.encoder_hidden or -(-self.hidden // (2 if self.bidirectional else 1))


class PairTraining(TrainingConfig):
    """Teacher forcing on whole pairs."""

    batch: int = Field(
        default=64, ge=1, le=MOST_COUNTED, description="Pairs per update; they have similar lengths."
    )
    epochs: int = Field(default=15, ge=1, le=MOST_COUNTED, description="Passes over the training data.")
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the target's probability spread over all tokens."
    )
    scheduled_sampling: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability of reading the model's own token in training; rises from 0 to this; slower.",
    )


class TranslatorConfig(RunConfig):
    """All options of a translator."""

    task: Literal["translator"] = "translator"
    data: ParallelData = ParallelData()
    model: TranslatorNetwork = TranslatorNetwork()
    training: PairTraining = PairTraining()
