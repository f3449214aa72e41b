"""A tag for every word: embeddings and characters, recurrence, emissions, linear-chain CRF."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.draws import dropout
from throughtime.encoders.pooling import Pooling
from throughtime.models.functions import Definition
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.word_tagger.crf import LinearChainCRF
from throughtime.tasks.word_tagger.options import WordTaggerNetwork
from throughtime.tasks.word_tagger.spelling import WINDOW

_EMBEDDING_DEVIATION = 0.1


class CharacterCNN(nn.Module):
    """What a word's characters say, by a convolution over them and the largest value of each feature.

    A window of characters is given as it is, so that the convolution is one matrix product.

    Args:
        letters: how many numbers characters have.
        embedding: size of the embedding of one.
        features: F, what is kept of a word.
    Source: dos Santos and Zadrozny 2014; Ma and Hovy 2016.
    """

    def __init__(self, letters: int, embedding: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, embedding)
        self.convolution = nn.Linear(WINDOW * embedding, features)
        self.pooling = Pooling("max", features)
        self.output_size = features

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """(S, W, 5) windows around each character, and how many there are, (W,), to (W, F)."""
        seen = self.convolution(self.embedding(letters).flatten(2))
        return self.pooling(seen, lengths).relu()


class CharacterLSTM(nn.Module):
    """What a word's characters say, by an LSTM from each end: the outputs where each has read all of it.

    Args:
        letters, embedding, features: as of `CharacterCNN`; half of the features are of each direction.
    Source: Lample et al. 2016, section 4.1.
    """

    def __init__(self, letters: int, embedding: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, embedding)
        self.recurrent = Recurrent("lstm", embedding, features // 2, bidirectional=True)
        self.pooling = Pooling("last", self.recurrent.output_size, 2)
        self.output_size = self.recurrent.output_size

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """(S, W) characters of words, and how many there are, (W,), to (W, F)."""
        outputs, _ = self.recurrent(self.embedding(letters), None, lengths)
        return self.pooling(outputs, lengths)


class WordTagger(nn.Module):
    """Words and spellings -> recurrence -> emissions of each word's tags.

    Args:
        config: the sizes and options.
        words: V; word V stands for all that the vocabulary lacks.
        letters: how many numbers characters have.
        tags: Y.
    """

    def __init__(self, config: WordTaggerNetwork, words: int, letters: int, tags: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(words + 1, config.embedding)
        self.characters: CharacterCNN | CharacterLSTM | None = None
        if config.characters != "none":
            kind = CharacterCNN if config.characters == "cnn" else CharacterLSTM
            self.characters = kind(letters, config.character_embedding, config.character_features)
        self.recurrent = Recurrent(
            config.cell,
            config.embedding + (0 if self.characters is None else self.characters.output_size),
            config.hidden,
            bidirectional=config.bidirectional,
            **config.recurrent_options(),
        )
        self.output = nn.Linear(self.recurrent.output_size, tags)
        self.crf = LinearChainCRF(tags) if config.crf else None
        initialise(self, config)
        if config.initialisation == "orthogonal":
            nn.init.normal_(self.embedding.weight, std=_EMBEDDING_DEVIATION)

    @property
    def reads_windows(self) -> bool:
        """Whether characters are given as the windows of a CNN."""
        return isinstance(self.characters, CharacterCNN)

    def forward(
        self,
        words: Tensor,
        lengths: Tensor,
        letters: Tensor | None = None,
        letter_counts: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Emissions of each word's tags, (T, B, Y); with the scores of neighbours they make a CRF.

        Args:
            words: (T, B) int64; what lies past a length is ignored.
            lengths: (B,) int64 on the CPU, each in [1, T].
            letters: the characters of W different words, (S, W) int64, or windows (S, W, 5) for a CNN.
            letter_counts: (W,) int64 on the CPU.
            places: (T, B) int64, which of the W words each word is.
        """
        spellings = None
        if self.characters is not None:
            assert letters is not None and letter_counts is not None and places is not None
            spellings = self.characters(letters, letter_counts)[places]
        return self.emissions(words, lengths, spellings)

    def emissions(self, words: Tensor, lengths: Tensor, spellings: Tensor | None) -> Tensor:
        """The part behind the characters: words (T, B) and spellings (T, B, F) to emissions (T, B, Y)."""
        known = self.embedding(words)
        if spellings is not None:
            known = torch.cat([known, spellings], -1)
        outputs, _ = self.recurrent(self._drop(known, self.config.input_dropout), None, lengths)
        return self.output(self._drop(outputs, self.config.output_dropout))

    def functions(self) -> dict[str, Definition]:
        """What a word tagger can be asked for.

        spell: the characters of different words to what is read of them; a network that reads no characters
            does not have it.
        score: words (T, B), and the spelling of each, to emissions (T, B, Y), and to the scores of
            neighbouring tags (1, Y + 2, Y), which are the same for all: see `LinearChainCRF`.
        """
        words = self.embedding.num_embeddings
        read = [
            Port("words", "int64", ("T", "B"), f"what is read; {words - 1} is an unknown word", words),
            Port("lengths", "int64", ("B",), "words of each sentence that count", "T"),
        ]
        emitted = {"emissions": "scores of each word's tags"}
        if self.crf is not None:
            emitted["transitions"] = "scores from tag to tag, then from the beginning and to the end"

        def score(words: Tensor, lengths: Tensor, spellings: Tensor | None = None) -> tuple[Tensor, ...]:
            found = self.emissions(words, lengths, spellings)
            # With an axis more: a program repeats what is two-dimensional for every sentence.
            return (found,) if self.crf is None else (found, self.crf.scores[None])

        if self.characters is None:
            return {"score": Definition(score, tuple(read), emitted)}
        size = self.characters.output_size
        read.append(Port("spellings", "float32", ("T", "B", size), "what is read of each word's characters"))
        sides = ("S", "W", WINDOW) if self.reads_windows else ("S", "W")
        letters = self.characters.embedding.num_embeddings
        characters = self.characters
        spelled = (
            Port("letters", "int64", sides, "the characters of each of W words", letters),
            Port("letter_counts", "int64", ("W",), "characters of each word that count", "S"),
        )
        return {
            "spell": Definition(
                lambda letters, counts: (characters(letters, counts),),
                spelled,
                {"spellings": "what is read of each word's characters"},
            ),
            "score": Definition(score, tuple(read), emitted),
        }

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training)
