"""A score for each character and the blank at each step of a recording: what CTC learns from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.draws import dropout
from throughtime.encoders.frames import Standardise
from throughtime.models.functions import Definition, begin_of, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.transcriber.options import TranscriberNetwork


class Transcriber(nn.Module):
    """Standardised features -> recurrence -> a score for each character and the blank.

    Example:
        model = Transcriber(config, mean, deviation, 27)
        scores, state = model(features)                  # (T, B, F) -> (T, B, 27)

    Args:
        config: the sizes and options.
        mean, deviation: F, of each feature of a step.
        outputs: V, the characters with the blank.
    Source: Graves, Fernandez, Gomez and Schmidhuber 2006.
    """

    def __init__(
        self, config: TranscriberNetwork, mean: Sequence[float], deviation: Sequence[float], outputs: int
    ) -> None:
        super().__init__()
        self.config = config
        known = (torch.tensor(values, dtype=torch.float64) for values in (mean, deviation))
        self.standardise = Standardise(*known)
        self.recurrent = Recurrent(
            config.cell,
            len(mean),
            config.hidden,
            bidirectional=config.bidirectional,
            **config.recurrent_options(),
        )
        self.output = nn.Linear(self.recurrent.output_size, outputs)
        initialise(self, config)

    def forward(
        self, features: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """The scores of each step; softmax makes probabilities of them.

        Args:
            features: (T, B, F).
            lengths: (B,) int64 on the CPU; steps past a recording's length are ignored. None means T for all.
            state: what the previous call returned, or None at the beginning.
        Returns:
            (T, B, V), and the state after each recording's last step.
        """
        seen = self._drop(self.standardise(features), self.config.input_dropout)
        outputs, new_state = self.recurrent(seen, state, lengths)
        return self.output(self._drop(outputs, self.config.output_dropout)), new_state

    def functions(self) -> dict[str, Definition]:
        """score: features (T, B, F) to scores (T, B, V). begin: the state before the first step.

        A network that reads backwards sees whole recordings and has no state to carry.
        """
        carries = not self.recurrent.bidirectional

        def score(features: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            scores, new = self(features, lengths, state or None)
            return scores, *(new if carries else ())

        states = state_ports(self.recurrent) if carries else ()
        size = self.standardise.output_size
        features = Port("features", "float32", ("T", "B", size), "stacked frames, not standardised")
        lengths = Port("lengths", "int64", ("B",), "steps of each recording that count", "T")
        meaning = {"scores": "of the blank and of each character, before the softmax"}
        after = state_outputs(self.recurrent) if carries else {}
        found = {"score": Definition(score, (features, lengths, *states), {**meaning, **after})}
        if carries:
            found["begin"] = begin_of([self.recurrent], states)
        return found

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training)
