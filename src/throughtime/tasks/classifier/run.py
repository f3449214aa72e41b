"""The run of a classifier: it says the label, the labels or a number of texts, vectors, sequences, sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.features import FeatureSpace, statistics
from throughtime.data.lines import STANDARD_INPUT, shown, standard_input
from throughtime.data.numbers import as_float32
from throughtime.data.sequences import write_sequences
from throughtime.data.splits import stratified_fold, stratified_split
from throughtime.data.tables import BadRows, TableFormat, column_names
from throughtime.data.text_encoder import TextEncoder, train_text_tokenizer
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import DataError, OptionError, RunError
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.recognition import recognise
from throughtime.run.run import CONFIG, Run, refuse_text
from throughtime.runtime.outputs import check_output
from throughtime.targets.kinds import Target, labels_of, load_target, numbers_of, threshold_all
from throughtime.targets.truth import TruthReader
from throughtime.tasks.classifier.examples import (
    Example,
    ExampleReader,
    InputKind,
    table_of,
)
from throughtime.tasks.classifier.inputs import read_any, read_inputs
from throughtime.tasks.classifier.options import ClassifierConfig
from throughtime.tasks.classifier.prediction import Labeller, SequenceLabeller, all_outputs
from throughtime.tasks.classifier.prepared import EXAMPLES, TARGETS, PreparedExamples, write_targets

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.classifier.model import Classifier, Ensemble
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

TOKENIZER, FEATURES = "tokenizer.json", "features.json"
DATA = "data"

# Files are predicted in batches of this many: enough to share padding, few enough to show results soon.
_AT_A_TIME = 256
# The row of an embedding behind its tokens; no token has this name.
_UNKNOWN = "\0unknown"
_WHAT = {"text": "texts", "vectors": "vectors", "sequences": "sequences", "audio": "sounds"}


class ClassifierRun(Run):
    """A trained classifier in its folder.

    Example:
        run = ClassifierRun.open("runs/reviews")
        print(run.classify(["what a film", "what a bore"]))

    Attributes:
        target: what it says of an example: the names of the labels, or of the numbers.
        encoder: for texts: the vocabulary.
        space: for numbers: the features, their means and deviations.
    """

    task = "classifier"
    config: ClassifierConfig
    target: Target
    encoder: TextEncoder | None = None
    space: FeatureSpace | None = None

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        if data.input == "auto":
            given = data.model_dump(exclude_unset=True)
            found = recognise(data.source, {**given, "task": self.task}).options
            self.config = self.config.changed(found)
        bad = BadRows(data.skip_bad)
        if self.config.data.input == "text":
            self._prepare_texts(bad, show)
        else:
            self._prepare_features(bad, show)
        self.fit_to_data(len(PreparedExamples.open(self.folder / DATA).training), show)
        if bad.count:
            show.remark(bad.summary())
        if (
            data.validation_fraction
            and not data.folds
            and not len(PreparedExamples.open(self.folder / DATA).validation)
        ):
            show.remark("too few examples to hold any out for validation: the last weights are kept")

    def _prepare_texts(self, bad: BadRows, show: Progress) -> None:
        examples = list(self._read_all(bad, show))
        targets, held_out = self._settle_target([(example.truth, late) for example, late in examples])
        data = self.config.data
        seen = [str(example.input) for (example, _), late in zip(examples, held_out, strict=True) if not late]
        tokenizer = train_text_tokenizer(data.tokenizer, seen, data.vocabulary, data.lowercase)
        tokenizer.save(self.folder / TOKENIZER)
        self.encoder = self._make_encoder(tokenizer)
        # Characters that only validation has are unknown ones; --errors strict is about what is predicted.
        encoder = TextEncoder(tokenizer, data.lowercase, "replace", data.longest)
        arrays = (encoder.encode(str(example.input)) for example, _ in examples)
        write_sequences(self.folder / DATA / EXAMPLES, arrays, np.int32)
        write_targets(self.folder / DATA, targets, held_out)

    def _prepare_features(self, bad: BadRows, show: Progress) -> None:
        truths: list[tuple[Any, bool]] = []

        def arrays() -> Iterator[NDArray[np.float32]]:
            for example, late in self._read_all(bad, show):
                truths.append((example.truth, late))
                yield self._cut(example.input)

        # They go to the disk as they are read: sounds may be larger than memory.
        examples = write_sequences(self.folder / DATA / EXAMPLES, arrays(), np.float32)
        targets, held_out = self._settle_target(truths)
        write_targets(self.folder / DATA, targets, held_out)
        mean, deviation = statistics(examples[int(number)] for number in np.flatnonzero(~held_out))
        assert self.space is not None
        self.space = FeatureSpace(
            self.space.names, self.space.rate, tuple(mean.tolist()), tuple(deviation.tolist())
        )
        self.space.save(self.folder / FEATURES)

    def _read_all(self, bad: BadRows, show: Progress) -> Iterator[tuple[Example, bool]]:
        """Training examples, then those of the validation file; with each whether it is one of these."""
        data = self.config.data
        reader = self._reader(needs_truth=True, allow_outside=data.allow_outside_files)
        known: set[str] = set()
        for path, late in ((data.source, False), (data.validation, True)):
            if path is None:
                continue
            for count, example in enumerate(reader.read(path, bad), 1):
                if count % 100 == 0:
                    show.preparing(f"reading {Path(path).name}", count, 0)
                names = reader.truth.names(example.truth)
                new = [name for name in names if name not in known]
                if late and new:
                    said = f"no training example has the label {new[0]!r}"
                    bad.report(table_of(path), example.line, said)
                    continue
                known.update(new)
                self.space = reader.space
                yield example, late

    def _settle_target(self, truths: list[tuple[Any, bool]]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The truth of each example, and whether it is held out for validation."""
        data = self.config.data
        cells = [truth for truth, _ in truths]
        late = np.array([is_late for _, is_late in truths])
        if data.target == "number":
            encoded = np.array(cells, dtype=np.float64)
            held_out = self._held_out(np.zeros(len(cells)), late)
            columns = self._truth_reader.columns(column_names(table_of(data.source), self._form))
            self.target = numbers_of(columns, encoded[~held_out], self.config.training, data.source)
        else:
            early = [cell for cell, is_late in truths if not is_late]
            self.target = labels_of(data.target, early, data.source)
            encoded = self.target.encode(cells)
            held_out = self._held_out(encoded if encoded.ndim == 1 else np.zeros(len(cells)), late)
        self.target.save(self.folder)
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

    def load(self) -> None:
        self.target = load_target(self.config.data.target, self.folder)
        if self.config.data.input == "text":
            self.encoder = self._make_encoder(Tokenizer.load(self.folder / TOKENIZER))
        else:
            self.space = FeatureSpace.load(self.folder / FEATURES)

    def build_model(self) -> Classifier | Ensemble:
        from throughtime.tasks.classifier.model import Classifier, Ensemble

        model, target = self.config.model, self.target
        if self.encoder is not None:
            made = [Classifier(model, target, self.encoder.unknown) for _ in range(model.members)]
        else:
            assert self.space is not None
            known = (self.space.mean, self.space.deviation)
            made = [Classifier(model, target, statistics=known) for _ in range(model.members)]
        return made[0] if model.members == 1 else Ensemble(made)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.classifier.training import Classification

        prepared = PreparedExamples.open(self.folder / DATA)
        self.target.check(prepared.targets, TARGETS)
        if self.encoder is not None:
            prepared.examples.expect_numbers(0, self.encoder.unknown + 1)
        else:
            assert self.space is not None
            prepared.examples.expect_steps((len(self.space.names),), "f")
        what = _WHAT[self.kind]
        return Classification(model, prepared, self.target, self.config.training, what)  # type: ignore[arg-type]

    def conclude(self) -> None:
        """Calibrate by the validation examples, and draw what the best weights make of them."""
        prepared = PreparedExamples.open(self.folder / DATA)
        if len(prepared.validation):
            outputs = self._outputs([prepared.examples[int(number)] for number in prepared.validation])
            truth = np.asarray(prepared.targets[prepared.validation])
            self.target.calibrate(self.folder, truth, outputs)
            self.target.draw(self.folder / f"{self.target.picture}.png", truth, outputs)

    # ---- predicting

    def classify(self, inputs: Iterable[Any]) -> list[dict[str, Any]]:
        """Say what texts, or arrays (T, F) of numbers, are that are at hand.

        Returns:
            For each its label, the label's probability, and those of all labels; or its labels and the
            probabilities of all; or its value, low and high.
        Raises:
            DataError: a text is empty, a number is not finite, or the model's output is not.
        """
        refuse_text(inputs, "classify")
        rows = self._outputs([self._encode(one) for one in inputs])
        return [
            self._say(check_output(row, f"input {number}"), self.target.kind != "number")
            for number, row in enumerate(rows)
        ]

    def _say(self, outputs: NDArray[np.float32], probabilities: bool) -> dict[str, Any]:
        found = self.target.say(outputs)
        return {**found, "probabilities": self.target.probabilities(outputs)} if probabilities else found

    @takes_frames
    def predict(
        self,
        inputs: Sequence[str | Path],
        skip_bad: bool = False,
        allow_outside_files: bool = False,
        probabilities: bool = False,
        threshold: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Label the examples of files.

        Args:
            inputs: tables, folders with metadata.csv, single arrays or sounds, .txt files of texts;
                "-" is standard input: a line is a text, the numbers of a vector, or a file's name.
            skip_bad: leave out what cannot be used; `left_out` says what.
            allow_outside_files: read files that a table names outside its own folder.
            probabilities: give those of all labels.
            threshold: several labels: give every label from this probability on.
        Yields:
            input; label and probability, or labels, or value, low and high; and truth, where the file has it.
            A blank line of a stream or of a .txt file has an empty answer, so that answers stay beside their
            lines.
        """
        refuse_text(inputs, "predict")
        threshold_all(self.target, threshold)
        if probabilities and self.target.kind == "number":
            raise OptionError("numbers have no probabilities: leave out --probabilities")
        bad = BadRows(skip_bad)
        for source in inputs:
            streamed = str(source) == "-"
            reader = self._reader(needs_truth=False, allow_outside=allow_outside_files)
            examples = (
                read_inputs(reader, STANDARD_INPUT, standard_input(), bad)
                if streamed
                else read_any(reader, self.kind, source, bad)
            )
            name = STANDARD_INPUT if streamed else source
            encoded = self._encoded(examples, name, bad)
            while block := list(islice(encoded, 1 if streamed else _AT_A_TIME)):
                yield from self._label(block, name, bad, probabilities)
        self.left_out = bad.summary()

    def _label(
        self,
        block: list[tuple[Example, NDArray[Any] | None]],
        name: str | Path,
        bad: BadRows,
        probabilities: bool,
    ) -> Iterator[dict[str, Any]]:
        """What is found of each example; values without content for a blank line."""
        arrays = [array for _, array in block if array is not None]
        outputs = iter(self._outputs(arrays)) if arrays else iter(())
        for example, array in block:
            if array is None:
                nothing = self._say(np.zeros(self.target.width, dtype=np.float32), probabilities)
                yield {"input": "", **{key: _empty(value) for key, value in nothing.items()}}
                continue
            try:
                row = check_output(next(outputs), shown(example.name))
            except DataError as error:
                bad.report(name, example.line, str(error))
                continue
            said = self._say(row, probabilities)
            every = {"probabilities": said.pop("probabilities")} if probabilities else {}
            truth = {} if example.truth is None else {"truth": self.target.truth_of(example.truth)}
            yield {"input": example.name, **said, **truth, **every}

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        allow_outside_files: bool = False,
        threshold: float | None = None,
    ) -> dict[str, Any]:
        """Measure on labelled examples; a picture and a .json in the run folder get the details.

        Args:
            threshold: several labels: give every label from this probability on.
        Returns:
            examples, left_out, loss (of an example, unweighted), and by what is learned: accuracy, macro_f1,
            majority (the accuracy of always naming the most frequent label) and confusion, the picture;
            micro_f1, macro_f1, subset_accuracy and label-scores; mae, rmse, r2 and so on, and scatter.
        """
        threshold_all(self.target, threshold)
        bad = BadRows(skip_bad)
        arrays: list[NDArray[Any]] = []
        truths: list[NDArray[Any]] = []
        names: list[str] = []
        table = table_of(path)
        reader = self._reader(needs_truth=True, allow_outside=allow_outside_files)
        for example, array in self._encoded(reader.read(path, bad), table, bad):
            assert array is not None  # a table has no blank lines
            try:
                truths.append(self.target.encode([example.truth]))
            except DataError as error:
                bad.report(table, example.line, str(error))
                continue
            arrays.append(array)
            names.append(f"line {example.line} of {table}")
        if not arrays:
            raise DataError(f"{table} has no usable examples ({bad.summary()})")
        outputs = self._outputs(arrays, progress)
        for each, name in zip(outputs, names, strict=True):
            check_output(each, name)
        truth = np.concatenate(truths)
        scores = self.target.scores()
        scores.add(truth, self.target.decide(outputs))
        picture = self.folder / f"{self.target.picture}-{Path(path).resolve().stem}.png"
        return {
            "examples": len(arrays),
            "left_out": bad.count,
            "loss": float(self.target.losses_of(outputs, truth).mean()),
            **scores.result(),
            **self.target.baseline(truth),
            self.target.picture.replace("-", "_"): str(self.target.draw(picture, truth, outputs)),
        }

    def next_command(self) -> str:
        example = 'echo "a text" | ' if self.config.data.input == "text" else ""
        inputs = "" if example else " INPUT"
        return f"Predict with it: {example}throughtime predict {self.folder}{inputs}"

    def row_names(self) -> dict[str, list[str]]:
        outputs = self.target.output_names
        rows = {"output.weight": outputs, "output.bias": outputs}
        if self.encoder is not None:
            rows["embedding.weight"] = [*self.encoder.tokenizer.token_texts(), _UNKNOWN]
        members = range(self.config.model.members)
        return rows | {
            f"members.{number}.{name}": names for number in members for name, names in rows.items()
        }

    def facts(self) -> dict[str, Any]:
        known = self.target.facts()
        if self.encoder is not None:
            known["vocabulary_size"] = self.encoder.unknown
        if self.space is not None:
            known["features"] = len(self.space.names)
        return known

    # ---- what both need

    @property
    def kind(self) -> InputKind:
        """What the examples are."""
        if self.config.data.input == "auto":
            raise RunError(f"{self.folder / CONFIG} is damaged: data.input is auto, which training settles")
        return self.config.data.input

    @property
    def _form(self) -> TableFormat:
        return TableFormat(self.config.data.header, self.config.data.encoding)

    @property
    def _truth_reader(self) -> TruthReader:
        data = self.config.data
        return TruthReader(data.target, data.label_column, data.label_separator)

    def _reader(self, needs_truth: bool, allow_outside: bool) -> ExampleReader:
        data = self.config.data
        return ExampleReader(
            self.kind,
            data.text_column,
            self._truth_reader,
            columns=data.columns,
            form=self._form,
            fill=data.fill,
            sound=data,
            space=self.space,
            needs_truth=needs_truth,
            allow_outside=allow_outside,
        )

    def _make_encoder(self, tokenizer: Tokenizer) -> TextEncoder:
        data = self.config.data
        return TextEncoder(tokenizer, data.lowercase, data.errors, data.longest)

    def _encode(self, given: Any) -> NDArray[Any]:
        """A text or an array as the network reads it."""
        if self.encoder is not None:
            return self.encoder.encode(given)
        return self._cut(as_float32(given, lambda *place: f"number {list(place)}"))

    def _cut(self, array: Any) -> NDArray[np.float32]:
        return array[: self.config.data.longest or None]

    def _encoded(
        self, examples: Iterable[Example], path: str | Path, bad: BadRows
    ) -> Iterator[tuple[Example, NDArray[Any] | None]]:
        for example in examples:
            try:
                yield example, None if example.input is None else self._encode(example.input)
            except DataError as error:
                bad.report(path, example.line, str(error))

    def _outputs(
        self, arrays: Sequence[NDArray[Any]], progress: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        return all_outputs(self.network, arrays, progress)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        known = TOKENIZER if self.encoder is not None else FEATURES
        return (known, *self.target.files), self.target.facts()

    def port_sizes(self) -> dict[tuple[str, str], int]:
        sizes = {("sequence", self.target.port): self.target.width}
        if self.encoder is not None:
            return {**sizes, ("sequence", "tokens"): self.encoder.unknown + 1}
        assert self.space is not None
        return {**sizes, ("sequence", "features"): len(self.space.names)}

    def predictor(self, network: Functions) -> SequenceLabeller:
        return Labeller(network, self.config.model.pooling, self.target.port)


def _empty(value: Any) -> Any:
    """As much as a value, with nothing in it."""
    return dict.fromkeys(value) if isinstance(value, dict) else None
