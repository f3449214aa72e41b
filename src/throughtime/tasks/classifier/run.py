"""The run of a classifier: it names the label of texts, vectors, sequences and sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import softmax
from throughtime.data.features import FeatureSpace, statistics
from throughtime.data.labels import Labels
from throughtime.data.lines import STANDARD_INPUT, shown, standard_input
from throughtime.data.numbers import as_float32
from throughtime.data.sequences import write_sequences
from throughtime.data.splits import stratified_fold, stratified_split
from throughtime.data.tables import BadRows, TableFormat
from throughtime.data.text_encoder import TextEncoder, train_text_tokenizer
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import DataError, RunError
from throughtime.program.network import Functions
from throughtime.recognition import recognise
from throughtime.run.run import CONFIG, Run, refuse_text
from throughtime.runtime.outputs import check_output
from throughtime.tasks.classifier.examples import (
    Example,
    ExampleReader,
    InputKind,
    table_of,
)
from throughtime.tasks.classifier.inputs import read_any, read_inputs
from throughtime.tasks.classifier.options import ClassifierConfig
from throughtime.tasks.classifier.prediction import Labeller, SequenceLabeller, all_logits
from throughtime.tasks.classifier.prepared import EXAMPLES, PreparedExamples, write_targets

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.classifier.model import Classifier, Ensemble
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

LABELS, TOKENIZER, FEATURES = "labels.json", "tokenizer.json", "features.json"
DATA = "data"
PICTURE = "confusion.png"

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
        labels: the names of the classes.
        encoder: for texts: the vocabulary.
        space: for numbers: the features, their means and deviations.
    """

    task = "classifier"
    config: ClassifierConfig
    labels: Labels
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
        targets, held_out = self._settle_labels([(example.label or "", late) for example, late in examples])
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
        labels: list[tuple[str, bool]] = []

        def arrays() -> Iterator[NDArray[np.float32]]:
            for example, late in self._read_all(bad, show):
                labels.append((example.label or "", late))
                yield self._cut(example.input)

        # They go to the disk as they are read: sounds may be larger than memory.
        examples = write_sequences(self.folder / DATA / EXAMPLES, arrays(), np.float32)
        targets, held_out = self._settle_labels(labels)
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
        reader = self._reader(needs_label=True, allow_outside=data.allow_outside_files)
        known: set[str | None] = set()
        for path, late in ((data.source, False), (data.validation, True)):
            if path is None:
                continue
            for count, example in enumerate(reader.read(path, bad), 1):
                if count % 100 == 0:
                    show.preparing(f"reading {Path(path).name}", count, 0)
                if late and example.label not in known:
                    said = f"no training example has the label {example.label!r}"
                    bad.report(table_of(path), example.line, said)
                    continue
                known.add(example.label)
                self.space = reader.space
                yield example, late

    def _settle_labels(self, labels: list[tuple[str, bool]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class of each example, and whether it is held out for validation."""
        data = self.config.data
        late = np.array([is_late for _, is_late in labels])
        self.labels = Labels.of(name for name, is_late in labels if not is_late)
        if len(self.labels) < 2:
            raise DataError(
                f"{data.source}: every example has the label {self.labels.names[0]!r}; "
                f"there have to be two labels or more to tell apart"
            )
        targets = np.array([self.labels.number(name) for name, _ in labels], dtype=np.int64)
        self.labels.save(self.folder / LABELS)
        if data.fold is not None:
            number, folds = map(int, data.fold.split("/"))
            return targets, stratified_fold(targets, number, folds, self.config.training.seed)
        if data.validation is None:
            return targets, stratified_split(targets, data.validation_fraction, self.config.training.seed)
        return targets, late

    def load(self) -> None:
        self.labels = Labels.load(self.folder / LABELS)
        if self.config.data.input == "text":
            self.encoder = self._make_encoder(Tokenizer.load(self.folder / TOKENIZER))
        else:
            self.space = FeatureSpace.load(self.folder / FEATURES)

    def build_model(self) -> Classifier | Ensemble:
        from throughtime.tasks.classifier.model import Classifier, Ensemble

        model, classes = self.config.model, len(self.labels)
        if self.encoder is not None:
            made = [Classifier(model, classes, self.encoder.unknown) for _ in range(model.members)]
        else:
            assert self.space is not None
            known = (self.space.mean, self.space.deviation)
            made = [Classifier(model, classes, statistics=known) for _ in range(model.members)]
        return made[0] if model.members == 1 else Ensemble(made)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.classifier.training import Classification

        prepared = PreparedExamples.open(self.folder / DATA)
        classes, training = len(self.labels), self.config.training
        prepared.expect_classes(classes)
        if self.encoder is not None:
            prepared.examples.expect_numbers(0, self.encoder.unknown + 1)
        else:
            assert self.space is not None
            prepared.examples.expect_steps((len(self.space.names),), "f")
        return Classification(model, prepared, classes, training, _WHAT[self.kind])  # type: ignore[arg-type]

    def conclude(self) -> None:
        """Draw confusion.png: what the best weights make of the validation examples."""
        prepared = PreparedExamples.open(self.folder / DATA)
        if len(prepared.validation):
            logits = self._logits([prepared.examples[int(number)] for number in prepared.validation])
            truth = prepared.targets[prepared.validation]
            self._write_confusion(self.folder / PICTURE, truth, logits.argmax(1))

    # ---- predicting

    def classify(self, inputs: Iterable[Any]) -> list[dict[str, Any]]:
        """Label texts, or arrays (T, F) of numbers, that are at hand.

        Returns:
            For each its label, the label's probability, and those of all labels.
        Raises:
            DataError: a text is empty, a number is not finite, or the model's output is not.
        """
        refuse_text(inputs, "classify")
        logits = self._logits([self._encode(one) for one in inputs])
        probabilities = [
            softmax(check_output(each, f"input {number}").astype(np.float64))
            for number, each in enumerate(logits)
        ]
        return [
            {
                "label": self.labels.names[int(row.argmax())],
                "probability": float(row.max()),
                "probabilities": dict(zip(self.labels.names, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]

    def predict(
        self,
        inputs: Sequence[str | Path],
        skip_bad: bool = False,
        allow_outside_files: bool = False,
        probabilities: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Label the examples of files.

        Args:
            inputs: tables, folders with metadata.csv, single arrays or sounds, .txt files of texts;
                "-" is standard input: a line is a text, the numbers of a vector, or a file's name.
            skip_bad: leave out what cannot be used; `left_out` says what.
            allow_outside_files: read files that a table names outside its own folder.
            probabilities: give those of all labels.
        Yields:
            input, label, probability; and truth, where the file has labels. A blank line of a stream or of a
            .txt file has no label, so that answers stay beside their lines.
        """
        refuse_text(inputs, "predict")
        bad = BadRows(skip_bad)
        for source in inputs:
            streamed = str(source) == "-"
            reader = self._reader(needs_label=False, allow_outside=allow_outside_files)
            examples = (
                read_inputs(reader, STANDARD_INPUT, standard_input(), bad)
                if streamed
                else read_any(reader, self.kind, source, bad)
            )
            name = STANDARD_INPUT if streamed else source
            encoded = self._encoded(examples, name, bad)
            while block := list(islice(encoded, 1 if streamed else _AT_A_TIME)):
                for found, row in self._label(block, name, bad):
                    every = dict(zip(self.labels.names, row or [None] * len(self.labels), strict=True))
                    yield {**found, "probabilities": every} if probabilities else found
        self.left_out = bad.summary()

    def _label(
        self, block: list[tuple[Example, NDArray[Any] | None]], name: str | Path, bad: BadRows
    ) -> Iterator[tuple[dict[str, Any], list[float]]]:
        """What is found of each example, and the probabilities of all labels; none for a blank line."""
        arrays = [array for _, array in block if array is not None]
        logits = iter(self._logits(arrays)) if arrays else iter(())
        for example, array in block:
            if array is None:
                yield {"input": "", "label": None, "probability": None}, []
                continue
            try:
                row = softmax(check_output(next(logits), shown(example.name)).astype(np.float64))
            except DataError as error:
                bad.report(name, example.line, str(error))
                continue
            found = {
                "input": example.name,
                "label": self.labels.names[int(row.argmax())],
                "probability": float(row.max()),
            }
            yield (found if example.label is None else {**found, "truth": example.label}), row.tolist()

    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        allow_outside_files: bool = False,
    ) -> dict[str, Any]:
        """Measure on labelled examples; confusion-NAME.png and .json in the run folder get the details.

        Returns:
            examples, left_out, loss (nats an example, unweighted), accuracy, macro_f1, majority (the accuracy
            of always naming the most frequent label), confusion (the picture; see `write_confusion`).
        """
        from throughtime.metrics.classification import accuracy, macro_f1, majority

        bad = BadRows(skip_bad)
        arrays: list[NDArray[Any]] = []
        targets: list[int] = []
        names: list[str] = []
        table = table_of(path)
        reader = self._reader(needs_label=True, allow_outside=allow_outside_files)
        for example, array in self._encoded(reader.read(path, bad), table, bad):
            assert array is not None  # a table has no blank lines
            try:
                targets.append(self.labels.number(example.label or ""))
            except DataError as error:
                bad.report(table, example.line, str(error))
                continue
            arrays.append(array)
            names.append(f"line {example.line} of {table}")
        if not arrays:
            raise DataError(f"{table} has no usable examples ({bad.summary()})")
        logits = self._logits(arrays, progress)
        for each, name in zip(logits, names, strict=True):
            check_output(each, name)
        truth = np.array(targets)
        picture = self.folder / f"confusion-{Path(path).resolve().stem}.png"
        confusion, written = self._write_confusion(picture, truth, logits.argmax(1))
        chosen = np.log(softmax(logits.astype(np.float64))[np.arange(len(truth)), truth] + 1e-30)
        return {
            "examples": len(arrays),
            "left_out": bad.count,
            "loss": float(-chosen.mean()),
            "accuracy": accuracy(confusion),
            "macro_f1": macro_f1(confusion),
            "majority": majority(confusion),
            "confusion": str(written),
        }

    def next_command(self) -> str:
        example = 'echo "a text" | ' if self.config.data.input == "text" else ""
        inputs = "" if example else " INPUT"
        return f"Predict with it: {example}throughtime predict {self.folder}{inputs}"

    def row_names(self) -> dict[str, list[str]]:
        labels = list(self.labels.names)
        rows = {"output.weight": labels, "output.bias": labels}
        if self.encoder is not None:
            rows["embedding.weight"] = [*self.encoder.tokenizer.token_texts(), _UNKNOWN]
        members = range(self.config.model.members)
        return rows | {
            f"members.{number}.{name}": names for number in members for name, names in rows.items()
        }

    def facts(self) -> dict[str, Any]:
        known: dict[str, Any] = {"labels": list(self.labels.names)}
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

    def _reader(self, needs_label: bool, allow_outside: bool) -> ExampleReader:
        data = self.config.data
        return ExampleReader(
            self.kind,
            data.text_column,
            data.label_column,
            columns=data.columns,
            form=TableFormat(data.header, data.encoding),
            fill=data.fill,
            bands=data.mel_bands,
            window=data.frame_seconds,
            hop=data.frame_hop,
            space=self.space,
            needs_label=needs_label,
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

    def _logits(
        self, arrays: Sequence[NDArray[Any]], progress: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        return all_logits(self.network, arrays, progress)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        return (TOKENIZER if self.encoder is not None else FEATURES,), {"labels": list(self.labels.names)}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        sizes = {("sequence", "logits"): len(self.labels)}
        if self.encoder is not None:
            return {**sizes, ("sequence", "tokens"): self.encoder.unknown + 1}
        assert self.space is not None
        return {**sizes, ("sequence", "features"): len(self.space.names)}

    def predictor(self, network: Functions) -> SequenceLabeller:
        return Labeller(network, self.config.model.pooling)

    def _write_confusion(
        self, picture: Path, truth: NDArray[np.int64], predicted: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Path]:
        """The confusion matrix, and the file that shows it."""
        from throughtime.metrics.classification import confusion_matrix, write_confusion

        confusion = confusion_matrix(truth, predicted, len(self.labels))
        return confusion, write_confusion(picture, confusion, self.labels.names)
