"""Steps of thousands of sessions in one body, read and written without an object for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.server.errors import ApiError, session_moved
from throughtime.server.replies import as_api_error
from throughtime.server.text_model import TextModel

_MOST = 100_000
_MOST_TOP = 100
_READS = ("tokens", "frames", "samples")
# Of logarithms after the point: more than single numbers have.
_DIGITS = 6


# What `TextSessions.step_many` gives: of each step the position afterwards, and what was wrong; and logits
# (N, V) of those with which nothing was.
Stepped = tuple[list[tuple[int, ApiError | None]], NDArray[np.float32] | None]


@dataclass(frozen=True)
class Bulk:
    """A body of steps.

    Args:
        steps: of each the session, its tokens, and the position that it is expected at.
        top: how many of the most probable next tokens to tell.
        reads: "tokens"; or "frames" or "samples", which `chunk_of` reads.
    """

    steps: list[tuple[str, Sequence[Any], int | None]]
    top: int
    reads: str = "tokens"

    def without(self, stepped: Stepped, moved: set[str]) -> Stepped:
        """The same, with an error for each session that another server has by now."""
        results, logits = stepped
        if logits is not None:
            read = [id for (id, _, _), (_, error) in zip(self.steps, results, strict=True) if error is None]
            logits = logits[[id not in moved for id in read]]
        results = [
            (0, session_moved(id)) if error is None and id in moved else (position, error)
            for (id, _, _), (position, error) in zip(self.steps, results, strict=True)
        ]
        return results, logits

    def frames_without(self, replies: list[Any], moved: set[str]) -> list[Any]:
        """The same of what sessions of a tagger answer."""
        return [
            session_moved(id) if id in moved and not isinstance(reply, Exception) else reply
            for (id, _, _), reply in zip(self.steps, replies, strict=True)
        ]


class _Step(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One step as JSON has it. Tokens end where 4 bytes do."""

    id: str
    tokens: list[Annotated[int, msgspec.Meta(ge=0, lt=2**31)]] | msgspec.UnsetType = msgspec.UNSET
    frames: list[Any] | msgspec.UnsetType = msgspec.UNSET
    samples: list[Any] | msgspec.UnsetType = msgspec.UNSET
    position: int | None = None


class _Steps(msgspec.Struct, forbid_unknown_fields=True):
    """A body as JSON has it."""

    steps: Annotated[list[_Step], msgspec.Meta(max_length=_MOST)]
    top: Annotated[int, msgspec.Meta(ge=0, le=_MOST_TOP)] = 1


_BODY = msgspec.json.Decoder(_Steps)


def parse_bulk(body: bytes) -> Bulk:
    """Read a body.

    Raises:
        ApiError: it is no such JSON; the message says where.
    """
    try:
        found = _BODY.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        place = where.rstrip("`").lstrip(".") or None
        raise ApiError(
            422, "bad_request", f"{place or 'the body'}: {what[:1].lower()}{what[1:]:.200}", place
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "bad_json", f"the body is no JSON: {error}") from None
    given = {name for name in _READS if found.steps and getattr(found.steps[0], name) is not msgspec.UNSET}
    reads = min(given, default="tokens")
    parts = attrgetter("id", "position", reads, *(name for name in _READS if name != reads))
    steps: list[tuple[str, Sequence[Any], int | None]] = []
    for place, one in enumerate(found.steps):
        id, position, chunk, first, second = parts(one)
        if chunk is msgspec.UNSET or first is not msgspec.UNSET or second is not msgspec.UNSET:
            wanted = f'{{"id": text, "{reads}": [...], "position"?: whole number}}'
            raise ApiError(422, "bad_request", f"steps[{place}] must be {wanted}", f"steps[{place}]")
        steps.append((id, chunk, position))
    return Bulk(steps, found.top, reads)


def compose_bulk(bulk: Bulk, stepped: Stepped, model: TextModel) -> bytes:
    """The answer: for each step its position and the tokens to expect, or what was wrong."""
    results, logits = stepped
    rows = None if logits is None or not bulk.top else zip(*_best(bulk.top, logits), strict=True)
    shown: list[dict[str, Any]] = []
    for (id, _, _), (position, error) in zip(bulk.steps, results, strict=True):
        if error is not None:
            shown.append({"id": id, "status": error.status, **error.body()})
            if error.status in (409, 412):
                shown[-1]["position"] = position
        elif rows is None:
            shown.append({"id": id, "position": position})
        else:
            tokens = [{"token": token, "logprob": log} for token, log in zip(*next(rows), strict=True)]
            shown.append({"id": id, "position": position, "next": tokens})
    return msgspec.json.encode({"model": model.name, "results": shown})


def compose_frames(bulk: Bulk, replies: Sequence[Any], name: str) -> bytes:
    """The same of sessions of a tagger."""
    shown = []
    for (id, _, _), reply in zip(bulk.steps, replies, strict=True):
        if isinstance(reply, Exception):
            error = as_api_error(reply)
            shown.append({"id": id, "status": error.status, **error.body()})
        else:
            shown.append({"id": id, "position": reply["position"], "outputs": reply["outputs"]})
    return msgspec.json.encode({"model": name, "results": shown})


def _best(top: int, logits: NDArray[np.float32]) -> tuple[list[Any], list[Any]]:
    """The most probable tokens of each row of (N, V), and the logarithms of their probabilities."""
    top = min(top, logits.shape[1])
    if top == 1:
        best = logits.argmax(axis=1)[:, None]
    else:
        best = np.argpartition(-logits, top - 1, axis=1)[:, :top]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, 1), axis=1), 1)
    logs = np.take_along_axis(log_softmax(logits), best, 1)
    return best.tolist(), logs.astype(float).round(_DIGITS).tolist()
