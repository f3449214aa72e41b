"""The run of a classifier: it says the label, the labels or a number of texts, vectors, sequences, sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.config.small_data import LEAST_STEPS, LEAST_STEPS_OF_CONVOLUTIONS
from throughtime.data.arrays import fill_gaps
from throughtime.data.conditions import Conditions
from throughtime.data.events import events_as_text
from throughtime.data.features import FeatureSpace
from throughtime.data.joined import JoinedTable, file_of_line, stem_of
from throughtime.data.lines import STANDARD_INPUT, shown, standard_input
from throughtime.data.numbers import as_float32
from throughtime.data.tables import BadRows
from throughtime.data.text_encoder import TextEncoder
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import DataError, OptionError, RunError
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.recognition import recognise
from throughtime.run.layout import CONFIG
from throughtime.run.row_prediction import RowPredictor
from throughtime.run.run import Run, refuse_text
from throughtime.targets.kinds import Target, load_target, threshold_all
from throughtime.tasks.classifier.examples import (
    Example,
    ExampleReader,
    InputKind,
    table_of,
)
from throughtime.tasks.classifier.given import SECOND, Encoded, Given
from throughtime.tasks.classifier.inputs import read_any, read_inputs
from throughtime.tasks.classifier.options import ClassifierConfig
from throughtime.tasks.classifier.prediction import Labeller, SequenceLabeller, all_outputs
from throughtime.tasks.classifier.preparation import DATA, FEATURES, STATIC, TOKENIZER, Preparation
from throughtime.tasks.classifier.prepared import NO_CONDITIONS, TARGETS, PreparedExamples, read_vectors
from throughtime.tasks.classifier.reading import STATIC_COLUMN, as_steps, example_reader, text_encoder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.classifier.model import Classifier, Ensemble
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

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
        conditions: what stands beside an example.
    """

    task = "classifier"
    config: ClassifierConfig
    target: Target
    encoder: TextEncoder | None = None
    space: FeatureSpace | None = None
    conditions: Conditions = NO_CONDITIONS

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        if data.input == "auto":
            given = data.model_dump(exclude_unset=True)
            found = recognise(data.source, {**given, "task": self.task}).options
            self.config = self.config.changed(found)
        preparation = Preparation(self.folder, self.config, show)
        preparation.prepare()
        self.config = preparation.config
        self.load()
        prepared = self._prepared()
        looks = self.config.model.convolutions
        least = LEAST_STEPS_OF_CONVOLUTIONS if looks else LEAST_STEPS
        self.fit_to_data(len(prepared.training), show, least_steps=least)
        if preparation.left_out.count:
            show.remark(preparation.left_out.summary())
        data = self.config.data
        if data.validation_fraction and not data.folds and not len(prepared.validation):
            show.remark("too few examples to hold any out for validation: the last weights are kept")

    def load(self) -> None:
        self.target = load_target(self.config.data.target, self.folder)
        if self.config.data.input == "text":
            self.encoder = text_encoder(self.config.data, Tokenizer.load(self.folder / TOKENIZER))
        else:
            self.space = FeatureSpace.load(self.folder / FEATURES)
        if self.config.data.static_columns is not None:
            self.conditions = Conditions.load(self.folder / STATIC, STATIC_COLUMN)

    def _prepared(self) -> PreparedExamples:
        return PreparedExamples.open(self.folder / DATA, self._pairs, self.conditions)

    @property
    def _pairs(self) -> bool:
        return self.config.data.second_text is not None

    def build_model(self) -> Classifier | Ensemble:
        from throughtime.tasks.classifier.model import Classifier, Ensemble

        model = self.config.model
        beside: dict[str, Any] = {
            "pairs": self._pairs,
            "categories": tuple(len(one.values) for one in self.conditions.categories),
            "numbers": tuple((one.mean, one.deviation) for one in self.conditions.numbers),
        }
        if self.encoder is not None:
            read: dict[str, Any] = {"vocabulary_size": self.encoder.unknown}
        else:
            assert self.space is not None
            # The features of a segment are those of each of its steps, one behind the other.
            features = len(self.space.names)
            steps = self._width // features
            if model.convolutions:
                beside["window"] = features
            read = {"statistics": (self.space.mean * steps, self.space.deviation * steps)}
        made = [Classifier(model, self.target, **read, **beside) for _ in range(model.members)]
        return made[0] if model.members == 1 else Ensemble(made)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.classifier.training import Classification

        prepared = self._prepared()
        self.target.check(prepared.targets, TARGETS)
        if self.encoder is not None:
            for tokens in (prepared.examples, prepared.second):
                if tokens is not None:
                    tokens.expect_numbers(0, self.encoder.unknown + 1)
        else:
            prepared.examples.expect_steps((self._width,), np.float32)
        what = _WHAT[self.kind]
        return Classification(model, prepared, self.target, self.config.training, what)  # type: ignore[arg-type]

    def begin(self, model: nn.Module) -> None:
        if self.encoder is None:
            return
        from throughtime.models.word_vectors import begin_with_vectors

        vectors = read_vectors(self.folder / DATA, (self.encoder.unknown, self.config.model.embedding))
        for member in model.members:  # type: ignore[union-attr]
            begin_with_vectors(member.embedding, vectors)

    def conclude(self) -> None:
        """Calibrate by the validation examples, and draw what the best weights make of them."""
        prepared = self._prepared()
        if len(prepared.validation):
            outputs = all_outputs(self.network, prepared.given.part(prepared.validation))
            truth = np.asarray(prepared.targets[prepared.validation])
            self.target.calibrate(self.folder, truth, outputs)
            self.target.draw(self.folder / f"{self.target.picture}.png", truth, outputs)

    # ---- predicting

    def classify(
        self, inputs: Iterable[Any], beside: Sequence[Mapping[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        """Say what texts, or arrays (T, F) of numbers, are that are at hand.

        Args:
            inputs: texts, pairs of texts where the run reads two, lists of events, or arrays.
            beside: of each the values of its static columns, where the run reads any.
        Returns:
            For each its label, the label's probability, and those of all labels; or its labels and the
            probabilities of all; or its value, low and high.
        Raises:
            DataError: a text is empty, a number is not finite, or the model's output is not; a static column
                is missing.
        """
        refuse_text(inputs, "classify")
        given = list(inputs)
        if beside is not None and len(beside) != len(given):
            raise OptionError(f"{len(given)} inputs, and what stands beside {len(beside)}")
        rows = self.outputs(
            [self.encode(one, None if beside is None else beside[place]) for place, one in enumerate(given)]
        )
        return [
            self.say(self.target.checked(row, f"input {number}"), self.target.kind != "number")
            for number, row in enumerate(rows)
        ]

    def say(self, outputs: NDArray[np.float32], probabilities: bool) -> dict[str, Any]:
        """What one row of outputs (W,) means; with the probabilities of all labels where they are wanted."""
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
                for _, prediction in self._label(block, name, bad, probabilities):
                    yield prediction
        self.left_out = bad.summary()

    def row_predictor(  # type: ignore[override]
        self, probabilities: bool = False, threshold: float | None = None
    ) -> RowPredictor:
        """As of `Run`; the options are those of `predict`.

        Raises:
            OptionError: an option, or what the model reads, is not for rows of tables.
        """
        from throughtime.tasks.classifier.rows import LabelledRows

        threshold_all(self.target, threshold)
        if probabilities and self.target.kind == "number":
            raise OptionError("numbers have no probabilities: leave out --probabilities")
        return LabelledRows(self, probabilities)

    def label_examples(
        self, examples: Iterable[Example], name: str | Path, bad: BadRows, probabilities: bool
    ) -> Iterator[tuple[Example, dict[str, Any]]]:
        """What is found of each example, beside it; those that `bad` leaves out are missing.

        Args:
            examples: read by a reader of `reader`.
            name: where they come from, for errors.
            bad: what happens to examples that cannot be used.
            probabilities: give those of all labels.
        """
        return self._label(list(self._encoded(examples, name, bad)), name, bad, probabilities)

    def reader(self) -> ExampleReader:
        """What reads examples whose truth need not be known."""
        return self._reader(needs_truth=False, allow_outside=False)

    def _label(
        self,
        block: list[tuple[Example, Encoded | None]],
        name: str | Path,
        bad: BadRows,
        probabilities: bool,
    ) -> Iterator[tuple[Example, dict[str, Any]]]:
        """What is found of each example, beside it; values without content for a blank line."""
        arrays = [array for _, array in block if array is not None]
        outputs = iter(self.outputs(arrays)) if arrays else iter(())
        for example, array in block:
            if array is None:
                nothing = self.say(np.zeros(self.target.width, dtype=np.float32), probabilities)
                yield example, {"input": "", **{key: _empty(value) for key, value in nothing.items()}}
                continue
            try:
                row = self.target.checked(next(outputs), shown(example.name))
            except DataError as error:
                bad.report(name, example.line, str(error))
                continue
            said = self.say(row, probabilities)
            every = {"probabilities": said.pop("probabilities")} if probabilities else {}
            truth = {} if example.truth is None else {"truth": self.target.truth_of(example.truth)}
            yield example, {"input": example.name, **said, **truth, **every}

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
        arrays: list[Encoded] = []
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
            names.append(f"line {example.line} of {file_of_line(table, example.line)}")
        if not arrays:
            raise DataError(f"{table} has no usable examples ({bad.summary()})")
        outputs = self.outputs(arrays, progress)
        for each, name in zip(outputs, names, strict=True):
            self.target.checked(each, name)
        truth = np.concatenate(truths)
        scores = self.target.scores()
        scores.add(truth, self.target.decide(outputs))
        picture = self.picture_folder / f"{self.target.picture}-{stem_of(path)}.png"
        return {
            "examples": len(arrays),
            "left_out": bad.count,
            "loss": float(self.target.losses_of(outputs, truth).mean()),
            **scores.result(),
            **self.target.baseline(truth),
            self.target.picture.replace("-", "_"): str(self.target.draw(picture, truth, outputs)),
        }

    @property
    def pipeline_tag(self) -> str | None:
        kinds = {"text": "text-classification", "audio": "audio-classification"}
        vectors = "tabular-regression" if self.config.data.target == "number" else "tabular-classification"
        return {**kinds, "vectors": vectors}.get(self.config.data.input)

    def next_command(self) -> str:
        example, inputs = "", " INPUT"
        if self.config.data.input == "text" and not self.conditions:
            example = "printf 'a text\\ta second text\\n' | " if self._pairs else 'echo "a text" | '
            inputs = ""
        return f"Predict with it: {example}throughtime predict {self.folder}{inputs}"

    def row_names(self) -> dict[str, list[str]]:
        outputs = self.target.output_names
        rows = {"output.weight": outputs, "output.bias": outputs}
        if self.encoder is not None:
            rows["embedding.weight"] = [*self.encoder.tokenizer.token_texts(), _UNKNOWN]
        for place, one in enumerate(self.conditions.categories):
            rows[f"beside.embeddings.{place}.weight"] = one.values
        members = range(self.config.model.members)
        return rows | {
            f"members.{number}.{name}": names for number in members for name, names in rows.items()
        }

    def facts(self) -> dict[str, Any]:
        known = self.target.facts()
        if self.encoder is not None:
            known["vocabulary_size"] = self.encoder.unknown
        if self.space is not None:
            known |= {"features": len(self.space.names), **self._step}
        if self.conditions:
            known["beside"] = {one.name: one.values or "a number" for one in self.conditions.fields}
        return known

    # ---- what both need

    @property
    def kind(self) -> InputKind:
        """What the examples are."""
        if self.config.data.input == "auto":
            raise RunError(f"{self.folder / CONFIG} is damaged: data.input is auto, which training settles")
        return self.config.data.input

    @property
    def _step(self) -> dict[str, int]:
        """Which of a sequence's steps the network reads as one, in others' words."""
        data = self.config.data
        segment = {} if self.encoder is not None else {"segment": data.segment or 1}
        return segment | ({"around": data.around} if data.around else {})

    @property
    def _width(self) -> int:
        """How many numbers the network reads at each step."""
        assert self.space is not None
        data = self.config.data
        return len(self.space.names) * ((data.segment or 1) + 2 * data.around)

    def _reader(self, needs_truth: bool, allow_outside: bool) -> ExampleReader:
        return example_reader(self.config.data, self.space, needs_truth, allow_outside)

    def encode(self, given: Any, beside: Mapping[str, Any] | None) -> Encoded:
        """A text, a pair of texts or an array (T, F) as the network reads it, with what stands beside it.

        Raises:
            DataError: it is empty or not finite, or something beside it is missing.
        """
        second = None
        if self._pairs:
            if isinstance(given, str) or len(given) != 2:
                raise DataError(
                    f"the model reads pairs: a text, and the {self.config.data.second_text} to it"
                )
            given, second = given
        if self.conditions and beside is None:
            names = ", ".join(self.conditions.names)
            raise DataError(f"the model also reads {names}: name a table that has them beside each example")
        values = self.conditions.encode(beside or {}) if self.conditions else None
        if self.encoder is None:
            array, fill = np.asarray(given), self.config.data.fill
            if fill != "none" and array.dtype.kind == "f":
                array = fill_gaps(array.astype(np.float64), fill, "the array")
            return Encoded(as_steps(as_float32(array, _place), self.config.data), None, values)
        if isinstance(given, (list, tuple)):
            given = events_as_text(given)
        return Encoded(
            self.encoder.encode(given), None if second is None else self.encoder.encode(second), values
        )

    def _encoded(
        self, examples: Iterable[Example], path: str | Path | JoinedTable, bad: BadRows
    ) -> Iterator[tuple[Example, Encoded | None]]:
        for example in examples:
            given = example.input if example.second is None else (example.input, example.second)
            try:
                yield example, None if example.input is None else self.encode(given, example.beside)
            except DataError as error:
                bad.report(path, example.line, str(error))

    def outputs(
        self, rows: Sequence[Encoded], progress: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """The network's outputs (N, W) of examples, as `say` reads them."""
        return all_outputs(self.network, Given.of(rows), progress)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        known = TOKENIZER if self.encoder is not None else FEATURES
        static = (STATIC,) if self.conditions else ()
        return (known, *self.target.files, *static), {**self.target.facts(), **self._step}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        sizes = {("sequence", self.target.port): self.target.width}
        for place, one in enumerate(self.conditions.categories):
            sizes["sequence", f"category_{place}"] = len(one.values)
        if self.conditions.numbers:
            sizes["sequence", "numbers"] = len(self.conditions.numbers)
        if self.encoder is None:
            return {**sizes, ("sequence", "features"): self._width}
        read = ("tokens", SECOND) if self._pairs else ("tokens",)
        return {**sizes, **{("sequence", name): self.encoder.unknown + 1 for name in read}}

    def predictor(self, network: Functions) -> SequenceLabeller:
        return Labeller(network, self.config.model.pooling, self.target.port)


def _place(*place: int) -> str:
    return f"number {list(place)}"


def _empty(value: Any) -> Any:
    """As much as a value, with nothing in it."""
    return dict.fromkeys(value) if isinstance(value, dict) else None
