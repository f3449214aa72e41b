"""The run folder of a translator."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data import Tokenizer
from throughtime.data.joined import file_of_line
from throughtime.data.limits import SOURCE
from throughtime.data.lines import STANDARD_INPUT, standard_input_blocks
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.data.tables import BadRows, TableFormat, is_table, read_rows
from throughtime.errors import DataError, RunError
from throughtime.generation.beam import MAX_PENALTY, check_range
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.run.row_prediction import RowPredictor
from throughtime.run.run import Run, refuse_text
from throughtime.runtime.outputs import check_output
from throughtime.tasks.translator.options import TranslatorConfig
from throughtime.tasks.translator.parallel import Pair, read_pairs, read_texts
from throughtime.tasks.translator.prediction import TokenPairs, Translator, evaluate
from throughtime.tasks.translator.translation import BATCH, TextTranslator, Translated

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.translator.model import Translator as TorchTranslator
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

SOURCE_TOKENIZER = "source_tokenizer.json"
TARGET_TOKENIZER = "target_tokenizer.json"
SHARED_TOKENIZER = "tokenizer.json"
# The rows of an embedding behind its tokens, in the order of their numbers; no token has such a name.
ENDS = ("\0end", "\0start")

BEAM = 5
LENGTH_PENALTY = 1.0
# Lines of a file that are read before the first is answered: sorted by length they fill the batches better.
READ_AHEAD = 20 * BATCH


class TranslatorRun(Run):
    """A translator in its folder.

    Example:
        run = TranslatorRun.open("runs/german")
        print(run.translate(["Two dogs play in the snow."])[0].text)

    Attributes:
        source_tokenizer, target_tokenizer: the vocabularies; one and the same with a shared vocabulary.
    """

    task = "translator"
    config: TranslatorConfig
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        columns = (data.source_column, data.target_column)
        bad = BadRows(data.skip_bad)
        pairs = list(self._read(data.source, data.target, bad, columns, show))
        validation: list[Pair] = []
        if data.validation is not None:
            validation = list(self._read(data.validation, data.validation_target, bad, columns, show))
        self._build_vocabularies(pairs)
        training = self._encode(pairs, data.source, bad)
        if data.validation is not None:
            validated = self._encode(validation, data.validation, bad)
        else:
            order = np.random.Generator(np.random.PCG64(self.config.training.seed)).permutation(len(pairs))
            held_out = set(order[: round(len(pairs) * data.validation_fraction)].tolist())
            validated = [pair for index, pair in enumerate(training) if index in held_out]
            training = [pair for index, pair in enumerate(training) if index not in held_out]
        if summary := bad.summary():
            show.remark(summary)
        fitting = [pair for pair in training if max(map(len, pair)) <= data.max_length]
        if len(fitting) < len(training):
            show.remark(
                f"left out {len(training) - len(fitting):,} of {len(training):,} training pairs with more "
                f"than {data.max_length} tokens on a side (--max-length)"
            )
        if not fitting:
            raise DataError(
                f"{data.source}: no pair is left to train on: raise --max-length {data.max_length}, or lower "
                f"--validation-fraction"
            )
        self.fit_to_data(len(fitting), show, "pairs")
        self._write("training", fitting)
        if validated:
            self._write("validation", validated)

    def load(self) -> None:
        if self.config.data.shared_vocabulary:
            self.source_tokenizer = self.target_tokenizer = Tokenizer.load(self.folder / SHARED_TOKENIZER)
        else:
            self.source_tokenizer = Tokenizer.load(self.folder / SOURCE_TOKENIZER)
            self.target_tokenizer = Tokenizer.load(self.folder / TARGET_TOKENIZER)

    def build_model(self) -> TorchTranslator:
        from throughtime.tasks.translator.model import Translator as TorchTranslator

        return TorchTranslator(
            self.config.model,
            self.source_tokenizer.vocabulary_size,
            self.target_tokenizer.vocabulary_size,
            self.config.data.shared_vocabulary,
        )

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        source, target = self.source_tokenizer.vocabulary_size, self.target_tokenizer.vocabulary_size
        shared = self.config.data.shared_vocabulary
        files = (SHARED_TOKENIZER,) if shared else (SOURCE_TOKENIZER, TARGET_TOKENIZER)
        return files, {"source_end": source, "end": target, "start": target + 1}

    def row_names(self) -> dict[str, list[str]]:
        source = [*self.source_tokenizer.token_texts(), *ENDS]
        target = [*self.target_tokenizer.token_texts(), *ENDS]
        written = target[:-1]
        return {
            "source_embedding.weight": source,
            "target_embedding.weight": target,
            "output.weight": written,
            "output.bias": written,
            "output_bias": written,
        }

    def port_sizes(self) -> dict[tuple[str, str], int]:
        source, target = self.source_tokenizer.vocabulary_size, self.target_tokenizer.vocabulary_size
        return {
            ("encoder", "source"): source + 2,
            ("step", "token"): target + 2,
            ("step", "logits"): target + 1,
        }

    def predictor(self, network: Functions) -> Translator:
        source, target = self.source_tokenizer.vocabulary_size, self.target_tokenizer.vocabulary_size
        return Translator(network, source, target, target + 1)

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.translator.training import Translation

        has_validation = (self.folder / "data" / "validation.source.npy").exists()
        validation = self._open("validation") if has_validation else None
        return Translation(model, self._open("training"), validation, self.config.training)  # type: ignore[arg-type]

    def facts(self) -> dict[str, Any]:
        return {
            "source_vocabulary": self.source_tokenizer.vocabulary_size,
            "target_vocabulary": self.target_tokenizer.vocabulary_size,
        }

    def parameters_tied(self) -> tuple[str, ...]:
        return ("target_embedding.weight",) if self.config.data.shared_vocabulary else ()

    @property
    def pipeline_tag(self) -> str:
        return "translation"

    def next_command(self) -> str:
        return f"Use it: throughtime translate {self.folder}"

    def translate(
        self,
        texts: Sequence[str],
        beam: int = BEAM,
        length_penalty: float = LENGTH_PENALTY,
        coverage_penalty: float = 0.0,
        with_attention: bool = False,
    ) -> list[Translated]:
        """Translate texts, as many at once as fit.

        Args:
            texts: one line each.
            beam: beginnings that the search keeps; 1 is greedy.
            length_penalty, coverage_penalty: alpha and beta of Wu et al. 2016, equation 14.
            with_attention: also tell where each word came from.
        Raises:
            DataError: a text is empty, or holds a character that the model does not know.
        """
        refuse_text(texts, "translate")
        translator = self.translator(beam, length_penalty, coverage_penalty)
        tokens = [translator.encode(text, "the text", line) for line, text in enumerate(texts, 1)]
        return translator.translate(texts, tokens, with_attention)

    def translator(
        self, beam: int = BEAM, length_penalty: float = LENGTH_PENALTY, coverage_penalty: float = 0.0
    ) -> TextTranslator:
        """The model ready to translate; arguments as for `translate`.

        Raises:
            OptionError: a penalty is out of range.
        """
        check_range("coverage_penalty", coverage_penalty, MAX_PENALTY)
        check_range("length_penalty", length_penalty, MAX_PENALTY)
        return TextTranslator(
            self.network.searcher(coverage_penalty),
            self.source_tokenizer,
            self.target_tokenizer,
            self._clean,
            beam,
            length_penalty,
        )

    @takes_frames
    def predict(self, inputs: Sequence[str | Path], skip_bad: bool = False) -> Iterator[dict[str, Any]]:
        refuse_text(inputs, "predict")
        translator = self.translator()
        bad = BadRows(skip_bad)
        for path in inputs:
            for result in self.translate_lines(path, translator, bad):
                yield {"source": result.source, "translation": result.text, "score": result.score}
        self.left_out = bad.summary()

    def row_predictor(self) -> RowPredictor:  # type: ignore[override]
        """As of `Run`; there are no options."""
        from throughtime.tasks.translator.rows import TranslatedRows

        return TranslatedRows(self)

    def translate_lines(
        self, path: str | Path, translator: TextTranslator, bad: BadRows, with_attention: bool = False
    ) -> Iterator[Translated]:
        """Translate what stands in a file, line by line or row by row.

        Args:
            path: a text file, a table with the source's column, or "-": standard input, whose lines are
                answered as they come.
            translator: of `translator`.
            bad: what happens to lines that cannot be translated.
            with_attention: also tell where each word came from.
        """
        if str(path) == "-":
            return translator.stream(standard_input_blocks(), STANDARD_INPUT, bad, with_attention)
        texts = self._sources_of(path, bad)
        blocks = iter(lambda: list(itertools.islice(texts, READ_AHEAD)), [])
        return translator.stream(blocks, str(path), bad, with_attention)

    @takes_data
    def evaluate(
        self,
        path: str | Path,
        skip_bad: bool = False,
        progress: Callable[[float], None] | None = None,
        target: str | Path | None = None,
        beam: int = BEAM,
        length_penalty: float = LENGTH_PENALTY,
        coverage_penalty: float = 0.0,
    ) -> dict[str, Any]:
        """Translate a test set and score it.

        Args:
            path, target: a table, or two text files, as for training.
            skip_bad: leave out pairs that cannot be used.
            progress: called with the share that is done.
            beam, length_penalty, coverage_penalty: as for `translate`.
        Returns:
            bleu, chrf, exact_match and their signatures; loss in nats a token and token_accuracy, both of the
            references; pairs and seconds.
        Raises:
            DataError: the test set cannot be used.
            MissingExtraError: sacrebleu is not installed.
        """
        from throughtime.tasks.translator.metrics import require_sacrebleu, translation_scores

        require_sacrebleu()
        data = self.config.data
        bad = BadRows(skip_bad)
        columns = (data.source_column, data.target_column)
        translator = self.translator(beam, length_penalty, coverage_penalty)
        pairs, arrays = [], []
        for pair in read_pairs(path, target, bad, columns, self._form):
            if (tokens := self._tokens(pair, path, bad, is_bounded=True)) is not None:
                arrays.append(tokens)
                pairs.append(pair)
        if not pairs:
            raise DataError(f"{path} has no usable pairs ({bad.summary()})")
        begin = time.perf_counter()
        texts, sources = [pair.source for pair in pairs], [source for source, _ in arrays]

        def mostly(share: float) -> None:
            if progress is not None:
                progress(0.9 * share)

        found = translator.translate(texts, sources, progress=mostly)
        seconds = time.perf_counter() - begin
        scores = translation_scores(
            [result.text for result in found], [pair.target for pair in pairs], data.lowercase
        )
        tokens = TokenPairs(
            Sequences.in_memory([source for source, _ in arrays]),
            Sequences.in_memory([target for _, target in arrays]),
        )
        reference = evaluate(self.network, tokens, BATCH)
        check_output(np.array(reference["val_loss"]), f"the targets of {path}")
        if progress is not None:
            progress(1.0)
        return {
            **scores,
            "loss": reference["val_loss"],
            "token_accuracy": reference["val_token_accuracy"],
            "pairs": len(pairs),
            "left_out": bad.count,
            "seconds": round(seconds, 2),
        }

    @property
    def _form(self) -> TableFormat:
        return TableFormat.of(self.config.data)

    def _clean(self, text: str) -> str:
        text = text.strip()
        return text.lower() if self.config.data.lowercase else text

    def _read(
        self,
        source: str,
        target: str | None,
        bad: BadRows,
        columns: tuple[str, str],
        show: Progress,
    ) -> Iterator[Pair]:
        """The pairs of a file, cleaned."""
        what = f"reading {Path(source).name}"
        for count, pair in enumerate(read_pairs(source, target, bad, columns, self._form), 1):
            if count % 1000 == 0:
                show.preparing(what, count, 0)
            yield Pair(self._clean(pair.source), self._clean(pair.target), pair.line)

    def _build_vocabularies(self, pairs: list[Pair]) -> None:
        data = self.config.data
        sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
        if data.shared_vocabulary:
            self.source_tokenizer = self.target_tokenizer = Tokenizer.train_on_texts(
                data.tokenizer, itertools.chain(sources, targets), data.vocabulary
            )
            self.source_tokenizer.save(self.folder / SHARED_TOKENIZER)
        else:
            self.source_tokenizer = Tokenizer.train_on_texts(data.tokenizer, sources, data.vocabulary)
            self.target_tokenizer = Tokenizer.train_on_texts(data.tokenizer, targets, data.vocabulary)
            self.source_tokenizer.save(self.folder / SOURCE_TOKENIZER)
            self.target_tokenizer.save(self.folder / TARGET_TOKENIZER)

    def _encode(
        self, pairs: Iterable[Pair], path: str, bad: BadRows
    ) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        encoded = (self._tokens(pair, path, bad) for pair in pairs)
        return [tokens for tokens in encoded if tokens is not None]

    def _tokens(
        self, pair: Pair, path: str | Path, bad: BadRows, is_bounded: bool = False
    ) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """The tokens of both sides; None where `bad` skips and they hold an unknown character.

        `is_bounded` also refuses what is too long to be translated; a training leaves it out by itself.
        """
        path = file_of_line(path, pair.line)
        try:
            source = self.source_tokenizer.encode(self._clean(pair.source), str(path), pair.line)
            target = self.target_tokenizer.encode(self._clean(pair.target), str(path), pair.line)
            for tokens in (source, target) if is_bounded else ():
                SOURCE.check(len(tokens), f"{path}, line {pair.line}, has")
            return source, target
        except DataError as error:
            if not bad.skip:
                raise
            bad.report(path, pair.line, str(error).removeprefix(f"{path}, line {pair.line}, "))
            return None

    def _write(self, name: str, pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        largest = max(self.source_tokenizer.vocabulary_size, self.target_tokenizer.vocabulary_size)
        dtype = np.uint16 if largest <= 1 << 16 else np.uint32
        for side, column in (("source", 0), ("target", 1)):
            path = self.folder / "data" / f"{name}.{side}.npy"
            write_sequences(path, (pair[column] for pair in pairs), dtype)

    def _open(self, name: str) -> TokenPairs:
        folder = self.folder / "data"
        sources, targets = (Sequences.open(folder / f"{name}.{side}.npy") for side in ("source", "target"))
        sources.expect_numbers(0, self.source_tokenizer.vocabulary_size)
        targets.expect_numbers(0, self.target_tokenizer.vocabulary_size)
        if len(sources) != len(targets):
            raise RunError(f"{folder} is damaged: the {name} pairs do not have as many sources as targets")
        return TokenPairs(sources, targets)

    def _sources_of(self, path: str | Path, bad: BadRows) -> Iterator[str]:
        """The texts to translate in a file: a table's source column, or the lines of a text."""
        if not is_table(path):
            yield from read_texts(path, self._form.encoding)
            return
        column = self.config.data.source_column
        for row in read_rows(path, bad, [column], self._form):
            yield str(row.values[column])
