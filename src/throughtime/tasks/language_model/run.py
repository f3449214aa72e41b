"""The run of a language model: it writes, and it measures how well it predicts a text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.config import RunConfig
from throughtime.config.small_data import LEAST_STEPS_OF_TEXT
from throughtime.data import TokenFile, Tokenizer, split, write_tokens
from throughtime.data.corpus import CorpusForm
from throughtime.data.corpus_tokens import Corpus
from throughtime.data.text import DecodingErrors
from throughtime.errors import DataError, RunError
from throughtime.generation import SamplingOptions
from throughtime.generation.text import Stepper, most_probable, random_seed, stream
from throughtime.in_memory import takes_data
from throughtime.notebooks import table
from throughtime.patterns import is_pattern
from throughtime.run.layout import WEIGHTS
from throughtime.run.run import Run
from throughtime.runtime.folder import NetworkOptions
from throughtime.runtime.outputs import check_output
from throughtime.tasks.language_model.options import LanguageModelConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.data import EvaluationStreams
    from throughtime.runtime import Engine
    from throughtime.tasks.language_model.model import LanguageModel
    from throughtime.tasks.language_model.session import Session
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

TOKENIZER = "tokenizer.json"
TRAINING_TOKENS = Path("tokens") / "text.bin"
VALIDATION_TOKENS = Path("tokens") / "validation.bin"


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Args:
        nats_per_token: the mean loss.
        predictions: tokens predicted: all but the first.
        characters: Unicode code points of the text.
        tokens_per_second: speed of the evaluation.
    """

    nats_per_token: float
    predictions: int
    characters: int
    tokens_per_second: float

    @property
    def perplexity(self) -> float:
        """exp of the mean loss a token."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def bits_per_character(self) -> float:
        """All bits over all characters, which compares tokenisers; bpc for a character model."""
        return self.nats_per_token * self.predictions / max(self.characters - 1, 1) / math.log(2)

    def _repr_html_(self) -> str:
        more = {"perplexity": self.perplexity, "bits_per_character": self.bits_per_character}
        return table({**asdict(self), **more}.items())


class LanguageModelRun(Run):
    """A trained language model in its folder.

    Example:
        run = LanguageModelRun.open("runs/shakespeare")
        print(run.sample("ROMEO:", length=300, temperature=0.8))

    Attributes:
        tokenizer: the vocabulary.
    """

    task = "language-model"
    config: LanguageModelConfig
    tokenizer: Tokenizer

    @classmethod
    def kind_for(cls, config: RunConfig) -> type[Run]:
        if not config.data.lines:  # type: ignore[attr-defined]
            return cls
        from throughtime.tasks.language_model.line_run import LineModelRun

        return LineModelRun

    def prepare(self, show: Progress) -> None:
        data = self.config.data

        def progress(what: str, path: str) -> Callable[[int], None]:
            total = Path(path).stat().st_size if Path(path).is_file() else 0
            return lambda done: show.preparing(what, done, total)

        # What was made of a corpus before a kill is kept, and the vocabulary is the first of it.
        begun = is_pattern(data.source) and (self.folder / TOKENIZER).exists()
        if begun:
            self.tokenizer = Tokenizer.load(self.folder / TOKENIZER)
        elif is_pattern(data.source):
            corpus = self._corpus(data.source, TRAINING_TOKENS, show)
            self.tokenizer = corpus.vocabulary(data.tokenizer, data.vocabulary)
        else:
            self.tokenizer = Tokenizer.train(
                data.tokenizer,
                data.source,
                data.vocabulary,
                data.errors,
                progress("building the vocabulary", data.source),
                data.encoding,
            )
        if not begun:
            self.tokenizer.save(self.folder / TOKENIZER)
        for path, target in ((data.source, TRAINING_TOKENS), (data.validation, VALIDATION_TOKENS)):
            if is_pattern(path) and (self.folder / target).exists():
                continue  # made before a kill: whatever has become of the files, the run has their text
            elif is_pattern(path):
                corpus = self._corpus(str(path), target, show)
                corpus.tokens(self.folder / TOKENIZER, self.tokenizer.vocabulary_size)
                if corpus.left_out:
                    show.remark(f"{path}: {corpus.left_out:,} rows without a text are left out")
            elif path is not None:
                what = f"tokenising {Path(path).name}"
                blocks = self.tokenizer.encode_file(path, data.errors, progress(what, path), data.encoding)
                write_tokens(self.folder / target, blocks, self.tokenizer.vocabulary_size)
        training, _ = self._open_tokens()
        if chunk := self.config.training.first_chunk:
            self.fit_to_data(-(-len(training) // chunk), show, "chunks", LEAST_STEPS_OF_TEXT)

    def _corpus(self, pattern: str, target: Path, show: Progress) -> Corpus:
        data = self.config.data
        form = CorpusForm(data.text_column, data.encoding, data.errors, data.skip_bad)
        return Corpus(pattern, form, self.folder / target, show.preparing)

    def load(self) -> None:
        self.tokenizer = Tokenizer.load(self.folder / TOKENIZER)

    def build_model(self) -> LanguageModel:
        from throughtime.tasks.language_model.model import LanguageModel

        return LanguageModel(self.config.model, self.tokenizer.vocabulary_size)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.language_model.training import LanguageModelling

        training, validation = self._open_tokens()
        kind, tokenizer = self.tokenizer.kind, self.tokenizer
        return LanguageModelling(model, training, validation, self.config.training, kind, tokenizer)  # type: ignore[arg-type]

    def check_data(self, show: Progress) -> None:
        self._open_tokens(lambda done, total: show.preparing("checking the tokens", done, total))

    @property
    def pipeline_tag(self) -> str:
        return "text-generation"

    def next_command(self) -> str:
        return f"Let it write: throughtime sample {self.folder}"

    def facts(self) -> dict[str, Any]:
        return {"vocabulary_size": self.tokenizer.vocabulary_size}

    def row_names(self) -> dict[str, list[str]]:
        tokens = self.tokenizer.token_texts()
        return {"embedding.weight": tokens, "output.weight": tokens, "output.bias": tokens}

    def parameters_tied(self) -> tuple[str, ...]:
        return ("output.weight",) if self.config.model.tie_weights else ()

    def _open_tokens(
        self, check: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The tokens to train on and to validate on.

        Args:
            check: hold the files to their checksums, and call this with bytes done and to do while it takes
                long.
        """
        data = self.config.data
        paths = [TRAINING_TOKENS] if data.validation is None else [TRAINING_TOKENS, VALIDATION_TOKENS]
        files = [TokenFile.open(self.folder / path) for path in paths]
        if check is not None:
            for file in files:
                file.verify(check)
        for file in files:
            if file.vocabulary_size != self.tokenizer.vocabulary_size:
                raise RunError(f"{self.folder}: the token files do not belong to tokenizer.json")
        if len(files) == 2:
            training, validation = files[0].tokens, files[1].tokens
        else:
            training, validation = split(files[0].tokens, data.validation_fraction)
        self._check_length(len(training))
        return training, validation if len(validation) >= 2 else None

    def _check_length(self, tokens: int) -> None:
        batch, chunk = self.config.training.batch, max(self.config.training.first_chunk, 1)
        needed = batch * chunk + 1
        if tokens < needed:
            fitting = max((tokens - 1) // chunk, 0)
            advice = f"--batch {fitting}" if fitting >= 1 else f"a smaller --chunk than {chunk} and --batch 1"
            raise DataError(
                f"{self.config.data.source}: {tokens:,} training tokens are fewer than one chunk of {chunk} "
                f"steps in {batch} streams ({needed:,}): use a longer text, or {advice}"
            )

    @cached_property
    def network(self) -> Stepper:
        """The model as generation wants it; natively it is the engine, which has slots for its states."""
        if self.backend == "torch":
            model = self.model
            from throughtime.tasks.language_model.model import TorchStepper

            return TorchStepper(model)
        from throughtime.runtime.stepper import EngineStepper

        return EngineStepper(self.engine)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        (recurrence,) = self.program.recurrences.values()
        if not recurrence.learned_state:
            return (TOKENIZER,), {}
        weights = self.read_weights()
        names = [port.name for port in self.program.functions["sequence"].inputs if port.name != "tokens"]
        begin = {name: weights[recurrence.initial(part)].tolist() for part, name in enumerate(names)}
        return (TOKENIZER,), {"initial_state": begin}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        V = self.tokenizer.vocabulary_size
        return {("sequence", "tokens"): V, ("sequence", "logits"): V}

    @cached_property
    def engine(self) -> Engine:
        """The model as `throughtime.runtime` has it, whatever the backend.

        Raises:
            RunError: the weights are damaged or do not fit config.toml.
        """
        from throughtime.runtime import Engine

        model = self.config.model
        names = (name for name in NetworkOptions.__dataclass_fields__ if name != "task")
        options = NetworkOptions(self.task, **{name: getattr(model, name) for name in names})
        engine = Engine(options, self.read_weights(), self.precision, self.threads)
        if engine.vocabulary_size != self.tokenizer.vocabulary_size:
            raise RunError(
                f"{self.folder / WEIGHTS} does not fit {TOKENIZER}: it knows {engine.vocabulary_size:,} "
                f"tokens, and the tokenizer {self.tokenizer.vocabulary_size:,}"
            )
        return engine

    def sample(self, prompt: str = "", length: int = 500, **options: Any) -> str:
        """Write a text that begins with the prompt.

        Args:
            prompt: what to begin with.
            length: tokens to draw, at most.
            **options: temperature, top_k, top_p, min_p, repetition_penalty, seed, stop; see `stream`.
        """
        return self.samples(1, prompt, length, **options)[0]

    def samples(self, count: int, prompt: str = "", length: int = 500, **options: Any) -> list[str]:
        """Write several texts that begin with the prompt, in one batch; options as for `sample`."""
        texts: dict[int, str] = {}
        for row, text in self.stream(prompt, length, samples=count, **options):
            texts[row] = texts.get(row, prompt) + text
        return [texts.get(row, prompt) for row in range(count)]

    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        samples: int = 1,
        seed: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[tuple[int, str]]:
        """Yield (sample, text) piece by piece, without the prompt.

        Args:
            prompt, length, samples, seed, stop: as in `throughtime.generation.text.stream`.
            **options: of `throughtime.generation.SamplingOptions`.
        """
        sampling = SamplingOptions(**options)
        return stream(self.network, self.tokenizer, prompt, length, sampling, seed, stop, samples)

    def session(self, seed: int | None = None, **options: Any) -> Session:
        """A text that can be read into, written, saved and gone on with; on the native backend.

        Args:
            seed: of the draws; None draws one.
            **options: of `throughtime.generation.SamplingOptions`.
        """
        from throughtime.tasks.language_model.session import Session

        drawn = random_seed() if seed is None else seed
        return Session(self.engine, self.tokenizer, SamplingOptions(**options), drawn)

    def restore_session(self, snapshot: bytes) -> Session:
        """Go on where `Session.snapshot` was taken, here or in another process.

        Raises:
            CheckpointError: the snapshot is damaged, or of another model, precision or version.
        """
        from throughtime.tasks.language_model.session import Session

        return Session.restore(self.engine, self.tokenizer, snapshot)

    def beam(
        self, prompt: str = "", length: int = 500, width: int = 4, stop: Sequence[str] = ()
    ) -> list[tuple[str, float]]:
        """The most probable continuations by beam search, best first, each with its log-probability."""
        return most_probable(self.network, self.tokenizer, prompt, length, width, stop)

    def held_out_tokens(self) -> NDArray[Any]:
        """The run's validation text as tokens; its training text where it has none.

        Raises:
            RunError: the folder holds no text, as after an import, or a damaged one.
        """
        if not self.holds_text:
            raise RunError(f"{self.folder} holds no text of its own: name a text file to measure on")
        training, validation = self._open_tokens(lambda done, total: None)
        return training if validation is None else validation

    @property
    def holds_text(self) -> bool:
        """Whether the text that the model was trained on is in the folder."""
        return (self.folder / TRAINING_TOKENS).exists()

    def held_out_text(self) -> str:
        """`held_out_tokens` as text."""
        return self.tokenizer.decode(self.held_out_tokens())

    def read_tokens(self, path: str | Path, errors: DecodingErrors = "strict") -> NDArray[np.int64]:
        """A text file as tokens, in memory.

        Raises:
            DataError: the text cannot be read, or holds unknown characters.
        """
        encoding = self.config.data.encoding
        return np.concatenate(list(self.tokenizer.encode_file(path, errors, encoding=encoding)))

    @takes_data
    def evaluate(  # pyright: ignore[reportIncompatibleMethodOverride] - a text has other options than a table
        self,
        path: str | Path,
        errors: DecodingErrors = "strict",
        streams: int = 1,
        progress: Callable[[float], None] | None = None,
    ) -> Evaluation:
        """Measure how well the model predicts a text, with the state carried from its beginning to its end.

        Args:
            path: the text file.
            errors: "strict" or "replace", for bytes that are not UTF-8.
            streams: cut the text into so many parts that are read in parallel: faster, but each part
                begins without what came before it.
            progress: called with the share that is done.
        Raises:
            DataError: the text cannot be read, is too short, or holds unknown characters.
        """
        import tempfile

        from throughtime.data import EvaluationStreams, read_blocks, read_byte_blocks

        mean_loss = self._mean_loss()

        # On disk, so that the text may be larger than memory.
        with tempfile.TemporaryDirectory() as folder:
            blocks = self.tokenizer.encode_file(path, errors, encoding=self.config.data.encoding)
            file: TokenFile = write_tokens(
                Path(folder) / "tokens.bin", blocks, self.tokenizer.vocabulary_size
            )
            evaluation = EvaluationStreams(file.tokens, streams)
            begin = time.perf_counter()
            loss = mean_loss(evaluation, progress)
            seconds = time.perf_counter() - begin
            predictions = evaluation.predictions
        if self.tokenizer.kind == "byte":
            characters = sum(
                int(np.count_nonzero((np.frombuffer(block, np.uint8) & 0xC0) != 0x80))
                for block in read_byte_blocks(path)
            )
        else:
            encoding = self.config.data.encoding
            characters = sum(len(block) for block in read_blocks(path, errors, encoding=encoding))
        check_output(np.array(loss), str(path))
        return Evaluation(loss, predictions, characters, predictions / max(seconds, 1e-9))

    def _mean_loss(self) -> Callable[[EvaluationStreams, Callable[[float], None] | None], float]:
        """What measures the mean loss in nats a token; the model is loaded."""
        if self.backend == "torch":
            model = self.model
            from throughtime.tasks.language_model.training import evaluate

            return lambda streams, progress: evaluate(model, streams, progress)
        engine = self.engine
        from throughtime.runtime.stepper import mean_loss

        return lambda streams, progress: mean_loss(engine, streams, progress)
