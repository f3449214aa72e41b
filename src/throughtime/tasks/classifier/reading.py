"""How a classifier's inputs are read, in training and afterwards: as its options say."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from throughtime.data.features import FeatureSpace
from throughtime.data.tables import TableFormat
from throughtime.data.text_encoder import TextEncoder
from throughtime.data.tokenizer import Tokenizer
from throughtime.targets.truth import TruthReader
from throughtime.tasks.classifier.examples import ExampleReader, InputKind
from throughtime.tasks.classifier.options import LabelledData
from throughtime.tasks.classifier.segments import segmented

# What errors call a condition of a classifier.
STATIC_COLUMN = "static column"


def table_format(data: LabelledData) -> TableFormat:
    """How its tables are written."""
    return TableFormat.of(data)


def truth_reader(data: LabelledData) -> TruthReader:
    """What reads the truth of a row."""
    return TruthReader(data.target, data.label_column, data.label_separator)


def example_reader(
    data: LabelledData, space: FeatureSpace | None, needs_truth: bool, allow_outside: bool
) -> ExampleReader:
    """What reads examples.

    Args:
        data: with `input` settled.
        space: the features that there have to be; None takes those of the first example.
        needs_truth, allow_outside: as of `ExampleReader`.
    """
    return ExampleReader(
        cast(InputKind, data.input),
        data.text_column,
        data.second_text,
        data.static_columns,
        truth_reader(data),
        columns=data.columns,
        form=table_format(data),
        fill=data.fill,
        sound=data,
        space=space,
        needs_truth=needs_truth,
        allow_outside=allow_outside,
        steps_in_columns=data.steps_in_columns,
    )


def text_encoder(data: LabelledData, tokenizer: Tokenizer) -> TextEncoder:
    """What turns texts into tokens."""
    return TextEncoder(tokenizer, data.lowercase, data.errors, data.longest)


def as_steps(array: NDArray[Any], data: LabelledData) -> NDArray[np.float32]:
    """Features (T, F) as the network reads them: no more than --longest steps, --segment of them as one."""
    return segmented(array[: data.longest or None], data.segment or 1, data.around)
