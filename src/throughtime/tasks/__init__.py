"""The tasks, a room each, and the table of them: where the options and the run of each are, what it reads.

Modules are named and not imported: a task's libraries are not the others' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from throughtime.config.options import RunConfig
    from throughtime.run.run import Run


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        room: its package beside this file, which holds all that only this task knows.
        config: the class of its options, in `options` of that package.
        run: the class of its run folder, in `run` of that package.
        summary: what it learns, for `train --help`.
        reads: the data that it takes, as the end of a sentence.
    """

    room: str
    config: str
    run: str
    summary: str
    reads: str

    def config_class(self) -> type[RunConfig]:
        """Its options; imports them."""
        return getattr(import_module(f"throughtime.tasks.{self.room}.options"), self.config)

    def run_class(self) -> type[Run]:
        """Its run folder; imports it."""
        return getattr(import_module(f"throughtime.tasks.{self.room}.run"), self.run)


TASKS: dict[str, Task] = {
    "language-model": Task(
        room="language_model",
        config="LanguageModelConfig",
        run="LanguageModelRun",
        summary="write like a text",
        reads="one text file, or many by a pattern",
    ),
    "classifier": Task(
        room="classifier",
        config="ClassifierConfig",
        run="ClassifierRun",
        summary="tell the label, the labels or a number of a text, a sequence of numbers or a sound",
        reads="a table with the columns text and label (or numbers and label), or a folder whose "
        "metadata.csv has the columns file_name and label",
    ),
    "translator": Task(
        room="translator",
        config="TranslatorConfig",
        run="TranslatorRun",
        summary="write one text for another: translation, dates, spelling",
        reads="a table with the columns source and target, or a text file with another one beside it "
        "(--target)",
    ),
    "captioner": Task(
        room="captioner",
        config="CaptionerConfig",
        run="CaptionerRun",
        summary="say what is on a picture",
        reads="a folder of pictures whose metadata.csv has the columns file_name and caption",
    ),
    "tagger": Task(
        room="tagger",
        config="TaggerConfig",
        run="TaggerRun",
        summary="give every frame of a video, a sound or a recording its label, labels or numbers",
        reads="a folder of videos, sounds or arrays whose metadata.csv has the columns file_name and labels "
        "(or start, end and label)",
    ),
    "transcriber": Task(
        room="transcriber",
        config="TranscriberConfig",
        run="TranscriberRun",
        summary="write down what a sound or a sequence of numbers says",
        reads="a folder of sounds or arrays whose metadata.csv has the columns file_name and text",
    ),
    "word-tagger": Task(
        room="word_tagger",
        config="WordTaggerConfig",
        run="WordTaggerRun",
        summary="give every word of a sentence its tag: parts of speech, names",
        reads="a CoNLL file (a word and its tag on each line), or a table with lists of words and of their "
        "tags (JSON Lines or Parquet)",
    ),
    "forecaster": Task(
        room="forecaster",
        config="ForecasterConfig",
        run="ForecasterRun",
        summary="say what numbers over time will be, and which of them are odd",
        reads="a table with a column of times and columns of numbers, or with the series below each other "
        "(--series-column and --value-column)",
    ),
}
