"""The run of a word tagger: it tags the words of sentences, and finds the entities that tags mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.joined import stem_of
from throughtime.data.labels import Labels
from throughtime.data.lines import STANDARD_INPUT, standard_input
from throughtime.data.sequences import write_sequences
from throughtime.data.splits import stratified_split
from throughtime.data.tables import BadRows, TableFormat
from throughtime.data.word_vectors import spellings
from throughtime.errors import DataError
from throughtime.in_memory import takes_data, takes_frames
from throughtime.program.network import Functions
from throughtime.run.row_prediction import RowPredictor
from throughtime.run.run import Run, refuse_text
from throughtime.run.word_vectors import take_vectors
from throughtime.tasks.word_tagger.conll import Sentence
from throughtime.tasks.word_tagger.entities import describe_scheme, find_entities, marks_spans
from throughtime.tasks.word_tagger.lexicon import Lexicon
from throughtime.tasks.word_tagger.metrics import TagScores, score
from throughtime.tasks.word_tagger.options import WordTaggerConfig
from throughtime.tasks.word_tagger.pieces import pieces_of
from throughtime.tasks.word_tagger.plain_text import words_of
from throughtime.tasks.word_tagger.prediction import Tagged, WordLabeller, tag_all
from throughtime.tasks.word_tagger.prepared import (
    COUNTS,
    EXAMPLES,
    HELD_OUT,
    TAGS,
    VECTORS,
    PreparedSentences,
    write_array,
)
from throughtime.tasks.word_tagger.sentences import SentenceReader, read_names, sentences_of_text
from throughtime.tasks.word_tagger.spelling import Vocabulary

if TYPE_CHECKING:
    import torch
    from torch import nn

    from throughtime.tasks.word_tagger.model import WordTagger
    from throughtime.training.progress import Progress
    from throughtime.training.task import Task

LABELS, WORDS = "labels.json", "words.json"
DATA = "data"
PICTURE = "confusion.png"
# A batch takes the pairs of tags for each word of each sentence: 1.6 GB for 32 sentences of 50 words.
_MOST_WITH_CRF = 500

# Sentences of files are tagged so many at a time: enough to share padding, few enough to show soon.
_AT_A_TIME = 256
# The row of the embedding behind its words; no word has this name.
_UNKNOWN = "\0unknown"


class WordTaggerRun(Run):
    """A trained word tagger in its folder.

    Example:
        run = WordTaggerRun.open("runs/names")
        print(run.tag(["Angela Merkel visited Paris ."]))

    Attributes:
        labels: the names of the tags.
        vocabulary: the words and characters that it knows.
    """

    task = "word-tagger"
    higher_is_better = True
    config: WordTaggerConfig
    labels: Labels
    vocabulary: Vocabulary

    @property
    def objective(self) -> str:  # type: ignore[override]
        """The metric by which its weights were kept."""
        return "val_f1" if self.marks_spans else "val_accuracy"

    @property
    def marks_spans(self) -> bool:
        """Whether the tags mark spans of words, such as names."""
        return marks_spans(self.labels.names)

    # ---- training

    def prepare(self, show: Progress) -> None:
        data = self.config.data
        bad = BadRows(data.skip_bad)
        if data.tag_names is not None:
            # As names, so that the run needs their file no more.
            self.config = self.config.changed({"tag_names": ",".join(read_names(data.tag_names))})
        reader = self._reader(needs_tags=True)
        sentences = list(self._read(reader, data.source, bad, show))
        held_out = self._hold_out(len(sentences))
        later = [one for one, late in zip(sentences, held_out, strict=True) if late]
        sentences = [one for one, late in zip(sentences, held_out, strict=True) if not late]
        self.labels = Labels.of((tag for one in sentences for tag in one.tags or ()), data.source)
        if not self.labels.names:
            why = bad.summary() or "it is empty"
            raise DataError(f"{data.source} has no sentence that can be used ({why})")
        if len(self.labels) < 2:
            raise DataError(
                f"{data.source}: every word has the tag {self.labels.names[0]!r}; there have to be two "
                f"tags or more to tell apart"
            )
        if data.validation is not None:
            later = list(self._known(self._read(reader, data.validation, bad, show), data.validation, bad))
        elif data.validation_fraction:
            # Tags that only held-out sentences have cannot be learned from the others.
            known = set(self.labels.names)
            sentences += [one for one in later if not known.issuperset(one.tags or ())]
            later = [one for one in later if known.issuperset(one.tags or ())]
            self.labels = Labels.of((tag for one in sentences for tag in one.tags or ()), data.source)
        if self.config.model.crf and len(self.labels) > _MOST_WITH_CRF:
            raise DataError(
                f"{data.source} has {len(self.labels):,} tags, and a CRF, which learns every pair of them, "
                f"reads {_MOST_WITH_CRF:,} at most: pass --no-crf, or name another column (--tag-column)"
            )
        if self.marks_spans:
            show.remark(
                f"{Path(data.source).name} has {describe_scheme(one.tags or () for one in sentences)}"
            )
        elif all(name.isdigit() for name in self.labels.names):
            show.remark(
                "tags are numbers: --tag-names O,B-person,I-person... names them, in order from 0; where "
                "they mark names, whole names are measured then"
            )
        self.labels.save(self.folder / LABELS)
        self._write(sentences, later, show)
        self.fit_to_data(int((~self._prepared().held_out).sum()), show, "sentences")
        if bad.count:
            show.remark(bad.summary())
        if not later and (data.validation_fraction or data.validation):
            show.remark("too few sentences to hold any out for validation: the last weights are kept")

    def _read(self, reader: SentenceReader, path: str, bad: BadRows, show: Progress) -> Iterator[Sentence]:
        for count, sentence in enumerate(reader.read(path, bad), 1):
            if count % 1000 == 0:
                show.preparing(f"reading {Path(path).name}", count, 0)
            yield sentence

    def _known(self, sentences: Iterable[Sentence], path: str, bad: BadRows) -> Iterator[Sentence]:
        """Those sentences whose tags the model has."""
        known = set(self.labels.names)
        for sentence in sentences:
            if wrong := [tag for tag in sentence.tags or () if tag not in known]:
                bad.report(path, sentence.line, f"no training sentence has the tag {wrong[0]!r}")
                continue
            yield sentence

    def _hold_out(self, count: int) -> NDArray[np.bool_]:
        """Which of the training sentences are for validation, where no file has them."""
        data = self.config.data
        fraction = 0.0 if data.validation is not None else data.validation_fraction
        return stratified_split(np.zeros(count), fraction, self.config.training.seed)

    def _write(self, sentences: list[Sentence], later: list[Sentence], show: Progress) -> None:
        """Write the vocabulary, and the sentences by their numbers: those to learn from in pieces."""
        data = self.config.data
        counts = Counter(word for one in sentences for word in one.words)
        vectors = None
        if data.embedding_file is not None:
            every = counts.keys() | {word for one in later for word in one.words}
            vectors, self.config = take_vectors(self.config, data.embedding_file, every, show)
            found = [word for word in every if vectors.of(word) is not None]
            self.vocabulary, occurs = Vocabulary.of(counts, data.lowercase, found)
        else:
            self.vocabulary, occurs = Vocabulary.of(counts, data.lowercase)
        self.vocabulary.save(self.folder / WORDS)
        lexicon, examples = Lexicon.of([one.words for one in (*sentences, *later)], self.vocabulary)
        arrays: list[tuple[NDArray[Any], NDArray[Any], bool]] = []
        long = 0
        for number, (one, example) in enumerate(zip((*sentences, *later), examples, strict=True)):
            tags = self._numbers(one)
            if number >= len(sentences):
                arrays.append((example, tags, True))
                continue
            long += len(example) > data.piece
            for part in pieces_of(len(example), data.piece, overlap=False):
                arrays.append((example[part.start : part.stop], tags[part.start : part.stop], False))
        if long:
            show.remark(
                f"{long:,} sentences of more than {data.piece} words are learned from in pieces (--piece)"
            )
        folder = self.folder / DATA
        folder.mkdir(exist_ok=True)
        lexicon.save(folder)
        write_sequences(folder / EXAMPLES, (array for array, _, _ in arrays), np.int32)
        write_sequences(folder / TAGS, (tags for _, tags, _ in arrays), np.int32)
        write_array(folder / HELD_OUT, np.array([late for _, _, late in arrays]))
        write_array(folder / COUNTS, occurs)
        if vectors is not None:
            write_array(folder / VECTORS, vectors.matrix(spellings(self.vocabulary.words, counts)))

    def load(self) -> None:
        self.labels = Labels.load(self.folder / LABELS)
        self.vocabulary = Vocabulary.load(self.folder / WORDS)

    def build_model(self) -> WordTagger:
        from throughtime.tasks.word_tagger.model import WordTagger

        words, letters = self.vocabulary.unknown, self.vocabulary.letters
        return WordTagger(self.config.model, words, letters, len(self.labels))

    def make_task(self, model: nn.Module, device: torch.device) -> Task:
        from throughtime.tasks.word_tagger.training import WordTagging

        return WordTagging(model, self._prepared(), self.labels, self.config)  # type: ignore[arg-type]

    def begin(self, model: nn.Module) -> None:
        from throughtime.models.word_vectors import begin_with_vectors

        begin_with_vectors(model.embedding, self._prepared().vectors)  # type: ignore[arg-type]

    def _prepared(self) -> PreparedSentences:
        return PreparedSentences.open(
            self.folder / DATA, self.vocabulary, len(self.labels), self.config.model.embedding
        )

    def conclude(self) -> None:
        """Draw confusion.png: what the best weights make of the validation sentences."""
        prepared = self._prepared()
        if len(prepared.validation):
            examples = [prepared.examples[number] for number in prepared.validation]
            truth = [prepared.tags[number] for number in prepared.validation]
            tagged = tag_all(self.network, prepared.lexicon, examples, self.config.data.piece)
            self._write_confusion(self.folder / PICTURE, score(tagged, truth, self.labels)[1])

    # ---- predicting

    def tag(self, sentences: Iterable[str | Sequence[str]]) -> list[dict[str, Any]]:
        """Tag sentences that are at hand.

        Args:
            sentences: texts, which `words_of` parts into words, or lists of words.
        Returns:
            For each its words, tags, probabilities (of each tag) and, where tags mark spans, entities.
        Raises:
            DataError: a sentence is empty.
        """
        refuse_text(sentences, "tag")
        given = [self.sentence_of(one, f"sentence {number}") for number, one in enumerate(sentences)]
        return list(self.tag_sentences(given))

    def sentence_of(self, given: str | Sequence[str], name: str) -> Sentence:
        """A sentence that is at hand.

        Raises:
            DataError: it is empty, or a word in it; `name` says which it is.
        """
        words = tuple(words_of(given)) if isinstance(given, str) else tuple(given)
        if not words or not all(words):
            raise DataError(f"{name} is empty, or a word in it")
        return Sentence(words, None, 0)

    @takes_frames
    def predict(self, inputs: Sequence[str | Path], skip_bad: bool = False) -> Iterator[dict[str, Any]]:
        """Tag the sentences of files.

        Args:
            inputs: CoNLL files, tables with lists of words, texts with a sentence on each line; "-" reads
                such a text from standard input.
            skip_bad: leave out sentences that cannot be used; `left_out` says which.
        Yields:
            For each sentence words, tags, probabilities (of each tag, whatever the others are), entities
            where tags mark spans, and truth where the file has tags. A blank line has no words.
        """
        refuse_text(inputs, "predict")
        bad = BadRows(skip_bad)
        reader = self._reader(needs_tags=False)
        for source in inputs:
            streamed = str(source) == "-"
            if streamed:
                sentences = sentences_of_text(standard_input(), STANDARD_INPUT, bad)
            else:
                sentences = reader.read(source, bad)
            while block := list(islice(sentences, 1 if streamed else _AT_A_TIME)):
                yield from self.tag_sentences(block)
        self.left_out = bad.summary()

    def row_predictor(self) -> RowPredictor:  # type: ignore[override]
        """As of `Run`; there are no options."""
        from throughtime.tasks.word_tagger.rows import TaggedRows

        return TaggedRows(self)

    def reader(self) -> SentenceReader:
        """What reads sentences whose tags need not be known."""
        return self._reader(needs_tags=False)

    def tag_sentences(self, sentences: Sequence[Sentence]) -> Iterator[dict[str, Any]]:
        """Tag sentences that were read by `reader`, in their order: see `predict`."""
        filled = [one for one in sentences if one.words]
        tagged: Iterator[Tagged] = iter(())
        if filled:
            lexicon, examples = Lexicon.of([one.words for one in filled], self.vocabulary)
            tagged = iter(tag_all(self.network, lexicon, examples, self.config.data.piece))
        for sentence in sentences:
            found = next(tagged) if sentence.words else Tagged(np.zeros(0, np.int64), np.zeros(0))
            yield self._described(sentence, found)

    def _described(self, sentence: Sentence, found: Tagged) -> dict[str, Any]:
        tags = [self.labels.names[tag] for tag in found.tags]
        probabilities = [round(float(one), 4) for one in found.probabilities]
        described: dict[str, Any] = {
            "words": list(sentence.words),
            "tags": tags,
            "probabilities": probabilities,
        }
        if self.marks_spans:
            described["entities"] = [
                {
                    "type": one.type,
                    "text": " ".join(sentence.words[one.start : one.end]),
                    "start": one.start,
                    "end": one.end,
                    "probability": min(probabilities[one.start : one.end]),
                }
                for one in find_entities(tags)
            ]
        if sentence.tags is not None:
            described["truth"] = list(sentence.tags)
        return described

    @takes_data
    def evaluate(
        self, path: str | Path, skip_bad: bool = False, progress: Callable[[float], None] | None = None
    ) -> dict[str, Any]:
        """Measure on tagged sentences; confusion-NAME.png and .json in the run folder get the details.

        Returns:
            sentences, words, left_out, loss (nats a word), accuracy (of words), macro_f1, majority (the
            accuracy of always naming the most frequent tag); where tags mark spans, precision, recall and f1
            of entities as seqeval counts them, and entities, the same for each type; confusion (the picture).
        """
        bad = BadRows(skip_bad)
        sentences = list(self._known(self._reader(needs_tags=True).read(path, bad), str(path), bad))
        if not sentences:
            raise DataError(f"{path} has no usable sentence ({bad.summary()})")
        lexicon, examples = Lexicon.of([one.words for one in sentences], self.vocabulary)
        truth = [self._numbers(one) for one in sentences]
        tagged = tag_all(self.network, lexicon, examples, self.config.data.piece, truth, progress)
        loss, scores = score(tagged, truth, self.labels)
        picture = self.picture_folder / f"confusion-{stem_of(path)}.png"
        figures: dict[str, Any] = {
            "sentences": len(sentences),
            "words": sum(map(len, truth)),
            "left_out": bad.count,
            "loss": loss,
            **scores.figures(),
            "confusion": str(self._write_confusion(picture, scores)),
        }
        return figures | ({} if scores.entities is None else {"entities": scores.entities.by_type()})

    @property
    def pipeline_tag(self) -> str:
        return "token-classification"

    def next_command(self) -> str:
        return f'Tag a sentence: echo "a sentence" | throughtime predict {self.folder}'

    def row_names(self) -> dict[str, list[str]]:
        labels = list(self.labels.names)
        return {
            "output.weight": labels,
            "output.bias": labels,
            "embedding.weight": [*self.vocabulary.words, _UNKNOWN],
            "characters.embedding.weight": [
                *(f"\0{name}" for name in ("outside", "begin", "end", "unknown")),
                *self.vocabulary.characters,
            ],
            "crf.scores": [*labels, "\0begin", "\0end"],
        }

    def facts(self) -> dict[str, Any]:
        known = {"words": self.vocabulary.unknown, "characters": len(self.vocabulary.characters)}
        return {"labels": list(self.labels.names), **known}

    # ---- what both need

    def _reader(self, needs_tags: bool) -> SentenceReader:
        data = self.config.data
        names = read_names(data.tag_names)
        return SentenceReader(data.word_column, data.tag_column, names, TableFormat.of(data), needs_tags)

    def _numbers(self, sentence: Sentence) -> NDArray[np.int64]:
        return np.array([self.labels.number(tag) for tag in sentence.tags or ()], dtype=np.int64)

    def beside_graphs(self) -> tuple[Sequence[str], dict[str, Any]]:
        return (WORDS,), {"labels": list(self.labels.names)}

    def port_sizes(self) -> dict[tuple[str, str], int]:
        sizes = {("score", "emissions"): len(self.labels), ("score", "words"): self.vocabulary.unknown + 1}
        if self.config.model.characters != "none":
            sizes["spell", "letters"] = self.vocabulary.letters
        return sizes

    def predictor(self, network: Functions) -> WordLabeller:
        return WordLabeller(network)

    def _write_confusion(self, picture: Path, scores: TagScores) -> Path:
        from throughtime.metrics.classification import write_confusion

        return write_confusion(picture, scores.confusion, self.labels.names)
