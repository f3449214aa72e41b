"""What each task makes of the rows of a request. It is the run's own code: nothing is read another way.

A predictor reads a row of JSON as the task reads data in memory, and answers many rows at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from throughtime.data.arrays import ARRAY_SUFFIXES
from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.images import IMAGE_SUFFIXES
from throughtime.data.numbers import as_float32
from throughtime.data.sequences import Sequences
from throughtime.data.video import VIDEO_SUFFIXES
from throughtime.errors import DataError, ThroughtimeError
from throughtime.run import Run
from throughtime.runtime.outputs import check_output
from throughtime.tasks.captioner.run import CaptionerRun
from throughtime.tasks.classifier.run import ClassifierRun
from throughtime.tasks.tagger.frame_predictions import told
from throughtime.tasks.tagger.prediction import clip_outputs
from throughtime.tasks.tagger.run import TaggerRun
from throughtime.tasks.transcriber.run import TranscriberRun
from throughtime.tasks.translator.run import TranslatorRun
from throughtime.tasks.translator.translation import Translated
from throughtime.tasks.word_tagger.run import WordTaggerRun


class Predictor(ABC):
    """What a run, on the native backend, answers to one verb.

    Attributes:
        wanted: what a row has to be, for people.
        suffixes: of the files that it reads.
    """

    verb: ClassVar[str]
    wanted: str
    suffixes: tuple[str, ...] = ()

    @abstractmethod
    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        """What the network reads of a row.

        Raises:
            DataError: it cannot be used.
        """

    @abstractmethod
    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        """What is said of rows of `read`: a value of JSON each, or the error that only this row has."""

    def of_file(self, path: Path, options: Mapping[str, Any]) -> Any:
        """What is said of a file.

        Raises:
            DataError: it cannot be used.
        """
        raise DataError(f"this model reads no files: give {self.wanted}")


class Classify(Predictor):
    """Texts, vectors, sequences or sounds as a whole."""

    verb = "classify"

    def __init__(self, run: ClassifierRun) -> None:
        self.run = run
        self.suffixes = {"audio": AUDIO_SUFFIXES, "sequences": ARRAY_SUFFIXES}.get(run.kind, ())
        self.wanted = self._wanted()

    def _wanted(self) -> str:
        kind, beside = self.run.kind, self.run.conditions.names
        what = "a pair of texts" if self._pair else "a text"
        if kind != "text":
            names = () if self.run.space is None else self.run.space.names
            what = f"{len(names)} numbers" if kind == "vectors" else f"an array (T, {len(names)})"
            what = "a file" if kind == "audio" else what
        return (
            what if not beside else f'{{"input": {what}, {", ".join(f"{name!r}: ..." for name in beside)}}}'
        )

    @property
    def _pair(self) -> str | None:
        return self.run.config.data.second_text

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        beside: Mapping[str, Any] | None = None
        if isinstance(row, dict):
            row, beside = self._of_columns(row)
        if self.run.kind == "text":
            is_pair = isinstance(row, list) and len(row) == 2 and all(isinstance(one, str) for one in row)
            if not (is_pair if self._pair else isinstance(row, str)):
                raise DataError(f"expected {self.wanted}")
            return self.run.encode(tuple(row) if self._pair else row, beside)
        return self.run.encode(self._array(row), beside)

    def _of_columns(self, row: dict[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        """A row by the names of its columns, as a table has them, or with the example as "input"."""
        data, names = self.run.config.data, self.run.conditions.names
        own = [name for name in row if name not in names]
        beside = {name: row[name] for name in names if name in row}
        if own == ["input"]:
            return row["input"], beside
        if self.run.kind == "text":
            columns = [data.text_column or "text", *([self._pair] if self._pair else [])]
        else:
            columns = (
                [] if self.run.space is None or self.run.kind != "vectors" else list(self.run.space.names)
            )
        if not columns or set(own) != set(columns):
            raise DataError(f"expected the columns {', '.join([*columns, *names]) or 'input'}")
        values = [row[name] for name in columns]
        return (values[0] if self.run.kind == "text" and not self._pair else values), beside

    def _array(self, row: Any) -> NDArray[Any]:
        array = as_array(row)
        space = self.run.space
        if self.run.kind == "audio" or space is None:
            raise DataError("sounds are sent as files")
        array = array[None] if self.run.kind == "vectors" and array.ndim == 1 else array
        if array.ndim != 2 or not len(array) or array.shape[1] != len(space.names):
            raise DataError(f"the input has shape {array.shape}, expected {self.wanted}")
        return array

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        wants = options.get("probabilities", True) and self.run.target.kind != "number"
        return [or_error(self._say, row, wants) for row in self.run.outputs(rows)]

    def _say(self, row: NDArray[np.float32], probabilities: bool) -> dict[str, Any]:
        return self.run.say(check_output(row, "it"), probabilities)

    def of_file(self, path: Path, options: Mapping[str, Any]) -> Any:
        wants = options.get("probabilities", True) and self.run.target.kind != "number"
        (found,) = self.run.predict([path], probabilities=wants)
        return {name: value for name, value in found.items() if name not in ("input", "truth")}


class TagWords(Predictor):
    """The words of sentences."""

    verb = "tag"
    wanted = "a sentence, or a list of words"

    def __init__(self, run: WordTaggerRun) -> None:
        self.run = run

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        if not isinstance(row, str) and not (
            isinstance(row, list) and all(isinstance(one, str) for one in row)
        ):
            raise DataError(f"expected {self.wanted}")
        return self.run.sentence_of(row, "the sentence")

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        return list(self.run.tag_sentences(rows))


class TagFrames(Predictor):
    """The frames of whole clips."""

    verb = "tag"

    def __init__(self, run: TaggerRun) -> None:
        self.run = run
        kinds = {"sound": AUDIO_SUFFIXES, "array": ARRAY_SUFFIXES, "video": tuple(sorted(VIDEO_SUFFIXES))}
        self.suffixes = kinds[run.kind]
        wanted = {"sound": "samples (N,) from -1 to 1", "array": "an array (T, F)"}
        self.wanted = wanted.get(run.kind, "a file")

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        if self.run.kind == "video":
            raise DataError("clips of video are sent as files")
        array = as_array(row)
        frames = self.run.frame_stream().read(array.astype(np.float32) if self.run.kind == "sound" else array)
        if not len(frames):
            raise DataError("the clip has no whole frame")
        return frames

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        found = dict(
            clip_outputs(self.run.network, Sequences.in_memory(rows), self.run.config.training.batch)
        )
        return [or_error(self._say, found[clip], options) for clip in range(len(rows))]

    def _say(self, outputs: NDArray[np.float32], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        check_output(outputs, "it")
        if options.get("each_frame"):
            return self.run.said_of_frames(outputs, 0)
        rows = told(self.run.target, [(outputs, self.run.clock(0, len(outputs)))], "")
        return [{name: value for name, value in row.items() if name != "clip"} for row in rows]

    def of_file(self, path: Path, options: Mapping[str, Any]) -> Any:
        if options.get("each_frame"):
            raise DataError("each_frame is of arrays; files are told by their segments")
        rows = self.run.predict([path])
        return [{name: value for name, value in row.items() if name != "clip"} for row in rows]


class Translate(Predictor):
    """Texts into other texts."""

    verb = "translate"
    wanted = "a text"

    def __init__(self, run: TranslatorRun) -> None:
        self.run = run

    def _translator(self, options: Mapping[str, Any]) -> Any:
        return self.run.translator(
            **{name: value for name, value in options.items() if name != "alternatives"}
        )

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        if not isinstance(row, str):
            raise DataError(f"expected {self.wanted}")
        try:
            return row, self._translator(options).encode(row, "the text")
        except DataError as error:
            what = str(error).removeprefix("the text, line 1, ").removeprefix("the text line 1: ")
            raise DataError(what) from None

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        translator = self._translator(options)
        # Sources of one length side by side: padding would round the attention's sums another way, so that a
        # translation would depend on its neighbours.
        by_length: dict[int, list[int]] = {}
        for place, (_, tokens) in enumerate(rows):
            by_length.setdefault(len(tokens), []).append(place)
        found: dict[int, Translated] = {}
        for places in by_length.values():
            texts, tokens = zip(*(rows[place] for place in places), strict=True)
            found.update(zip(places, translator.translate(texts, tokens), strict=True))
        answers = []
        for one in (found[place] for place in range(len(rows))):
            said: dict[str, Any] = {"translation": one.text, "score": float(one.score)}
            if options.get("alternatives"):
                said["alternatives"] = [
                    {"translation": text, "score": float(score)} for text, score in one.alternatives
                ]
            answers.append(said)
        return answers


class CaptionImages(Predictor):
    """Pictures."""

    verb = "caption"
    wanted = "a picture as a file"
    suffixes = IMAGE_SUFFIXES

    def __init__(self, run: CaptionerRun) -> None:
        self.run = run

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        raise DataError(f"expected {self.wanted}")

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        raise NotImplementedError

    def of_file(self, path: Path, options: Mapping[str, Any]) -> Any:
        (found,) = self.run.caption([path], **options)
        return {"caption": found.text, "log_probability": float(found.log_probability)}


class Transcribe(Predictor):
    """Recordings into texts."""

    verb = "transcribe"

    def __init__(self, run: TranscriberRun) -> None:
        self.run = run
        sounds = run.config.data.input == "audio"
        self.suffixes = AUDIO_SUFFIXES if sounds else ARRAY_SUFFIXES
        self.wanted = "samples (N,) from -1 to 1" if sounds else "an array (T, F)"

    def read(self, row: Any, options: Mapping[str, Any]) -> Any:
        array = as_array(row)
        sounds = self.run.config.data.input == "audio"
        return self.run.recording_of(array.astype(np.float32) if sounds else array, "the recording")

    def answer(self, rows: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Any]:
        found = self.run.transcribe_read(rows, **options)
        return [{name: value for name, value in one.items() if name != "input"} for one in found]

    def of_file(self, path: Path, options: Mapping[str, Any]) -> Any:
        (found,) = self.run.predict([path], words=True, **options)
        return {name: value for name, value in found.items() if name not in ("input", "truth")}


def predictor_of(run: Run) -> Predictor | None:
    """What a run answers, if it predicts at all."""
    if isinstance(run, ClassifierRun):
        return Classify(run)
    if isinstance(run, WordTaggerRun):
        return TagWords(run)
    if isinstance(run, TaggerRun):
        return TagFrames(run)
    if isinstance(run, TranslatorRun):
        return Translate(run)
    if isinstance(run, CaptionerRun):
        return CaptionImages(run)
    return Transcribe(run) if isinstance(run, TranscriberRun) else None


def as_array(row: Any) -> NDArray[Any]:
    """Lists of numbers as an array.

    Raises:
        DataError: they are of different lengths, or something else than numbers, or not finite.
    """
    try:
        array = np.asarray(row)
    except (ValueError, OverflowError):  # lists of different lengths
        raise DataError("its lists are of different lengths") from None
    if array.dtype.kind not in "iuf" or not array.ndim:
        raise DataError("expected lists of numbers")
    if not array.size:
        raise DataError("it is empty")
    return as_float32(array, lambda *place: f"number {list(place)}")


def or_error(say: Callable[..., Any], *given: Any) -> Any:
    """What a function gives, or the error that it ends with."""
    try:
        return say(*given)
    except ThroughtimeError as error:
        return error
