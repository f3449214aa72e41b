"""The next token from those before it: many to many, aligned, shifted by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.draws import dropout
from throughtime.models.functions import Definition, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent, locked_dropout
from throughtime.tasks.language_model.first_state import FirstState
from throughtime.tasks.language_model.options import LanguageNetwork

# What a few fields say fits into few numbers.
_WIDEST_CONDITION = 64


class LanguageModel(nn.Module):
    """Embedding or one-hot vectors -> recurrence -> logits of the next token.

    Args:
        config: the sizes and options.
        vocabulary_size: V.
        categories: of lines with conditions: how many values each category has.
        numbers: likewise: the mean and the deviation of each number.
    """

    def __init__(
        self,
        config: LanguageNetwork,
        vocabulary_size: int,
        categories: tuple[int, ...] = (),
        numbers: tuple[tuple[float, float], ...] = (),
    ) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, config.embedding) if config.embedding else None
        self.recurrent = Recurrent(
            config.cell,
            config.embedding or vocabulary_size,
            config.hidden,
            learned_initial_state=config.learned_initial_state,
            **config.recurrent_options(),
        )
        self.output = nn.Linear(self.recurrent.output_size, vocabulary_size)
        self.begin = (
            FirstState(self.recurrent, categories, numbers, min(config.hidden, _WIDEST_CONDITION))
            if categories or numbers
            else None
        )
        if config.tie_weights and self.embedding is not None:
            self.output.weight = self.embedding.weight
        initialise(self, config)
        if config.tie_weights and config.initialisation == "orthogonal":
            # N(0, 1), the embedding's default, would make the first logits as large as sqrt(H).
            nn.init.normal_(self.output.weight, std=1 / math.sqrt(self.recurrent.output_size))

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the token after each.

        Args:
            tokens: (T, B) int64.
            state: what the previous call returned, or None at the beginning.
        Returns:
            Logits (T, B, V), and the state after the last step.
        """
        outputs, new_state = self.read(tokens, state)
        return self.output(outputs), new_state

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """What the output layer reads, (T, B, H), and the state after the last step; arguments as above."""
        if self.embedding is not None:
            inputs = self.embedding(tokens)
        else:
            inputs = F.one_hot(tokens, self.vocabulary_size).to(self.output.weight.dtype)
        outputs, new_state = self.recurrent(self._drop(inputs, self.config.input_dropout), state)
        return self._drop(outputs, self.config.output_dropout), new_state

    def first_state(self, categories: Tensor, numbers: Tensor) -> State | None:
        """The state that lines begin with; None where they have no conditions.

        Args:
            categories: (B, K) int64.
            numbers: (B, R) float.
        """
        if self.begin is None:
            return None
        own = self.recurrent.initial_state(len(categories), self.output.weight)
        return self.begin(categories.unbind(1), numbers if numbers.shape[1] else None, own)

    def functions(self) -> dict[str, Definition]:
        """sequence: tokens (T, B) and the state before them to logits (T, B, V) and the state after.

        begin, where lines have conditions: these to the state before a line's first token.
        """

        def sequence(tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            logits, new = self(tokens, state)
            return logits, *new

        tokens = Port("tokens", "int64", ("T", "B"), "what is read", self.vocabulary_size)
        outputs = {"logits": "of the next token", **state_outputs(self.recurrent)}
        known = {"sequence": Definition(sequence, (tokens, *state_ports(self.recurrent)), outputs)}
        return known if self.begin is None else {**known, "begin": self._begin_definition(self.begin)}

    def _begin_definition(self, begin: FirstState) -> Definition:
        def first(*given: Tensor) -> tuple[Tensor, ...]:
            own = self.recurrent.initial_state(given[0].shape[0], self.output.weight)
            return begin(*begin.of_ports(given), own)

        return Definition(first, tuple(begin.ports()), state_outputs(self.recurrent, ""))

    def _drop(self, sequence: Tensor, probability: float) -> Tensor:
        if self.config.locked_dropout:
            return locked_dropout(sequence, probability, self.training)
        return dropout(sequence, probability, self.training)


class TorchStepper:
    """A language model as generation wants it: NumPy in, NumPy out, the state by hand."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model.eval()
        self._device = model.output.weight.device
        self.vocabulary_size = model.vocabulary_size

    @torch.inference_mode()
    def feed(self, tokens: NDArray[np.int64], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        """Read tokens (N, T), T >= 1; return the logits (N, V) of the token after the last, and the state."""
        inputs = torch.from_numpy(np.ascontiguousarray(tokens.T)).to(self._device)
        logits, state = self._model(inputs, state)
        return logits[-1].float().cpu().numpy(), state

    @staticmethod
    def select(state: Any, rows: NDArray[np.int64]) -> Any:
        """The state whose row i is row rows[i] of the old one."""
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return tuple(part.index_select(1, index.to(part.device)) for part in state)


class TorchLines:
    """Lines side by side, as `line_scores.ParallelLines` has them."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model.eval()
        self._device = model.output.weight.device
        self.vocabulary_size = model.vocabulary_size
        self.threads = 1
        self._state: State | None = None

    def begin(self, states: State | None, rows: NDArray[np.int64]) -> None:
        """As the protocol says."""
        self._state = None if states is None else TorchStepper.select(states, rows)

    @torch.inference_mode()
    def read(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """As the protocol says."""
        inputs = torch.from_numpy(np.ascontiguousarray(tokens.T)).to(self._device)
        logits, self._state = self._model(inputs, self._state)
        return np.ascontiguousarray(logits.transpose(0, 1).float().cpu().numpy())

    def end(self) -> None:
        """As the protocol says."""
        self._state = None
