"""The run of a transcriber: it writes the text of sounds or of sequences of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.audio import LogMel
from throughtime.data.features import FeatureSpace, statistics
from throughtime.data.lines import STANDARD_INPUT, standard_input
from throughtime.data.numbers import as_float32
from throughtime.data.sequences import write_sequences
from throughtime.data.splits import stratified_split
from throughtime.data.tables import BadRows
from throughtime.errors import DataError, OptionError
from throughtime.in_memory import takes_data, takes_frames
from throughtime.metrics.edits import EditScores
from throughtime.program.network import Functions
from throughtime.recognition import recognise
from throughtime.run.run import Run, refuse_text
from throughtime.tasks.transcriber.alphabet import Alphabet
from throughtime.tasks.transcriber.decoding import Spelled, log_likelihood
from throughtime.tasks.transcriber.options import TranscriberConfig
from throughtime.tasks.transcriber.prediction import Listener, listen, spell
from throughtime.tasks.transcriber.prepared import RECORDINGS, TEXTS, PreparedRecordings, write_held_out
from throughtime.tasks.transcriber.recordings import Recording, RecordingReader, check_fits, stacked
from throughtime.tasks.transcriber.session import TranscriptSession
from throughtime.tasks.transcriber.words import timed_words

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.transcriber.model import Transcriber
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

ALPHABET, FEATURES = "alphabet.json", "features.json"
DATA = "data"
# Recordings are read so many at a time: enough to share padding, few enough to show soon.
_AT_A_TIME = 64
# The row of the output layer before its characters; no character has this name.
_BLANK = "\0blank"


class TranscriberRun(Run):
    """A trained transcriber in its folder.

    Example:
        run = TranscriberRun.open("runs/digits")
        for found in run.predict(["recording.wav"]):
            print(found["text"])

    Attributes:
        alphabet: the characters that it writes.
        space: the features of a frame, their means and deviations.
    """

    task = "transcriber"
    objective = "val_cer"
    config: TranscriberConfig
    alphabet: Alphabet
    space: FeatureSpace | None = None

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        if data.input == "auto":
            given = data.model_dump(exclude_unset=True)
            self.config = self.config.changed(recognise(data.source, {**given, "task": self.task}).options)
        bad = BadRows(data.skip_bad)
        texts: list[str] = []
        late: list[bool] = []

        def steps() -> Iterator[NDArray[np.float32]]:
            for one, is_late in self._read_all(bad, show):
                assert one.text is not None
                texts.append(one.text)
                late.append(is_late)
                yield one.steps

        # They go to the disk as they are read: sounds may be larger than memory.
        recordings = write_sequences(
            self.folder / DATA / RECORDINGS,
            steps(),
            np.float32,
            lambda: (
                f"{data.source} has no usable recording ({bad.summary() or 'every row is of another split'})"
            ),
        )
        held_out = self._held_out(np.array(late), show)
        self.alphabet = Alphabet.of(
            text for text, is_late in zip(texts, held_out, strict=True) if not is_late
        )
        known = {*self.alphabet.characters}
        # Characters that only held-out texts have cannot be learned from the others.
        if not any(late):
            new = np.array([not known.issuperset(text) for text in texts])
            held_out &= ~new
            self.alphabet = Alphabet.of(
                text for text, is_late in zip(texts, held_out, strict=True) if not is_late
            )
        self.alphabet.save(self.folder / ALPHABET)
        write_sequences(self.folder / DATA / TEXTS, map(self.alphabet.encode, texts), np.int32)
        write_held_out(self.folder / DATA, held_out)
        assert self.space is not None
        size = len(self.space.names)
        training = np.flatnonzero(~held_out)
        mean, deviation = statistics(recordings[int(number)].reshape(-1, size) for number in training)
        self.space = FeatureSpace(
            self.space.names, self.space.rate, tuple(mean.tolist()), tuple(deviation.tolist())
        )
        self.space.save(self.folder / FEATURES)
        self.fit_to_data(len(training), show, "recordings")
        if bad.count:
            show.remark(bad.summary())

    def _read_all(self, bad: BadRows, show: Progress) -> Iterator[tuple[Recording, bool]]:
        """The training recordings, then those to validate on; with each whether it is one of these."""
        data = self.config.data
        reader = self._reader(needs_text=True, allow_outside=data.allow_outside_files)
        own = reader.has_parts(data.source) and data.validation is None
        sources: list[tuple[str, Sequence[str] | None, bool]] = [(data.source, ("", "training"), False)]
        if data.validation is not None:
            parts = ("validation",) if reader.has_parts(data.validation) else None
            sources.append((data.validation, parts, True))
        elif own:
            sources.append((data.source, ("validation",), True))
        known: set[str] = set()
        for source, parts, is_late in sources:
            for count, one in enumerate(reader.read(source, bad, parts), 1):
                if count % 100 == 0:
                    show.preparing(f"reading {Path(source).name}", count, 0)
                try:
                    check_fits(one, data, known if is_late else None)
                except DataError as error:
                    bad.report(one.table, one.line, str(error))
                    continue
                known.update(one.text or "")
                self.space = reader.space
                yield one, is_late

    def _held_out(self, late: NDArray[np.bool_], show: Progress) -> NDArray[np.bool_]:
        data = self.config.data
        if late.any():
            return late
        fraction = data.validation_fraction if data.validation is None else 0.0
        held_out = stratified_split(np.zeros(len(late)), fraction, self.config.training.seed)
        if not held_out.any() and fraction:
            show.remark("too few recordings to hold any out for validation: the last weights are kept")
        return held_out

    def load(self) -> None:
        self.alphabet = Alphabet.load(self.folder / ALPHABET)
        self.space = FeatureSpace.load(self.folder / FEATURES)

    @property
    def _features(self) -> int:
        """F, of a step."""
        assert self.space is not None
        return self.config.data.stack * len(self.space.names)

    def build_model(self) -> Transcriber:
        from throughtime.tasks.transcriber.model import Transcriber

        assert self.space is not None
        stack = self.config.data.stack
        mean, deviation = self.space.mean * stack, self.space.deviation * stack
        return Transcriber(self.config.model, mean, deviation, len(self.alphabet))

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.transcriber.training import Transcription

        prepared = PreparedRecordings.open(self.folder / DATA, self._features, len(self.alphabet))
        return Transcription(model, prepared, self.alphabet, self.config, self._what)  # type: ignore[arg-type]

    # ---- predicting

    @takes_frames
    def predict(
        self,
        inputs: Sequence[str | Path],
        skip_bad: bool = False,
        allow_outside_files: bool = False,
        beam: int = 1,
        words: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Write the texts of files.

        Args:
            inputs: sounds or arrays, folders of them, or folders with a metadata file; "-" reads the names of
                files from standard input, one a line.
            skip_bad: leave out what cannot be used; `left_out` says what.
            allow_outside_files: read files that a table names outside its own folder.
            beam: prefixes that the search keeps; 1 takes the most probable path.
            words: give each word with the time when it begins.
        Yields:
            text, confidence (the probability of the paths that were found, as a geometric mean over the
            text's characters), truth where the file has it, words, and input. A blank line of standard input
            has an empty answer.
        Raises:
            DataError: an input cannot be used.
            OptionError: the beam is none.
        """
        refuse_text(inputs, "predict")
        if beam < 1:
            raise OptionError(f"a beam keeps 1 prefix or more, not {beam}")
        bad = BadRows(skip_bad)
        for source in inputs:
            if str(source) == "-":
                for line, text in enumerate(standard_input(), 1):
                    yield from self._predict_line(text.strip(), line, bad, beam, words)
                continue
            reader = self._reader(needs_text=False, allow_outside=allow_outside_files)
            read = reader.read(source, bad)
            while block := list(islice(read, _AT_A_TIME)):
                yield from self._transcribe(block, beam, words)
        self.left_out = bad.summary()

    def _predict_line(
        self, name: str, line: int, bad: BadRows, beam: int, words: bool
    ) -> Iterator[dict[str, Any]]:
        if not name:
            yield {"text": "", "confidence": None, **({"words": []} if words else {}), "input": ""}
            return
        try:
            steps, frames = self._reader(needs_text=False).features(name)
        except DataError as error:
            bad.report(STANDARD_INPUT, line, str(error))
            return
        yield from self._transcribe([Recording(steps, frames, None, name, Path(name), None)], beam, words)

    def transcribe(self, recordings: Iterable[Any], beam: int = 1) -> list[dict[str, Any]]:
        """The texts of recordings that are at hand.

        Args:
            recordings: of a run of sounds samples (N,) in [-1, 1]; of arrays (T, F).
            beam: prefixes that the search keeps; 1 takes the most probable path.
        Returns:
            For each text, confidence and words, as `predict` gives them.
        Raises:
            DataError: a recording has another shape, or a number is not finite.
        """
        read = [
            self.recording_of(np.asarray(given), f"recording {number}")
            for number, given in enumerate(recordings)
        ]
        return self.transcribe_read(read, beam)

    def recording_of(self, given: NDArray[Any], name: str) -> Recording:
        """A recording that is at hand.

        Raises:
            DataError: it has another shape, or a number is not finite.
        """
        frames = self._frames_of(given, name)
        return Recording(stacked(frames, self.config.data.stack), len(frames), None, name, Path(), None)

    def transcribe_read(self, recordings: Sequence[Recording], beam: int = 1) -> list[dict[str, Any]]:
        """As `transcribe`, of recordings of `recording_of`."""
        return list(self._transcribe(recordings, beam, words=True)) if recordings else []

    def _frames_of(self, given: NDArray[Any], name: str) -> NDArray[np.float32]:
        assert self.space is not None
        expected = 1 if self.space.rate else 2
        if (
            given.ndim != expected
            or not given.size
            or given.dtype.kind not in ("f" if expected == 1 else "fiu")
        ):
            what = "samples (N,) from -1 to 1" if expected == 1 else f"numbers (T, {len(self.space.names)})"
            raise DataError(f"{name} is {given.dtype} {given.shape}, expected {what}")
        array = as_float32(given, lambda *place: f"{name}, number {list(place)}")
        if self.space.rate:
            return self.log_mel(array)
        if array.shape[1] != len(self.space.names):
            raise DataError(f"{name} has {array.shape[1]} features, expected {len(self.space.names)}")
        return array

    def _transcribe(self, block: Sequence[Recording], beam: int, words: bool) -> Iterator[dict[str, Any]]:
        found: list[Spelled | None] = [None] * len(block)
        for number, log_probabilities in listen(self.network, [one.steps for one in block]):
            found[number] = spell(log_probabilities, beam)
        for one, spelled in zip(block, found, strict=True):
            assert spelled is not None
            text = self.alphabet.decode(spelled.characters)
            mean = spelled.log_probability / max(len(text), 1)
            yield {
                "text": text,
                "confidence": round(float(np.exp(mean)), 4),
                **({} if one.text is None else {"truth": one.text}),
                **({"words": timed_words(text, spelled.steps, self.step_seconds)} if words else {}),
                "input": one.name,
            }

    def session(self) -> TranscriptSession:
        """A stream that is written down as it comes: samples of a sound, or rows of numbers.

        Raises:
            OptionError: the transcriber is bidirectional, and needs what has not come yet.
        """
        return TranscriptSession(self)

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        allow_outside_files: bool = False,
        beam: int = 1,
    ) -> dict[str, Any]:
        """Measure on recordings with their texts.

        Args:
            path: a folder with a metadata file, as for training. Where it has a split column with test rows,
                only these count.
            skip_bad: leave out recordings that cannot be used.
            progress: called with the share that is done.
            allow_outside_files: read files outside the folder of the metadata file.
            beam: prefixes that the search keeps; 1 takes the most probable path.
        Returns:
            recordings, characters, words, left_out, loss (nats a character; none where a recording is too
            short for its text), cer, wer (edits for each true character and word), right (whole texts).
        Raises:
            DataError: the data cannot be used.
        """
        bad = BadRows(skip_bad)
        reader = self._reader(needs_text=True, allow_outside=allow_outside_files)
        parts = ("test",) if reader.has_parts(path) else None
        if parts and not reader.count(path, parts):
            parts = None
        total, done = reader.count(path, parts), 0
        scores, loss = EditScores(), 0.0
        # In blocks, so that the recordings may be larger than memory.
        read = reader.read(path, bad, parts)
        while block := list(islice(read, _AT_A_TIME)):
            losses = np.zeros(len(block))
            for number, log_probabilities in listen(self.network, [one.steps for one in block]):
                truth = block[number].text or ""
                scores.add(truth, self.alphabet.decode(spell(log_probabilities, beam).characters))
                losses[number] = -self._likelihood(log_probabilities, truth)
            loss += float(losses.sum())
            done += len(block)
            if progress is not None:
                progress(min(done / max(total, 1), 1.0))
        if not scores.texts:
            raise DataError(f"{path} has no usable recording ({bad.summary()})")
        per_character = loss / scores.characters
        return {
            "recordings": scores.texts,
            "characters": scores.characters,
            "words": scores.words,
            "left_out": bad.count,
            "loss": per_character if np.isfinite(per_character) else None,
            **scores.figures(),
        }

    def _likelihood(self, log_probabilities: NDArray[np.float32], text: str) -> float:
        try:
            return log_likelihood(log_probabilities, self.alphabet.encode(text))
        except DataError:  # a character that it never writes
            return -np.inf

    # ---- what both need

    @property
    def step_seconds(self) -> float | None:
        """How long a step is; None where the recordings are arrays."""
        data = self.config.data
        return None if self.space is None or not self.space.rate else data.stack * data.frame_hop

    @property
    def log_mel(self) -> LogMel:
        """How samples become frames, in a run of sounds."""
        assert self.space is not None and self.space.rate
        data = self.config.data
        return LogMel(self.space.rate, data.mel_bands, data.frame_seconds, data.frame_hop)

    @property
    def _what(self) -> str:
        return "sounds" if self.config.data.input == "audio" else "arrays"

    def _reader(self, needs_text: bool, allow_outside: bool = False) -> RecordingReader:
        data = self.config.data
        return RecordingReader(data, data.input == "audio", self.space, needs_text, allow_outside)

    def predictor(self, network: Functions) -> Listener:
        return Listener(network)

    @property
    def pipeline_tag(self) -> str | None:
        return "automatic-speech-recognition" if self.config.data.input == "audio" else None

    def next_command(self) -> str:
        name = "recording.wav" if self.config.data.input == "audio" else "recording.npy"
        return f"Write down a recording: throughtime predict {self.folder} {name}"

    def row_names(self) -> dict[str, list[str]]:
        names = [_BLANK, *self.alphabet.characters]
        return {"output.weight": names, "output.bias": names}

    def facts(self) -> dict[str, Any]:
        return {"alphabet": "".join(self.alphabet.characters), "step_seconds": self.step_seconds}

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        data = self.config.data
        sound = {
            "mel_bands": data.mel_bands,
            "frame_seconds": data.frame_seconds,
            "frame_hop": data.frame_hop,
        }
        known = {"sound": sound} if data.input == "audio" else {}
        return (ALPHABET, FEATURES), {"stack": data.stack, **known}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        return {("score", "scores"): len(self.alphabet), ("score", "features"): self._features}
