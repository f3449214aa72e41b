"""From a user's examples to what training reads: inputs, truth and statistics, in the run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.config.small_data import (
    CONVOLUTIONS_OF_FEW,
    FEWEST_FOR_ONE_NETWORK,
    MOST_STEPS_OF_FEW,
    NETWORKS_OF_FEW,
    holds_nothing_out,
)
from throughtime.data.conditions import ConditionSurvey
from throughtime.data.features import FeatureSpace, statistics
from throughtime.data.joined import place_of
from throughtime.data.sequences import write_sequences
from throughtime.data.splits import stratified_fold, stratified_split
from throughtime.data.tables import BadRows, column_names
from throughtime.data.text_encoder import TextEncoder, normalise, train_text_tokenizer, unknown_share
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.word_vectors import spellings
from throughtime.errors import DataError, OptionError
from throughtime.run.word_vectors import take_vectors
from throughtime.targets.kinds import Target, labels_of, numbers_of
from throughtime.tasks.classifier.examples import Example, table_of
from throughtime.tasks.classifier.options import ClassifierConfig
from throughtime.tasks.classifier.prepared import EXAMPLES, SECOND, write_beside, write_targets, write_vectors
from throughtime.tasks.classifier.reading import (
    STATIC_COLUMN,
    as_steps,
    example_reader,
    table_format,
    truth_reader,
)
from throughtime.tasks.classifier.segments import around_for, look_at, segment_for

if TYPE_CHECKING:
    from throughtime.training.progress import Progress

TOKENIZER, FEATURES, STATIC = "tokenizer.json", "features.json", "static.json"
DATA = "data"

# Of a new text's words. After SST-2's 6,920 sentences it is 5 %, and words are 3 points better than byte
# pairs on its dev split; after 150,000 Korean reviews, whose words take many endings, it is still 14 %.
_MOST_UNKNOWN = 0.1


class Preparation:
    """Reads the training examples once.

    Args:
        folder: of the run; gets labels or target, vocabulary or features, and what `PreparedExamples` opens.
        config: with `input` settled.
        show: where remarks go.
    Attributes:
        config: with what was left to the data.
        left_out: the examples that could not be used.
    """

    def __init__(self, folder: Path, config: ClassifierConfig, show: Progress) -> None:
        self.folder = folder
        self.config = config
        self.left_out = BadRows(config.data.skip_bad)
        self._show = show
        self._space: FeatureSpace | None = None

    def prepare(self) -> None:
        """Read and write.

        Raises:
            DataError: the data cannot be used.
            OptionError: an option would do nothing.
        """
        if self.config.data.input == "text":
            self._prepare_texts()
        else:
            self._prepare_features()

    def _prepare_texts(self) -> None:
        read = list(self._read_all())
        targets, held_out = self._settle_target([(example.truth, late) for example, late in read])
        self._settle_beside([(example, late) for example, late in read])
        data = self.config.data
        seen: list[str] = []
        for (example, _), late in zip(read, held_out, strict=True):
            if not late:
                seen += [str(example.input), *([] if example.second is None else [example.second])]
        kind = self._settle_tokenizer(seen)
        tokenizer = train_text_tokenizer(kind, seen, data.vocabulary, data.lowercase)
        tokenizer.save(self.folder / TOKENIZER)
        if data.embedding_file is not None:
            self._take_vectors(tokenizer, data.embedding_file, seen)
        # Characters that only validation has are unknown ones; --errors strict is about what is predicted.
        encoder = TextEncoder(tokenizer, data.lowercase, "replace", data.longest)
        place = self.folder / DATA
        write_sequences(place / EXAMPLES, (encoder.encode(str(one.input)) for one, _ in read), np.int32)
        if data.second_text is not None:
            write_sequences(place / SECOND, (encoder.encode(str(one.second)) for one, _ in read), np.int32)
        write_targets(place, targets, held_out)

    def _settle_tokenizer(self, seen: list[str]) -> Literal["character", "byte", "bpe", "word"]:
        """The tokenizer that the user named, or that suits the training texts."""
        data = self.config.data
        if data.tokenizer != "auto":
            return data.tokenizer
        unknown = unknown_share(seen, data.lowercase)
        kind = "word" if unknown <= _MOST_UNKNOWN or data.embedding_file is not None else "bpe"
        self._show.remark(
            f"--tokenizer {kind}: {unknown:.0%} of the words of new texts would be unknown words"
        )
        self.config = self.config.changed({"tokenizer": kind})
        return kind

    def _take_vectors(self, tokenizer: Tokenizer, path: str, seen: list[str]) -> None:
        """Write the vectors of the vocabulary's words."""
        counts = Counter(word for text in seen for word in normalise(text, "word", lowercase=False).split())
        vectors, self.config = take_vectors(self.config, path, counts.keys(), self._show)
        words = list(tokenizer.token_texts())
        write_vectors(self.folder / DATA, vectors.matrix(spellings(words, counts)))

    def _prepare_features(self) -> None:
        read: list[tuple[Example, bool]] = []

        def arrays() -> Iterator[NDArray[np.float32]]:
            for example, late in self._read_all():
                read.append((replace(example, input=None), late))
                yield example.input  # type: ignore[misc]

        # They go to the disk as they are read: sounds may be larger than memory.
        steps = self._in_segments(arrays())
        examples = write_sequences(
            self.folder / DATA / EXAMPLES,
            steps,
            np.float32,
            lambda: f"{self.config.data.source} has no usable examples ({self.left_out.summary()})",
        )
        targets, held_out = self._settle_target([(example.truth, late) for example, late in read])
        self._settle_beside(read)
        write_targets(self.folder / DATA, targets, held_out)
        assert self._space is not None
        names = self._space.names
        # The steps of a segment are features like each other; those that fill the last one count along.
        training = (examples[int(number)].reshape(-1, len(names)) for number in np.flatnonzero(~held_out))
        mean, deviation = statistics(training)
        space = FeatureSpace(names, self._space.rate, tuple(mean.tolist()), tuple(deviation.tolist()))
        space.save(self.folder / FEATURES)

    def _settle_beside(self, read: list[tuple[Example, bool]]) -> None:
        """Find out what the static columns hold, and write what stands beside each example."""
        data = self.config.data
        if data.static_columns is None:
            return
        names = list(read[0][0].beside or {})
        survey = ConditionSurvey(names, STATIC_COLUMN)
        for example, late in read:
            if not late:
                survey.add(example.beside or {})
        conditions = survey.settle()
        rows = []
        for example, late in read:
            try:
                rows.append(conditions.encode(example.beside or {}))
            except DataError as error:
                where = place_of(data.validation if late else data.source, example.line)
                raise DataError(f"{where}: {error}") from None
        conditions.save(self.folder / STATIC)
        write_beside(self.folder / DATA, rows)
        self._show.remark(f"beside each example: {', '.join(one.describe() for one in conditions.fields)}")

    def _in_segments(self, arrays: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The steps of each example as the network reads them, once it is known how long they are."""
        data = self.config.data
        segment = data.segment or 1
        # A frame of sound is many samples already, and digits of 40 frames need no fewer.
        if data.input == "sequences":
            lengths, arrays = look_at(arrays, FEWEST_FOR_ONE_NETWORK)
            self._settle_few(lengths)
            length = float(np.median(lengths)) if lengths else 0.0
            if not data.segment:
                segment = segment_for(min(length, data.longest or length))
                if segment > 1:
                    self._show.remark(
                        f"sequences of {length:,.0f} steps: {segment} steps are read as one (--segment "
                        f"{segment})"
                    )
        if data.input != "vectors":
            self.config = self.config.changed({"segment": segment})
        if not self.config.model.convolutions and data.around:
            raise OptionError(f"--around {data.around} would do nothing: it needs --convolutions")
        if self.config.model.convolutions and not data.around:
            self.config = self.config.changed({"around": around_for(segment)})
        return (as_steps(array, self.config.data) for array in arrays)

    def _settle_few(self, lengths: Sequence[int]) -> None:
        """What learns best from a few sequences, unless somebody said what does."""
        model, given = self.config.model, self.config.given("model")
        if len(lengths) >= FEWEST_FOR_ONE_NETWORK:
            return
        if "members" not in given:
            self.config = self.config.changed({"members": NETWORKS_OF_FEW})
            self._show.remark(
                f"{len(lengths)} sequences: {NETWORKS_OF_FEW} networks learn side by side, and the mean of "
                f"what they say counts (--members {NETWORKS_OF_FEW})"
            )
        longest = max(lengths, default=0)
        longest = min(longest, self.config.data.longest or longest)
        # Whoever takes the recurrence out wants to see what single steps say.
        if "convolutions" not in given and model.cell != "none" and longest <= MOST_STEPS_OF_FEW:
            self.config = self.config.changed({"convolutions": CONVOLUTIONS_OF_FEW})
            self._show.remark(
                f"{len(lengths)} sequences: convolutions look for shapes in front of the recurrence "
                f"(--convolutions {CONVOLUTIONS_OF_FEW})"
            )

    def _read_all(self) -> Iterator[tuple[Example, bool]]:
        """Training examples, then those of the validation file; with each whether it is one of these."""
        data = self.config.data
        reader = example_reader(data, None, needs_truth=True, allow_outside=data.allow_outside_files)
        known: set[str] = set()
        for path, late in ((data.source, False), (data.validation, True)):
            if path is None:
                continue
            for count, example in enumerate(reader.read(path, self.left_out), 1):
                if count % 100 == 0:
                    self._show.preparing(f"reading {Path(path).name}", count, 0)
                names = reader.truth.names(example.truth)
                new = [name for name in names if name not in known]
                if late and new:
                    said = f"no training example has the label {new[0]!r}"
                    self.left_out.report(table_of(path), example.line, said)
                    continue
                known.update(new)
                self._space = reader.space
                yield example, late

    def _settle_target(self, truths: list[tuple[Any, bool]]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The truth of each example, and whether it is held out for validation."""
        data = self.config.data
        # Thresholds of several labels and intervals of numbers come from examples that were held out.
        if data.target == "label" and holds_nothing_out(self.config, len(truths)):
            self.config = self.config.changed({"validation_fraction": 0.0, "keep": "last"})
            self._show.remark(
                f"{len(truths)} examples: none is held out, and the last weights are kept; use "
                f"--validation-fraction 0.2 or --folds 5 to measure"
            )
        cells = [truth for truth, _ in truths]
        late = np.array([is_late for _, is_late in truths])
        target: Target
        if data.target == "number":
            encoded = np.array(cells, dtype=np.float64)
            held_out = self._held_out(np.zeros(len(cells)), late)
            columns = truth_reader(data).columns(column_names(table_of(data.source), table_format(data)))
            target = numbers_of(columns, encoded[~held_out], self.config.training, data.source)
        else:
            early = [cell for cell, is_late in truths if not is_late]
            target = labels_of(data.target, early, data.source)
            encoded = target.encode(cells)
            held_out = self._held_out(encoded if encoded.ndim == 1 else np.zeros(len(cells)), late)
        target.save(self.folder)
        return encoded, held_out

    def _held_out(self, classes: NDArray[Any], late: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which examples are for validation: those of the validation file, or a share of each class."""
        data = self.config.data
        if data.validation is not None:
            return late
        if data.fold is not None:
            number, folds = map(int, data.fold.split("/"))
            return stratified_fold(classes, number, folds, self.config.training.seed)
        return stratified_split(classes, data.validation_fraction, self.config.training.seed)
