"""The options of a classifier: texts, vectors, sequences or sounds, and a label, labels or a number each."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from throughtime.config.options import RunConfig
from throughtime.config.recurrence import CELLS, RecurrenceConfig
from throughtime.config.section import (
    MOST_COUNTED,
    MOST_LAYERS,
    MOST_RATE,
    MOST_TOKENS,
    MOST_UNITS,
    AllowOutsideFiles,
    Decimal,
    Encoding,
    Fill,
    GroupBy,
    OnceInGroup,
    SkipBad,
)
from throughtime.config.sound import SoundFrames
from throughtime.targets.options import TargetTraining


class LabelledData(SoundFrames):
    """Where the examples come from and how they become steps."""

    source: str = Field(default="", description="The training examples.")
    validation: str | None = Field(
        default=None, description="Examples to validate on, instead of some of the training examples."
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of each label's examples, drawn by --seed, kept for validation; 0 for none. "
        "Fewer than 100 examples with a label each are all learned from unless it is given.",
    )
    folds: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Cross-validation: train this many models, each with another part of the examples held "
        "out, report their mean, and then train on all examples; 0 for none.",
    )
    fold: str | None = Field(
        default=None,
        description="Hold out this part of the examples for validation, as NUMBER/OF: 2/5 is the second of "
        "five.",
    )
    input: Literal["auto", "vectors", "text", "sequences", "audio"] = Field(
        default="auto", description="What the examples are; auto infers it from the files."
    )
    steps_in_columns: bool = Field(
        default=False,
        description="Each row of numbers is a sequence, and its columns are the steps, in order. (--input "
        "sequences implies it where a table holds single numbers.)",
    )
    text_column: str = Field(
        default="text",
        description="The column with the text, by name or by number from 1; several between commas are read "
        "one after the other.",
    )
    second_text: str | None = Field(
        default=None,
        description="The column with a second text, as a hypothesis beside a premise, or an answer beside a "
        "question: the same network reads both, and compares them.",
    )
    static_columns: str | None = Field(
        default=None,
        description="Columns between commas with numbers or names beside a text, an array or a sound, as age "
        "or country: the network gets them with what it read.",
    )
    label_column: str = Field(
        default="label",
        description="The column with the label or the number, by name or by number from 1; several between "
        "commas for several numbers, or for labels with a column of 0 and 1 each.",
    )
    target: Literal["label", "labels", "number"] = Field(
        default="label",
        description="What an example has: one label, any of several labels, or a number. (The --target of a "
        "translator is a file.)",
    )
    label_separator: str = Field(
        default="",
        description="With --target labels: what stands between the labels in a cell.",
    )
    columns: str | None = Field(
        default=None,
        description="Read only these columns besides the label's: names or numbers between commas.",
    )
    fill: Fill = "none"
    header: bool = Field(
        default=True,
        description="The first line of a CSV or TSV file names its columns; without it they have numbers.",
    )
    encoding: Encoding = Field(
        default="utf-8",
        description="What the text files are encoded in: utf-8, utf-16, cp949, latin-1, cp1252, shift_jis...",
    )
    group_by: GroupBy = None
    once_in_group: OnceInGroup = None
    decimal: Decimal = None
    any_labels: bool = Field(
        default=False,
        description="Take every label as it is, also where the labels look like measurements or like several "
        "labels in a cell.",
    )
    tokenizer: Literal["auto", "character", "byte", "bpe", "word"] = Field(
        default="auto",
        description="The unit of text that is one token. auto takes words where few of a new text's words "
        "would be unknown, and bpe elsewhere.",
    )
    vocabulary: int | None = Field(
        default=None,
        ge=3,
        le=MOST_TOKENS,
        description="Largest vocabulary, for bpe (default 4096) and word (default: every word).",
    )
    lowercase: bool = Field(default=True, description="Read texts in lower case.")
    errors: Literal["strict", "replace"] = Field(
        default="replace",
        description="Characters that training did not see: stop and name them, or read them as unknown.",
    )
    embedding_file: str | None = Field(
        default=None,
        description="Begin with the word vectors of this text file (GloVe, or fastText's .vec; also .gz); "
        "only the words of the data are kept.",
    )
    longest: int = Field(
        default=0,
        ge=0,
        le=MOST_COUNTED,
        description="Read at most this many steps of an example; 0 reads all.",
    )
    segment: int = Field(
        default=0,
        ge=0,
        le=MOST_UNITS,
        description="Arrays and sounds: steps that the recurrence reads together, as one; the last step is "
        "repeated where they do not come out even. 0 chooses: 1 for sounds, more for long arrays.",
    )
    around: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Steps before and after each segment that --convolutions see as well. 0 chooses: 8 for "
        "single steps, 1.5 segments for others.",
    )
    skip_bad: SkipBad = False
    allow_outside_files: AllowOutsideFiles = False

    @field_validator("fold")
    @classmethod
    def _fold_is_a_part(cls, fold: str | None) -> str | None:
        if fold is not None:
            number, _, of = fold.partition("/")
            are_numbers = number.isdecimal() and of.isdecimal() and len(fold) < 20
            if not (are_numbers and 1 <= int(number) <= int(of) <= 100 and int(of) > 1):
                raise ValueError(f"fold {fold[:20]!r} is not NUMBER/OF, as in 2/5, with at most 100 folds")
        return fold

    @field_validator("folds")
    @classmethod
    def _folds_are_several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("folds 1 would hold everything out: use 2 or more")
        return folds


class ClassifierNetwork(RecurrenceConfig):
    """The network: embedding or features, recurrence, pooling over time, output layer."""

    cells: ClassVar[tuple[str, ...]] = (*CELLS, "none")

    cell: str = Field(
        default="gru",
        description="The recurrent cell; none puts a feed-forward layer at each step, as a baseline.",
    )
    hidden: int = Field(
        default=128, ge=1, le=MOST_UNITS, description="Hidden units in each layer and direction."
    )
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS, description="Recurrent layers.")
    bidirectional: bool = Field(default=True, description="Read from both ends.")
    embedding: int = Field(
        default=128, ge=1, le=MOST_UNITS, description="Size of the embedding of a text's tokens."
    )
    pooling: Literal["last", "mean", "max", "attention"] = Field(
        default="max", description="How the outputs of all steps become one vector."
    )
    convolutions: int = Field(
        default=0,
        ge=0,
        le=MOST_LAYERS,
        description="Arrays and sounds: layers of convolutions over each segment and what is around it, in "
        "front of the recurrence; 0 for none. Fewer than 100 arrays of at most 1,000 steps get 3.",
    )
    input_dropout: float = Field(default=0.5, ge=0, lt=1, description="Dropout on the embeddings of a text.")
    input_noise: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Noise on numbers in training, in standard deviations of each feature.",
    )
    output_dropout: float = Field(default=0.5, ge=0, lt=1, description="Dropout before the output layer.")
    members: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Train this many networks side by side and average what they say. Fewer than 100 arrays "
        "get 5.",
    )
    word_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Probability of hiding a whole token of a text in training."
    )


class ClassifierTraining(TargetTraining):
    """How the classifier learns."""

    learning_rate: float = Field(default=1e-3, gt=0, le=MOST_RATE, description="Peak learning rate.")


class ClassifierConfig(RunConfig):
    """All options of a classifier."""

    task: Literal["classifier"] = "classifier"
    data: LabelledData = LabelledData()
    model: ClassifierNetwork = ClassifierNetwork()
    training: ClassifierTraining = ClassifierTraining()
