"""The tasks, once each: where the options and the run of each are, and what it reads.

Modules are named and not imported: a task's libraries are not the others' business.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        config: the module in `throughtime.config` and the class of its options.
        run: the module in `throughtime.run` and the class of its run folder.
        summary: what it learns, for `train --help`.
        reads: the data that it takes, as the end of a sentence.
    """

    config: tuple[str, str]
    run: tuple[str, str]
    summary: str
    reads: str


TASKS: dict[str, Task] = {
    "language-model": Task(
        config=("language_model", "LanguageModelConfig"),
        run=("language_model", "LanguageModelRun"),
        summary="write like a text",
        reads="one text file",
    ),
    "classifier": Task(
        config=("classifier", "ClassifierConfig"),
        run=("classifier", "ClassifierRun"),
        summary="tell the label of a text, a sequence of numbers or a sound",
        reads="a table with the columns text and label (or numbers and label), or a folder whose "
        "metadata.csv has the columns file_name and label",
    ),
    "translator": Task(
        config=("translator", "TranslatorConfig"),
        run=("translator", "TranslatorRun"),
        summary="write one text for another: translation, dates, spelling",
        reads="a table with the columns source and target, or a text file with another one beside it "
        "(--target)",
    ),
    "captioner": Task(
        config=("captioner", "CaptionerConfig"),
        run=("captioner", "CaptionerRun"),
        summary="say what is on a picture",
        reads="a folder of pictures whose metadata.csv has the columns file_name and caption",
    ),
    "tagger": Task(
        config=("tagger", "TaggerConfig"),
        run=("tagger", "TaggerRun"),
        summary="give every frame of a video or of a recording its label",
        reads="a folder of videos or arrays whose metadata.csv has the columns file_name and labels",
    ),
}
