"""The options of a language model: a text, a network that predicts its next token, truncated BPTT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_TOKENS,
    MOST_UNITS,
    Encoding,
    GroupBy,
    OnceInGroup,
    Section,
    SkipBad,
)
from throughtime.config.training import TrainingConfig

# Where --chunk auto begins, before the gradient has been measured.
FIRST_CHUNK = 64


class TextData(Section):
    """Where the text comes from and how it becomes tokens; as one text, or as lines of their own."""

    source: str = Field(default="", description="The training text.")
    validation: str | None = Field(
        default=None, description="A text file to validate on, instead of the end of the training text."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the text, from its end, kept for validation (with --lines: of the lines, drawn "
        "by --seed); 0 for none.",
    )
    lines: bool = Field(
        default=False,
        description="Each line is an example with a beginning and an end of its own: names, logs, SMILES.",
    )
    longest_line: int = Field(
        default=1000,
        ge=1,
        le=MOST_COUNTED,
        description="With --lines: learn from so many tokens of a longer line, and say how many are longer.",
    )
    text_column: str = Field(
        default="text",
        description="With --lines: the column of a table that holds the lines, by name or by number from 1.",
    )
    condition_columns: str | None = Field(
        default=None,
        description="With --lines: columns that steer what is written, by name or number, between commas.",
    )
    group_by: GroupBy = None
    once_in_group: OnceInGroup = None
    header: bool = Field(
        default=True,
        description="The first line of a CSV or TSV file names its columns; without it they have numbers.",
    )
    skip_bad: SkipBad = False
    tokenizer: Literal["character", "byte", "bpe", "word"] = Field(
        default="character", description="The unit of text that is one token."
    )
    vocabulary: int | None = Field(
        default=None,
        ge=3,
        le=MOST_TOKENS,
        description="Largest vocabulary, for bpe (default 4096) and word (default: every word).",
    )
    encoding: Encoding = Field(
        default="utf-8",
        description="What the text files are encoded in: utf-8, utf-16, cp949, latin-1, cp1252, shift_jis...",
    )
    errors: Literal["strict", "replace"] = Field(
        default="strict",
        description="Bytes that are not UTF-8: stop with their offset, or read them as U+FFFD.",
    )


class LanguageNetwork(RecurrenceConfig):
    """The network: embedding, recurrence, output layer."""

    embedding: int = Field(
        default=128, ge=0, le=MOST_UNITS, description="Size of the token embedding; 0 feeds one-hot vectors."
    )
    tie_weights: bool = Field(
        default=False,
        description="The output layer uses the embedding's weights; embedding and output sizes must agree.",
    )
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the embeddings.")
    output_dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout before the output layer.")
    learned_initial_state: bool = Field(default=False, description="Learn the state before the first step.")

    @model_validator(mode="after")
    def _tied_sizes_agree(self) -> LanguageNetwork:
        output = self.projection or self.hidden
        if self.tie_weights and self.embedding != output:
            raise ValueError(f"tie_weights needs --embedding {output}, the size of the last layer's output")
        return self


class StreamTraining(TrainingConfig):
    """Truncated BPTT over parallel streams of one text."""

    batch: int = Field(default=32, ge=1, le=MOST_COUNTED, description="Streams of text to read in parallel.")
    chunk: Annotated[int, Field(ge=0, le=MOST_COUNTED)] | Literal["auto"] = Field(
        default=64,
        description="Steps between the cuts of truncated backpropagation; 0 never cuts; auto follows the "
        "measured decay of the gradient.",
    )
    chunk_mode: Literal["fixed", "random"] = Field(
        default="fixed", description="Use --chunk for every chunk, or random lengths around it."
    )
    evaluation_streams: int = Field(
        default=16, ge=1, le=MOST_COUNTED, description="Parallel streams of validation during training."
    )
    show_samples: bool = Field(default=False, description="Show what the model writes at each evaluation.")
    watch: Literal["none", "gradients"] = Field(
        default="none",
        description="Measure during training where the gradient goes, within 5 % of the time, and warn.",
    )
    watch_every: int = Field(
        default=200, ge=1, le=MOST_COUNTED, description="Steps between measurements of --watch."
    )

    @property
    def first_chunk(self) -> int:
        """The chunk length to begin with."""
        return FIRST_CHUNK if self.chunk == "auto" else self.chunk


class LanguageModelConfig(RunConfig):
    """All options of a language model."""

    task: Literal["language-model"] = "language-model"
    data: TextData = TextData()
    model: LanguageNetwork = LanguageNetwork()
    training: StreamTraining = StreamTraining()
