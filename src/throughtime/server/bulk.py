"""Steps of thousands of sessions in one body, read and written without an object for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from throughtime.arrays import log_softmax
from throughtime.server.errors import ApiError, session_moved
from throughtime.server.replies import as_api_error, to_json
from throughtime.server.text_model import TextModel

_MOST = 100_000
_MOST_TOP = 100
_FIELDS = {"id", "tokens", "position"}
# Where tokens end in 4 bytes.
_TOKENS_END = 2**31


# Of a step: the position afterwards, what was wrong, and the logits (V,).
Result = tuple[int, ApiError | None, Any]


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

    def without(self, results: list[Result], moved: set[str]) -> list[Result]:
        """The results, with an error for each session that another server has by now."""
        return [
            (0, session_moved(id), None) if error is None and id in moved else (position, error, logits)
            for (id, _, _), (position, error, logits) in zip(self.steps, results, strict=True)
        ]

    def frames_without(self, replies: list[Any], moved: set[str]) -> list[Any]:
        """The same of what sessions of a tagger answer."""
        return [
            session_moved(id) if id in moved and not isinstance(reply, Exception) else reply
            for (id, _, _), reply in zip(self.steps, replies, strict=True)
        ]


def parse_bulk(body: bytes) -> Bulk:
    """Read a body.

    Raises:
        ApiError: it is no such JSON; the message says where.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "bad_json", f"the body is no JSON: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("steps"), list):
        raise ApiError(
            422, "bad_request", 'the body must be {"steps": [{"id": ..., "tokens": [...]}...]}', "steps"
        )
    if unknown := set(values) - {"steps", "top"}:
        raise ApiError(422, "bad_request", f"unknown field {min(unknown)!r:.60}", min(unknown)[:60])
    top = values.get("top", 1)
    if type(top) is not int or not 0 <= top <= _MOST_TOP:
        raise ApiError(422, "bad_request", f"top must be a whole number from 0 to {_MOST_TOP}", "top")
    if len(values["steps"]) > _MOST:
        raise ApiError(422, "bad_request", f"a body may hold {_MOST:,} steps at most", "steps")
    steps = values["steps"]
    first = steps[0] if steps and type(steps[0]) is dict else {}
    for reads in ("frames", "samples"):
        if reads in first:
            return Bulk([_chunk(one, f"steps[{k}]", reads) for k, one in enumerate(steps)], top, reads)
    return Bulk([_step(one, f"steps[{place}]") for place, one in enumerate(steps)], top)


def _chunk(value: Any, where: str, reads: str) -> tuple[str, Sequence[Any], int | None]:
    """One step of a tagger: the session, its frames or samples, and the position that it is expected at."""
    one = value if type(value) is dict else {}
    id, values, position = one.get("id"), one.get(reads), one.get("position")
    if type(id) is not str or type(values) is not list or not {"id", reads, "position"}.issuperset(one):
        wanted = f'{{"id": text, "{reads}": [numbers], "position"?: whole number}}'
        raise ApiError(422, "bad_request", f"{where} must be {wanted}", where)
    if position is not None and type(position) is not int:
        raise ApiError(422, "bad_request", f"{where}.position must be a whole number", where)
    return id, values, position


def _step(value: Any, where: str) -> tuple[str, Sequence[int], int | None]:
    """One step: the session, its tokens, and the position that it is expected at."""
    one = value if type(value) is dict else {}
    id, tokens, position = one.get("id"), one.get("tokens"), one.get("position")
    if type(id) is not str or type(tokens) is not list or not _FIELDS.issuperset(one):
        wanted = '{"id": text, "tokens": [whole numbers], "position"?: whole number}'
        raise ApiError(422, "bad_request", f"{where} must be {wanted}", where)
    if set(map(type, tokens)) - {int} or (tokens and not 0 <= min(tokens) <= max(tokens) < _TOKENS_END):
        raise ApiError(422, "bad_request", f"{where}.tokens must be whole numbers, 0 or above", where)
    if position is not None and type(position) is not int:
        raise ApiError(422, "bad_request", f"{where}.position must be a whole number", where)
    return id, tokens, position


def compose_bulk(bulk: Bulk, results: Sequence[tuple[int, ApiError | None, Any]], model: TextModel) -> bytes:
    """The answer: for each step its position and the tokens to expect, or what was wrong."""
    best, logs = _best(bulk.top, results)
    shown: list[bytes] = []
    row = 0
    for (id, _, _), (position, error, logits) in zip(bulk.steps, results, strict=True):
        if error is not None:
            body = {"id": id, "status": error.status, **error.body()}
            shown.append(to_json({**body, "position": position} if error.status in (409, 412) else body))
            continue
        if logits is None:
            shown.append(b'{"id":"%s","position":%d}' % (id.encode(), position))
            continue
        tokens = b",".join(
            b'{"token":%d,"logprob":%.6g}' % pair for pair in zip(best[row], logs[row], strict=True)
        )
        shown.append(b'{"id":"%s","position":%d,"next":[%s]}' % (id.encode(), position, tokens))
        row += 1
    return b'{"model":%s,"results":[%s]}' % (to_json(model.name), b",".join(shown))


def compose_frames(bulk: Bulk, replies: Sequence[Any], name: str) -> bytes:
    """The same of sessions of a tagger."""
    shown = []
    for (id, _, _), reply in zip(bulk.steps, replies, strict=True):
        if isinstance(reply, Exception):
            error = as_api_error(reply)
            shown.append({"id": id, "status": error.status, **error.body()})
        else:
            shown.append({"id": id, "position": reply["position"], "outputs": reply["outputs"]})
    return to_json({"model": name, "results": shown})


def _best(top: int, results: Sequence[tuple[int, ApiError | None, Any]]) -> tuple[list[Any], list[Any]]:
    """The most probable tokens of each that has logits, and the logarithms of their probabilities."""
    rows = [logits for _, error, logits in results if error is None and logits is not None]
    if not rows or not top:
        return [], []
    logits = np.stack(rows)
    top = min(top, logits.shape[1])
    if top == 1:
        best = logits.argmax(axis=1)[:, None]
    else:
        best = np.argpartition(-logits, top - 1, axis=1)[:, :top]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, 1), axis=1), 1)
    logs = np.take_along_axis(log_softmax(logits), best, 1)
    return best.tolist(), logs.astype(float).tolist()
