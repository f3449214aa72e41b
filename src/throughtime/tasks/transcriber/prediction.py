"""The texts of recordings, batch by batch, whatever runs the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.data.batches import LengthBatches, pad
from throughtime.data.turns import Turns, one_by_one
from throughtime.program.network import Functions
from throughtime.runtime.outputs import check_output
from throughtime.tasks.transcriber.decoding import Spelled, best_path, prefix_beam_search

# Recordings a batch where nothing is learned, and steps in one: 64 MB of 64 outputs.
_BATCH, _STEPS = 64, 1 << 18


class Listener:
    """A transcriber by its functions.

    Args:
        network: "score", and "begin" where it does not read backwards.
    """

    def __init__(self, network: Functions) -> None:
        self._network = network

    @property
    def looks_ahead(self) -> bool:
        """Whether what is said of a step depends on later ones."""
        return "begin" not in self._network.functions

    def log_probabilities(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The log-probability of the blank and of each character at each step: (T, B, V).

        Args:
            features: (T, B, F); what lies past a length is ignored.
            lengths: (B,), each in [1, T].
        """
        return self.go_on(features, lengths, self.begin(len(lengths)))[0]

    def begin(self, rows: int) -> dict[str, NDArray[Any]]:
        """The state before the first step; nothing where the network reads backwards."""
        return {} if self.looks_ahead else self._network("begin", {"rows": np.zeros(rows, np.int64)})

    def go_on(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64], state: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        """The same from a state on, and the state after each recording's last step."""
        found = self._network("score", {"features": features, "lengths": lengths, **state})
        scores = check_output(found["scores"], "a recording")
        return log_softmax(scores), {name: found[f"new_{name}"] for name in state}


def listen(
    listener: Listener,
    recordings: Sequence[NDArray[np.float32]],
    progress: Callable[[float], None] | None = None,
    turns: Turns = one_by_one,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The log-probabilities (T_i, V) of each recording, by its number, as each is done.

    Args:
        listener: the network.
        recordings: (T_i, F) each.
        progress: called with the share that is done.
        turns: how batches are gone through.
    """
    lengths = np.array([len(one) for one in recordings])
    parts: list[NDArray[np.int64]] = []
    for batch in LengthBatches(lengths, _BATCH, 0).in_order():
        together = max(1, _STEPS // int(lengths[batch[-1]]))
        parts += [batch[start : start + together] for start in range(0, len(batch), together)]

    def score(numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        features = pad([recordings[number] for number in numbers])
        return [listener.log_probabilities(features, lengths[numbers])]

    done = 0
    for numbers, (found,) in zip(parts, turns(parts, score), strict=True):
        for column, number in enumerate(numbers):
            yield int(number), found[: lengths[number], column]
        done += len(numbers)
        if progress is not None:
            progress(done / len(recordings))


def spell(log_probabilities: NDArray[np.float32], beam: int) -> Spelled:
    """The text of one recording: the best path, or with a beam of 2 or more a search over prefixes."""
    return best_path(log_probabilities) if beam == 1 else prefix_beam_search(log_probabilities, beam)
