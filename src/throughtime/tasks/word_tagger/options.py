"""The options of a word tagger: sentences as lists of words, and a tag for each word."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_RATE,
    MOST_UNITS,
    Encoding,
    GroupBy,
    OnceInGroup,
    Section,
    SkipBad,
)
from throughtime.config.training import TrainingConfig


class TaggedData(Section):
    """Where the sentences come from and how their words are read."""

    source: str = Field(default="", description="Tagged sentences: CoNLL, JSON Lines or Parquet.")
    validation: str | None = Field(
        default=None, description="Sentences to validate on, instead of some of the training sentences."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the sentences, drawn by --seed, kept for validation; 0 for none.",
    )
    word_column: str | None = Field(
        default=None,
        description="The column with the words, by name or by number from 1 (default: what the format "
        "calls so, else the first).",
    )
    tag_column: str | None = Field(
        default=None,
        description="The column with the tags, by name or by number from 1 (default: upos of CoNLL-U, the "
        "only list beside the words, else the last).",
    )
    group_by: GroupBy = None
    once_in_group: OnceInGroup = None
    tag_names: str | None = Field(
        default=None,
        description="The names of tags that are numbers from 0: between commas, or a file with one on each "
        "line.",
    )
    encoding: Encoding = Field(
        default="utf-8",
        description="What the text files are encoded in: utf-8, utf-16, cp949, latin-1, cp1252, shift_jis...",
    )
    lowercase: bool = Field(
        default=True,
        description="Look words up in lower case; the characters of a word are read as they are.",
    )
    embedding_file: str | None = Field(
        default=None,
        description="Begin with the word vectors of this text file (GloVe, or fastText's .vec; also .gz); "
        "only the words of the data are kept.",
    )
    piece: int = Field(
        default=256,
        ge=8,
        le=MOST_COUNTED,
        description="Read sentences of more words in pieces of so many, which overlap where tags are "
        "predicted.",
    )
    skip_bad: SkipBad = False


class WordTaggerNetwork(RecurrenceConfig):
    """The network: words and their characters, recurrence, emissions, linear-chain CRF."""

    beside_the_program: ClassVar[frozenset[str]] = RecurrenceConfig.beside_the_program | {"rare_words"}

    hidden: int = Field(
        default=128, ge=1, le=MOST_UNITS, description="Hidden units in each layer and direction."
    )
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    bidirectional: bool = Field(default=True, description="Read from both ends.")
    locked_dropout: bool = Field(
        default=True,
        description="Use one dropout mask per sequence instead of one per step (variational dropout).",
    )
    embedding: int = Field(default=100, ge=1, le=MOST_UNITS, description="Size of the embedding of a word.")
    characters: Literal["cnn", "lstm", "none"] = Field(
        default="lstm", description="What reads the characters of a word."
    )
    character_embedding: int = Field(
        default=32, ge=1, le=MOST_UNITS, description="Size of the embedding of a character."
    )
    character_features: int = Field(
        default=64, ge=2, le=MOST_UNITS, description="What is kept of a word's characters: so many features."
    )
    crf: bool = Field(
        default=True,
        description="Score neighbouring tags together (a linear-chain CRF); without it each word's tag is "
        "chosen by itself.",
    )
    rare_words: float = Field(
        default=1.0,
        ge=0,
        le=MOST_RATE,
        description="Read a training word that occurs n times as unknown with probability r / (r + n), where "
        "r is this; so the network learns what to make of words that it has not seen.",
    )
    input_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout on what is known of a word.")
    output_dropout: float = Field(default=0.5, ge=0, lt=1, description="Dropout before the output layer.")


class WordTaggerTraining(TrainingConfig):
    """How the word tagger learns."""

    epochs: int = Field(default=12, ge=1, le=MOST_COUNTED, description="Passes over the training data.")
    batch: int = Field(default=16, ge=1, le=MOST_COUNTED, description="Sentences per update.")
    learning_rate: float = Field(default=5e-3, gt=0, le=MOST_RATE, description="Peak learning rate.")


class WordTaggerConfig(RunConfig):
    """All options of a word tagger."""

    task: Literal["word-tagger"] = "word-tagger"
    data: TaggedData = TaggedData()
    model: WordTaggerNetwork = WordTaggerNetwork()
    training: WordTaggerTraining = WordTaggerTraining()
