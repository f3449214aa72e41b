"""The kinds of data that people bring, and the task of each, in the order in which they are looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from throughtime.recognition import (
    files,
    frames,
    grouped,
    labelled,
    lines,
    recordings,
    series,
    several,
    unlabelled,
)
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey
from throughtime.recognition.wanted import Wanted


@dataclass(frozen=True)
class Kind:
    """One kind of data.

    Args:
        look: finds it, or not; `Match.advice` refuses what is nearly of this kind.
        task: what learns from it; None where nothing does.
        name: what it is, where nothing learns from it.
        instead: what its owner can do then; "" where `look` says so.
        rival: the task that would otherwise take it. Where another one is named, the kind is passed over.
    """

    look: Callable[[Survey, Wanted], Match | None]
    task: str | None = None
    name: str = ""
    instead: str = ""
    rival: str | None = None


# The first kind that fits decides. What is refused for being something special comes before the task that
# would otherwise take it. Once a task learns from a kind, name it here.
KINDS: tuple[Kind, ...] = (
    Kind(files.other_programs),
    Kind(files.other_encoding),
    Kind(lines.lines_of_a_table, "language-model"),
    Kind(lines.lines_of_a_text, "language-model"),
    Kind(files.as_text, "language-model"),
    Kind(unlabelled.without_header),
    Kind(files.tagged_lines, "word-tagger"),
    Kind(unlabelled.tagged_lists, "word-tagger"),
    Kind(unlabelled.drawings),
    Kind(unlabelled.pairs, "translator"),
    Kind(unlabelled.captions, "captioner"),
    Kind(recordings.transcripts, "transcriber"),
    Kind(frames.clips, "tagger"),
    Kind(several.label_columns, name="several labels for an example", rival="classifier"),
    Kind(
        labelled.quantity,
        name="regression",
        rival="classifier",
        instead="--target number predicts numbers; --target label takes each of them as a class",
    ),
    Kind(labelled.labels_of_their_own, rival="classifier"),
    Kind(labelled.labelled_steps, rival="classifier"),
    Kind(labelled.examples, "classifier"),
    Kind(grouped.words_of_sentences, rival="word-tagger"),
    Kind(grouped.event_log, rival="language-model"),
    Kind(series.series, "forecaster"),
    Kind(unlabelled.any_table),
    Kind(files.disguised_table),
    Kind(files.text, "language-model"),
    Kind(files.bare_folder),
)
