"""One stream of tokens through an engine: read, draw, stop, and go on later exactly there."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.arrays import whole_numbers
from throughtime.errors import CheckpointError, NotANumberError, OptionError
from throughtime.facts import shown
from throughtime.runtime import generators
from throughtime.runtime.draws import Draws
from throughtime.runtime.engine import Engine
from throughtime.runtime.sampling import SamplingOptions
from throughtime.runtime.weights import parse_weights, write_weights
from throughtime.saved import Saved

FORMAT = "throughtime-stream"
VERSION = "3"
# Version 1 had no checksum; both kept the logits.
_OLDER = ("1", "2")
_WITHOUT_CHECKSUM = "1"
# What a snapshot has in place of logits that need no place: those that the state gives, or of nothing read.
_OF_THE_STATE, _ZERO, _KEPT = "of the state", "zero", "kept"
_CHECKSUM = "sha256"
# What stands in place of the checksum while it is computed.
_NO_CHECKSUM = "0" * 64


class Stream:
    """One slot of an engine: a state of its own, and how it draws.

    Example:
        with Stream(engine, SamplingOptions(temperature=0.8), seed=1) as stream:
            stream.read(tokenizer.encode("ROMEO:"))
            tokens = stream.generate(100)
            saved = stream.snapshot()                      # bytes: write them anywhere
        again = Stream.restore(engine, saved)              # here, or in another process
        tokens = again.generate(100)                       # what the first stream would have drawn next

    Args:
        engine: the model.
        options: how tokens are drawn.
        seed: of the draws.
    Attributes:
        options: as given.
        pending: bytes of a character of which tokens are still missing, for whoever turns tokens into text.
    """

    def __init__(self, engine: Engine, options: SamplingOptions | None = None, seed: int = 0) -> None:
        self.engine = engine
        self.options = options or SamplingOptions()
        self.pending: dict[str, Any] = {}
        self._slot: NDArray[np.int64] | None = engine.open()
        engine.set_draws(self._slot, [Draws.seeded(self.options, seed)])

    @classmethod
    def copy_of(cls, engine: Engine, slot: int, options: SamplingOptions) -> Stream:
        """A stream that stands where an open slot of the engine does, in a slot of its own."""
        stream = object.__new__(cls)
        stream.engine, stream.options, stream.pending = engine, options, {}
        stream._slot = engine.fork([slot])
        return stream

    @property
    def slot(self) -> NDArray[np.int64]:
        """The engine's slot, (1,).

        Raises:
            ValueError: the stream is closed.
        """
        if self._slot is None:
            raise ValueError("the stream is closed")
        return self._slot

    def read(self, tokens: ArrayLike) -> NDArray[np.float32]:
        """Read tokens (T,), T >= 1; return the logits (V,) of the next.

        Raises:
            ValueError: as `Engine.read`.
        """
        array = np.atleast_2d(whole_numbers(tokens, "tokens"))
        return self.engine.read(self.slot, array)[0]

    def stop_at(self, tokens: Sequence[int]) -> None:
        """Let calls of `generate` end behind each of these tokens.

        Raises:
            ValueError: a token lies outside the vocabulary, or there are too many.
        """
        draws = self.engine.draws(self.slot)[0]
        self.engine.set_draws(self.slot, [replace(draws, stop=tuple(tokens))])

    def generate(self, count: int) -> NDArray[np.int64]:
        """Draw tokens (count,), each read before the next is drawn; fewer where one is a stop token.

        A call that a signal's handler ends leaves the stream as it was, see `Engine.advance`.

        Raises:
            ValueError: the count is below 0, or the slot is closed.
            NotANumberError: the next token's logits are no numbers, as of a state that is too large.
        """
        try:
            tokens, counts, _ = self.engine.advance(self.slot, [count], together=True)
        except ValueError as error:
            if not str(error).startswith("logits "):
                raise
            raise NotANumberError(
                f"the next token cannot be drawn, as the weights or the state are too large to compute with: "
                f"{error}"
            ) from None
        return tokens[0, : counts[0]]

    @property
    def position(self) -> int:
        """Tokens that it has read, those that it drew included."""
        return int(self.engine.positions(self.slot)[0])

    @property
    def logits(self) -> NDArray[np.float32]:
        """The logits (V,) of the next token."""
        return self.engine.logits(self.slot)[0]

    def snapshot(self) -> bytes:
        """All that going on exactly here needs, as a safetensors file's bytes.

        Bit for bit on the same instruction set; another rounds some sums otherwise.
        """
        engine, slot = self.engine, self.slot
        tensors = {"state": engine.states(slot)[0]}
        logits = _OF_THE_STATE
        if not engine.logits_follow(slot)[0]:
            logits = _ZERO if not self.logits.any() else _KEPT
        if logits == _KEPT:
            tensors["logits"] = self.logits
        facts = {
            "position": self.position,
            "pending": self.pending,
            "logits": logits,
            "generator": generators.to_json(engine.generators(slot))[0],
            "seen": np.flatnonzero(engine.seen(slot)[0]).tolist(),
            "stop": list(engine.draws(slot)[0].stop),
            "sampling": {
                one.name: type(one.default)(getattr(self.options, one.name)) for one in fields(self.options)
            },
        }
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.engine.fingerprint,
            "precision": self.engine.precision,
            "isa": self.engine.isa,
            "facts": json.dumps(facts),
            _CHECKSUM: _NO_CHECKSUM,
        }
        content = write_weights(tensors, metadata)
        return content.replace(_checksum_field(_NO_CHECKSUM), _checksum_field(_checksum(content)))

    @classmethod
    def restore(cls, engine: Engine, snapshot: bytes) -> Stream:
        """A stream that goes on where a snapshot was taken.

        Raises:
            CheckpointError: the snapshot is damaged, of another version, or of another model or precision.
        """
        weights = parse_weights(snapshot, "the snapshot")
        metadata = weights.metadata
        if metadata.get("format") != FORMAT:
            raise CheckpointError("the snapshot is no stream's: `Stream.snapshot` makes them")
        version = metadata.get("version")
        if version != VERSION and version not in _OLDER:
            raise CheckpointError(
                f"the snapshot is of version {shown(version)}, and this Throughtime reads "
                f"{VERSION}: restore it with the one that made it"
            )
        if version != _WITHOUT_CHECKSUM:
            _verify(snapshot, metadata.get(_CHECKSUM, ""))
        if metadata.get("fingerprint") != engine.fingerprint:
            raise CheckpointError("the snapshot is of another model: its fingerprint is not this one's")
        if metadata.get("precision") != engine.precision:
            taken = shown(metadata.get("precision"))
            raise CheckpointError(
                f"the snapshot was taken at {taken}, and this engine runs at {engine.precision!r}: load it "
                f"with precision={taken}"
            )
        state = weights.tensor("state", (engine.state_size,))
        with Saved(_parsed(metadata.get("facts", "")), "the snapshot") as saved:
            position = saved.integer("position")
            pending = saved.mapping("pending")
            kind, draws, seen = (_draws_before if version in _OLDER else _draws)(saved, engine)
        logits = weights.tensor("logits", (engine.vocabulary_size,)) if kind == _KEPT else None
        stream = cls(engine, draws.options)
        try:
            engine.set_draws(stream.slot, [draws])
            marks = np.zeros((1, engine.vocabulary_size), np.uint8)
            marks[0, seen] = 1
            engine.set_seen(stream.slot, marks)
            engine.set_states(stream.slot, state[None])
            engine.set_positions(stream.slot, [position])
            if kind == _OF_THE_STATE:
                engine.recompute_logits(stream.slot)
            elif logits is not None:
                stream._put_logits(logits)
        except ValueError as error:
            stream.close()
            raise CheckpointError(f"the snapshot is damaged: {error}") from None
        except BaseException:
            stream.close()
            raise
        stream.pending = pending
        return stream

    def _put_logits(self, logits: NDArray[np.float32]) -> None:
        """Put logits in place; where the state gives the same, the next snapshot leaves them out."""
        if self.engine.top_in_state:
            self.engine.recompute_logits(self.slot)
            if (self.logits.view(np.uint32) == logits.view(np.uint32)).all():
                return
        self.engine.set_logits(self.slot, logits[None])

    def fork(self) -> Stream:
        """A copy that goes its own way from here; both would draw the same tokens next."""
        slot = self.engine.fork(self.slot)
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, pending=copy.deepcopy(self.pending), _slot=slot)
        return other

    def close(self) -> None:
        """Give the slot back; closing twice is fine."""
        if self._slot is not None:
            self.engine.close(self._slot)
            self._slot = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_slot", None) is not None:
            self.close()


def _parsed(facts: str) -> Any:
    try:
        return json.loads(facts)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the snapshot is damaged: its facts are no JSON ({error})") from None


def _draws(saved: Saved, engine: Engine) -> tuple[str, Draws, list[int]]:
    """How a snapshot has its logits, how it draws, and the tokens that it has seen."""
    kind = saved.text("logits", (_OF_THE_STATE, _ZERO, _KEPT))
    generator = generators.from_json([saved.part("generator")])[0]
    seen = saved.integers("seen", most=engine.vocabulary_size - 1)
    stop = saved.integers("stop", most=engine.vocabulary_size - 1)
    return kind, _made(saved, generator, stop), seen


def _draws_before(saved: Saved, engine: Engine) -> tuple[str, Draws, list[int]]:
    """The same of versions 1 and 2."""
    with saved.part("sampler") as sampler:
        sampler.integer("rows", 1, 1)
        sampler.integer("vocabulary_size", engine.vocabulary_size, engine.vocabulary_size)
        found = sampler.parts("generators")
        seen = sampler.rows_of_integers("seen", most=engine.vocabulary_size - 1)
        for name, rows in (("generators", found), ("seen", seen)):
            if len(rows) != 1:
                sampler.refuse(name, f"{len(rows)} long", "one of them")
    return _KEPT, _made(saved, generators.from_json(found)[0], []), seen[0]


def _made(saved: Saved, generator: NDArray[np.uint64], stop: list[int]) -> Draws:
    with saved.part("sampling") as sampling:
        options = _sampling_options(sampling)
    try:
        return Draws(options, tuple(generator.tolist()), tuple(stop))
    except OptionError as error:
        raise CheckpointError(f"the snapshot is damaged: {error}") from None


def _sampling_options(saved: Saved) -> SamplingOptions:
    values: dict[str, Any] = {
        field.name: saved.integer(field.name) if type(field.default) is int else saved.number(field.name)
        for field in fields(SamplingOptions)
    }
    try:
        return SamplingOptions(**values)
    except OptionError as error:
        raise CheckpointError(f"the snapshot is damaged: {error}") from None


def _verify(snapshot: bytes, checksum: str) -> None:
    """Raise CheckpointError unless a snapshot's bytes, without its checksum, give this checksum."""
    bare = snapshot.replace(_checksum_field(checksum), _checksum_field(_NO_CHECKSUM))
    if _checksum(bare) != checksum:
        raise CheckpointError(
            "the snapshot is damaged: its checksum is not that of its content; take it again, or from a copy"
        )


def _checksum(content: bytes) -> str:
    import hashlib  # here, as it brings a library of cryptography with it

    return hashlib.sha256(content).hexdigest()


def _checksum_field(checksum: str) -> bytes:
    """The checksum as it stands in the header; inside other texts the quotation marks would be escaped."""
    return f'"{_CHECKSUM}": "{checksum}"'.encode("utf-8", "replace")
