"""One stream of tokens through an engine: read, draw, stop, and go on later exactly there."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.arrays import whole_numbers
from throughtime.errors import CheckpointError, OptionError
from throughtime.facts import shown
from throughtime.runtime.engine import Engine
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.runtime.weights import parse_weights, write_weights
from throughtime.saved import Saved

FORMAT = "throughtime-stream"
VERSION = "2"
# Version 1 had no checksum.
_WITHOUT_CHECKSUM = "1"
_CHECKSUM = "sha256"
# What stands in place of the checksum while it is computed.
_NO_CHECKSUM = "0" * 64


class Stream:
    """A state of its own, with its sampler.

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
        position: tokens that it has read, those that it drew included.
        pending: bytes of a character of which tokens are still missing, for whoever turns tokens into text.
    """

    def __init__(self, engine: Engine, options: SamplingOptions | None = None, seed: int = 0) -> None:
        self.engine = engine
        self.position = 0
        self.pending: dict[str, Any] = {}
        self.sampler = Sampler(options or SamplingOptions(), engine.vocabulary_size, seed, rows=1)
        self._slot: NDArray[np.int64] | None = engine.open()

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
        logits = self.engine.read(self.slot, array)
        self.sampler.observe(array)
        self.position += array.shape[1]
        return logits[0]

    def generate(self, count: int) -> NDArray[np.int64]:
        """Draw tokens (count,), each read before the next is drawn.

        A call that a signal's handler ends leaves the stream as it was, see `Engine.generate`.
        """
        tokens = self.engine.generate(self.slot, self.sampler, count)[0]
        self.position += count
        return tokens

    @property
    def logits(self) -> NDArray[np.float32]:
        """The logits (V,) of the next token."""
        return self.engine.logits(self.slot)[0]

    def snapshot(self) -> bytes:
        """All that going on exactly here needs, as a safetensors file's bytes.

        Bit for bit on the same instruction set; another rounds some sums otherwise.
        """
        tensors = {"state": self.engine.states(self.slot)[0], "logits": self.logits}
        options = self.sampler.options
        facts = {
            "position": self.position,
            "pending": self.pending,
            "sampler": self.sampler.state(),
            "sampling": {one.name: type(one.default)(getattr(options, one.name)) for one in fields(options)},
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
        if metadata.get("version") not in (VERSION, _WITHOUT_CHECKSUM):
            raise CheckpointError(
                f"the snapshot is of version {shown(metadata.get('version'))}, and this Throughtime reads "
                f"{VERSION}: restore it with the one that made it"
            )
        if metadata["version"] == VERSION:
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
        logits = weights.tensor("logits", (engine.vocabulary_size,))
        with Saved(_parsed(metadata.get("facts", "")), "the snapshot") as saved:
            position = saved.integer("position")
            pending = saved.mapping("pending")
            sampler = saved.mapping("sampler")
            with saved.part("sampling") as sampling:
                options = _sampling_options(sampling)
        stream = cls(engine, options)
        try:
            stream.sampler.restore(sampler)
            engine.set_states(stream.slot, state[None])
            engine.set_logits(stream.slot, logits[None])
        except BaseException:
            stream.close()
            raise
        stream.position, stream.pending = position, pending
        return stream

    def fork(self) -> Stream:
        """A copy that goes its own way from here; both would draw the same tokens next."""
        return Stream.restore(self.engine, self.snapshot())

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
