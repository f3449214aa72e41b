"""The run of a language model of lines: it writes whole lines, and says how probable lines are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data import Tokenizer
from throughtime.data.conditions import Conditions, ConditionSurvey, as_arrays
from throughtime.data.splits import stratified_split
from throughtime.data.tables import BadRows, TableFormat, is_table
from throughtime.errors import DataError, OptionError, RunError, UnknownTokenError
from throughtime.generation import SamplingOptions
from throughtime.generation.text import random_seed
from throughtime.in_memory import takes_data
from throughtime.runtime.stepper import EngineState
from throughtime.tasks.language_model.line_scores import (
    EngineLines,
    LineEvaluation,
    LineScore,
    ParallelLines,
    encode_known,
    score_lines,
)
from throughtime.tasks.language_model.line_session import LineSession
from throughtime.tasks.language_model.line_writing import WrittenLine, end_token, likely_lines, write_lines
from throughtime.tasks.language_model.lines import LINE_END, Line, LineReader
from throughtime.tasks.language_model.prepared_lines import (
    KnownLines,
    LineFacts,
    PreparedLines,
    fingerprint,
)
from throughtime.tasks.language_model.run import TOKENIZER, LanguageModelRun

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.language_model.model import LanguageModel
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

CONDITIONS, FACTS, KNOWN = "conditions.json", "lines.json", "known_lines.npy"
DATA = "data"

Encoded = tuple[list[int], list[float]]


class LineModelRun(LanguageModelRun):
    """A trained language model of lines in its folder.

    Example:
        run = LineModelRun.open("runs/names")
        for line in run.write(20, conditions={"country": "Korean"}):
            print(line.text)
        scores = sorted(run.score("access.log"), key=lambda score: -score.surprise)

    Attributes:
        tokenizer: the vocabulary.
        conditions: the fields that steer what is written.
        line_facts: what is known of the training lines.
    """

    conditions: Conditions
    line_facts: LineFacts

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        bad = BadRows(data.skip_bad)
        reader = self._reader()
        survey = ConditionSurvey(reader.condition_columns)
        count = late = 0

        # Read twice, once for what all lines have in common, so that they need not fit into memory.
        def texts() -> Iterator[str]:
            nonlocal count, late
            yield LINE_END
            for path in (data.source, data.validation):
                if path is None:
                    continue
                for line in reader.read(path, bad):
                    try:
                        # What only lines to validate on say is unknown, and refused below.
                        if path == data.source:
                            survey.add(line.conditions)
                    except DataError as error:
                        bad.report(path, line.number, str(error))
                        continue
                    count, late = count + 1, late + (path != data.source)
                    if count % 1000 == 0:
                        show.preparing(f"reading {Path(path).name}", count, 0)
                    yield line.text
                if remark := reader.remark(path):
                    show.remark(remark)

        self.tokenizer = Tokenizer.train_on_texts(data.tokenizer, texts(), data.vocabulary)
        if count == 0 and data.tokenizer == "byte":
            for _ in texts():  # its vocabulary is known without a look at them
                pass
        if bad.count:
            show.remark(bad.summary())
        self.tokenizer.save(self.folder / TOKENIZER)
        self.conditions = survey.settle()
        self.conditions.save(self.folder / CONDITIONS)
        self._write(reader, self._held_out(count, late), show)

    def _held_out(self, count: int, late: int) -> NDArray[np.bool_]:
        """Which lines are for validation: those of the other file, or some that are drawn."""
        if self.config.data.validation is not None:
            return np.arange(count) >= count - late
        fraction, seed = self.config.data.validation_fraction, self.config.training.seed
        return stratified_split(np.zeros(count, np.int64), fraction, seed)

    def _write(self, reader: LineReader, held_out: NDArray[np.bool_], show: Progress) -> None:
        data = self.config.data
        end, limit = end_token(self.tokenizer), data.longest_line
        unknown = BadRows(data.skip_bad)
        conditions: list[Encoded] = []
        fingerprints: list[int] = []
        tokens = longest = cut = 0

        def arrays() -> Iterator[NDArray[np.int64]]:
            nonlocal tokens, longest, cut
            for path in (data.source, data.validation):
                if path is None:
                    continue
                for line in reader.read(path, BadRows(data.skip_bad)):
                    try:
                        encoded = self.conditions.encode(line.conditions)
                    except DataError as error:
                        # Bad lines to train on were counted when they were read for the first time.
                        if path != data.source or not data.skip_bad:
                            unknown.report(path, line.number, str(error))
                        continue
                    number = len(conditions)
                    if number >= len(held_out):
                        raise DataError(f"{path} has grown while it was read: train again")
                    conditions.append(encoded)
                    found = np.append(self.tokenizer.encode(line.text), end)
                    if (found[:-1] == end).any():
                        raise DataError(f"{path} line {line.number}: it holds the word that ends a line")
                    cut += len(found) > limit + 1
                    # A line that was cut has no end to learn.
                    found = found if len(found) <= limit + 1 else found[:limit]
                    if not held_out[number]:
                        fingerprints.append(fingerprint(line.text))
                        tokens, longest = tokens + len(found), max(longest, len(found))
                    yield found

        PreparedLines.write(self.folder / DATA, arrays(), held_out, conditions)
        if unknown.count:
            show.remark(unknown.summary())
        if cut:
            show.remark(
                f"{cut:,} line{'s are' if cut > 1 else ' is'} longer than {limit:,} tokens, of which no more "
                f"are learned from: raise --longest-line to learn from all of them"
            )
        KnownLines.of(fingerprints).save(self.folder / KNOWN)
        self.line_facts = LineFacts(len(fingerprints), tokens, longest)
        self.line_facts.save(self.folder / FACTS)
        if data.validation_fraction and not held_out.any():
            show.remark("too few lines to hold any out for validation: the last weights are kept")

    def _reader(self, fixed: Mapping[str, str] | None = None, errors: str | None = None) -> LineReader:
        data = self.config.data
        columns = data.condition_columns
        return LineReader(
            data.text_column,
            () if columns is None else tuple(columns.split(",")),
            TableFormat.of(data),
            "keep" if data.tokenizer == "byte" else errors or data.errors,
            dict(fixed or {}),
        )

    def load(self) -> None:
        super().load()
        try:
            end_token(self.tokenizer)
        except (IndexError, UnknownTokenError):
            raise RunError(
                f"{self.folder / TOKENIZER} is damaged: it has no token for a line's end"
            ) from None
        self.conditions = Conditions.load(self.folder / CONDITIONS)
        self.line_facts = LineFacts.load(self.folder / FACTS)

    def build_model(self) -> LanguageModel:
        from throughtime.tasks.language_model.model import LanguageModel

        categories = tuple(len(one.values) for one in self.conditions.categories)
        numbers = tuple((one.mean, one.deviation) for one in self.conditions.numbers)
        return LanguageModel(self.config.model, self.tokenizer.vocabulary_size, categories, numbers)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.language_model.line_training import LineModelling

        return LineModelling(model, self._prepared(), self.tokenizer, self.config.training)  # type: ignore[arg-type]

    def check_data(self, show: Progress) -> None:
        self._prepared()

    def _prepared(self) -> PreparedLines:
        return PreparedLines.open(self.folder / DATA, self.tokenizer.vocabulary_size, self.conditions)

    # ---- facts

    def next_command(self) -> str:
        steered = "".join(
            f" --condition {one.name}={one.values[0] if one.values else format(one.mean, '.3g')}"
            for one in self.conditions.fields
        )
        return f"Let it write: throughtime sample {self.folder} --samples 20{steered}"

    def facts(self) -> dict[str, Any]:
        found = {**super().facts(), "training_lines": self.line_facts.lines}
        if self.conditions:
            found["conditions"] = {one.name: one.values or "a number" for one in self.conditions.fields}
        return found

    def row_names(self) -> dict[str, list[str]]:
        names = {
            f"begin.embeddings.{place}.weight": one.values
            for place, one in enumerate(self.conditions.categories)
        }
        return {**super().row_names(), **names}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        sizes = super().port_sizes()
        for place, one in enumerate(self.conditions.categories):
            sizes["begin", f"category_{place}"] = len(one.values)
        if self.conditions.numbers:
            sizes["begin", "numbers"] = len(self.conditions.numbers)
        return sizes

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        files, facts = super().beside_graphs()
        end = end_token(self.tokenizer)
        more = (CONDITIONS,) if self.conditions else ()
        return (*files, *more), {**facts, "line_start": end, "line_end": end}

    # ---- conditions

    def encode_conditions(self, conditions: Mapping[str, Any] | None) -> Encoded:
        """What a user wants, as the network has it.

        Raises:
            OptionError: a condition is missing, unknown, or has a value that training did not see.
        """
        try:
            return self.conditions.encode(conditions or {})
        except DataError as error:
            raise OptionError(str(error)) from None

    def first_states(self, encoded: Sequence[Encoded]) -> Any:
        """The states that lines with such conditions begin with, as the backend has them, or None."""
        if not self.conditions:
            return None
        categories, numbers = as_arrays(encoded)
        if self.backend == "torch":
            import torch

            with torch.inference_mode():
                return self.model.first_state(torch.from_numpy(categories), torch.from_numpy(numbers))
        given: dict[str, NDArray[Any]] = {
            f"category_{place}": np.ascontiguousarray(column) for place, column in enumerate(categories.T)
        }
        if numbers.shape[1]:
            given["numbers"] = numbers
        found = self.functions("begin", given)
        # The engine has for each layer its hidden state, then the rest.
        layers = [part[layer] for layer in range(self.config.model.layers) for part in found.values()]
        return EngineState(np.ascontiguousarray(np.concatenate(layers, axis=1)))

    # ---- writing

    def write(
        self,
        count: int = 1,
        prompt: str = "",
        length: int = 1000,
        conditions: Mapping[str, Any] | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> list[WrittenLine]:
        """Write whole lines.

        Args:
            count: how many.
            prompt: what each begins with.
            length: tokens of a line, at most.
            conditions: a value for each field of the run.
            seed: the same seed draws the same lines; None draws a new one.
            stop: a line also ends before the first of these strings.
            **options: of `throughtime.generation.SamplingOptions`.
        Raises:
            OptionError: an option or a condition is not what it may be.
            UnknownTokenError: the prompt holds a character that the model does not know.
        """
        return list(self.write_each(count, prompt, length, conditions, seed, stop, **options))

    def write_each(
        self,
        count: int = 1,
        prompt: str = "",
        length: int = 1000,
        conditions: Mapping[str, Any] | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[WrittenLine]:
        """The lines of `write`, some at a time: a million need no more memory than a thousand."""
        state = self.first_states([self.encode_conditions(conditions)])
        drawn = random_seed() if seed is None else seed
        sampling = SamplingOptions(**options)
        return write_lines(self.network, self.tokenizer, count, length, sampling, drawn, prompt, state, stop)

    @cached_property
    def known_lines(self) -> KnownLines:
        """The training lines, to tell which are new.

        Raises:
            RunError: the file is missing or damaged.
        """
        return KnownLines.load(self.folder / KNOWN)

    def likely(
        self,
        prompt: str = "",
        length: int = 1000,
        width: int = 4,
        conditions: Mapping[str, Any] | None = None,
    ) -> list[WrittenLine]:
        """The most probable lines by beam search, best first."""
        state = self.first_states([self.encode_conditions(conditions)])
        return likely_lines(self.network, self.tokenizer, width, length, prompt, state)

    def samples(self, count: int, prompt: str = "", length: int = 1000, **options: Any) -> list[str]:
        """The texts of `write`."""
        return [line.text for line in self.write(count, prompt, length, **options)]

    def stream(  # pyright: ignore[reportIncompatibleMethodOverride] - a line has conditions, too
        self, prompt: str = "", length: int = 1000, samples: int = 1, **options: Any
    ) -> Iterator[tuple[int, str]]:
        """Yield (sample, text) line by line, without the prompt."""
        for row, line in enumerate(self.write_each(samples, prompt, length, **options)):
            yield row, line.text[len(prompt) :]

    def beam(
        self, prompt: str = "", length: int = 1000, width: int = 4, stop: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The rest of the most probable lines by beam search, each with its log-probability."""
        if stop:
            raise OptionError("a beam search for lines ends at a line's end: leave out --stop")
        found = self.likely(prompt, length, width)
        return [(line.text[len(prompt) :], line.log_probability or 0.0) for line in found]

    def session(
        self, seed: int | None = None, conditions: Mapping[str, Any] | None = None, **options: Any
    ) -> LineSession:
        """A line that can be read into, written, saved and gone on with; on the native backend.

        Args:
            seed: of the draws; None draws one.
            conditions: a value for each field of the run.
            **options: of `throughtime.generation.SamplingOptions`.
        """
        state = self._session_state(self.encode_conditions(conditions))
        drawn = random_seed() if seed is None else seed
        return LineSession(self.engine, self.tokenizer, SamplingOptions(**options), drawn, state)

    def restore_session(self, snapshot: bytes) -> LineSession:
        return LineSession.restore(self.engine, self.tokenizer, snapshot)

    def _session_state(self, encoded: Encoded) -> NDArray[np.float32] | None:
        if self.backend == "torch" and self.conditions:
            raise OptionError(
                "a session with conditions runs on the native backend: leave out backend='torch'"
            )
        state = self.first_states([encoded])
        return None if state is None else state.states[0]

    # ---- measuring

    def score(
        self,
        path: str | Path,
        conditions: Mapping[str, str] | None = None,
        errors: str | None = None,
        bad: BadRows | None = None,
    ) -> Iterator[LineScore]:
        """Score the lines of a file, in their order.

        Args:
            path: a text, or a table like the training's.
            conditions: of all lines of a text.
            errors: "strict" or "replace", for bytes that are not text; None is as the run was trained.
            bad: what happens to lines that cannot be used; None stops at the first.
        Raises:
            DataError: the file cannot be read, or a line cannot be used.
        """
        bad = bad or BadRows(False)
        if conditions and is_table(path):
            raise OptionError(f"{path} is a table, whose columns have the conditions: leave out --condition")
        if conditions:
            self.encode_conditions(conditions)
        self.reader = self._reader(conditions, errors)
        return score_lines(
            self._parallel, self.tokenizer, self._encoded(path, bad), self.first_states, self.unknown_nats
        )

    def score_texts(
        self, texts: Sequence[str], conditions: Sequence[Mapping[str, Any]] | None = None
    ) -> list[LineScore]:
        """Score lines that are at hand.

        Args:
            texts: each a line.
            conditions: of each.
        """
        given = conditions if conditions is not None else [{}] * len(texts)
        lines = (
            (Line(number, text), self.encode_conditions(one))
            for number, (text, one) in enumerate(zip(texts, given, strict=True), 1)
        )
        return list(score_lines(self._parallel, self.tokenizer, lines, self.first_states, self.unknown_nats))

    @property
    def unknown_nats(self) -> float:
        """What a character costs that training never saw: as if it had come once in one token more."""
        return math.log(self.line_facts.tokens + 1)

    def _encoded(self, path: str | Path, bad: BadRows) -> Iterator[tuple[Line, Encoded]]:
        for line in self.reader.read(path, bad):
            try:
                yield line, self.conditions.encode(line.conditions)
            except DataError as error:
                bad.report(path, line.number, str(error))

    @cached_property
    def _parallel(self) -> ParallelLines:
        if self.backend == "torch":
            model = self.model
            from throughtime.tasks.language_model.model import TorchLines

            return TorchLines(model)
        return EngineLines(self.engine)

    @takes_data
    def evaluate(  # type: ignore[override]
        self,
        path: str | Path,
        errors: str | None = None,
        streams: int = 1,
        progress: Callable[[float], None] | None = None,
        conditions: Mapping[str, str] | None = None,
        bad: BadRows | None = None,
    ) -> LineEvaluation:
        """Measure how well the model predicts lines.

        Args:
            path, conditions, errors, bad: as for `score`.
            streams: 1: lines are read in parallel anyway.
            progress: called with the share that is done: none is known before the end.
        """
        if streams != 1:
            raise OptionError(
                "--streams is for a text; lines are read in parallel by themselves: leave it out"
            )
        begin = time.perf_counter()
        nats = 0.0
        lines = tokens = characters = unknown = 0
        for score in self.score(path, conditions, errors, bad):
            nats, lines, tokens = nats + score.nats, lines + 1, tokens + score.tokens
            characters, unknown = characters + score.characters, unknown + score.unknown
        seconds = time.perf_counter() - begin
        return LineEvaluation(
            nats / tokens, nats / lines, lines, tokens, characters, unknown, lines / max(seconds, 1e-9)
        )

    # ---- as a text, for what looks into the network

    def held_out_tokens(self) -> NDArray[Any]:
        """The validation lines, else the training lines, one behind the other with their ends between."""
        if not self.holds_text:
            return super().held_out_tokens()  # which says so
        prepared = self._prepared()
        numbers = prepared.validation if len(prepared.validation) else prepared.training
        end = np.array([end_token(self.tokenizer)])
        lines = [np.asarray(prepared.lines[int(number)], np.int64) for number in numbers]
        return np.concatenate([end, *lines])

    @property
    def holds_text(self) -> bool:
        return (self.folder / DATA).is_dir()

    def read_tokens(self, path: str | Path, errors: str = "strict") -> NDArray[np.int64]:
        """The lines of a file one behind the other, with their ends between, without unknown characters."""
        end = end_token(self.tokenizer)
        reader = self._reader(errors=errors)
        reader.condition_columns = ()
        parts = [np.array([end])]
        for line in reader.read(path, BadRows(False)):
            parts += [encode_known(self.tokenizer, line.text)[0], parts[0]]
        return np.concatenate(parts)
