"""What calls of sessions say, and how that is checked. For the routes see sessions.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from throughtime.errors import DataError
from throughtime.runtime.sampling import SamplingOptions
from throughtime.server.errors import ApiError
from throughtime.server.predictors import as_array

if TYPE_CHECKING:
    from throughtime.server.frame_model import FrameModel

MOST_TOKENS = 1_000_000
_LONGEST_LIFE = 10 * 365 * 24 * 3600.0
_SHOWN = 5


class Sampling(BaseModel):
    """How tokens are drawn; what is left out is as `throughtime sample` has it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: float | None = Field(None, description="Below 1 safer, above 1 bolder, 0 greedy.")
    top_p: float | None = Field(None, description="Draw from the top tokens that hold this probability.")
    top_k: int | None = Field(None, description="Draw from the k most probable tokens only; 0 is off.")
    min_p: float | None = Field(None, description="Drop tokens below this share of the best one's chance.")
    repetition_penalty: float | None = Field(
        None, description="Above 1: less likely once they have occurred."
    )

    def sampling(self, otherwise: SamplingOptions | None = None) -> SamplingOptions:
        """The options of the draws.

        Raises:
            OptionError: one is out of its range.
        """
        start = otherwise or SamplingOptions()
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        given = {name: getattr(self, name) for name in names}
        return SamplingOptions(
            **{name: getattr(start, name) if value is None else value for name, value in given.items()}
        )


class CreateRequest(Sampling):
    """A new session."""

    model: str | None = Field(None, description="One of /v1/models; needed where there are several.")
    prompt: str | list[int] | None = Field(None, description="What it reads at once.")
    seed: int | None = Field(None, ge=0, lt=2**63)
    conditions: dict[str, Any] | None = Field(None, description="Lines: what steers them.")
    ttl: float | None = Field(None, gt=0, le=_LONGEST_LIFE, description="Seconds after its last call.")
    metadata: dict[str, str] | None = Field(None, description="Kept, and given back.")

    def refuse_all_but(self, names: Sequence[str], why: str) -> None:
        """Refuse what would have no effect.

        Raises:
            ApiError: another field is given.
        """
        refuse_fields(self, [one for one in type(self).model_fields if one not in ("model", *names)], why)


class Changing(BaseModel):
    """What every call that changes a session may say."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    position: int | None = Field(None, ge=0, description="Where the session has to be; else 412.")


class GenerateRequest(Changing, Sampling):
    """Text to write."""

    max_tokens: int = Field(16, ge=0, le=MOST_TOKENS)
    prompt: str | list[int] | None = Field(None, description="What it reads first.")
    stop: str | list[str] | None = Field(None, description="Ends before the first of these, and has read it.")
    stream: bool = False


class StepRequest(Changing):
    """What a session reads: tokens or a text, frames of numbers, or samples of a sound."""

    tokens: list[int] | None = Field(None, description="Language models: what it reads.")
    text: str | None = Field(None, description="The same as a text.")
    top: int = Field(_SHOWN, ge=0, le=1000, description="How many of the most probable next tokens to tell.")
    logits: bool = Field(False, description="Tell the logits of all tokens.")
    frames: list[Any] | None = Field(None, description="Taggers: frames, a list of F numbers each.")
    samples: list[Any] | None = Field(None, description="Taggers of sounds: samples from -1 to 1.")
    probabilities: bool = Field(False, description="Taggers: tell those of all labels.")


class ForkRequest(Changing):
    """A copy."""

    count: int = Field(1, ge=1, le=1000)
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Seeds the copies' draws; else they draw the same."
    )


def refuse_fields(request: BaseModel, names: Sequence[str], why: str) -> None:
    """Refuse what would have no effect.

    Raises:
        ApiError: one of these fields is given.
    """
    for name in names:
        if name in request.model_fields_set and getattr(request, name) is not None:
            raise ApiError(400, "wrong_task", f"{name} has no effect here, as {why}: leave it out", name)


def chunk_of(values: Any, reads: str, width: int) -> NDArray[np.float32]:
    """Numbers that a stream reads, from lists of JSON.

    Args:
        values: frames (N, F) or samples (N,).
        reads: "frames" or "samples".
        width: F.
    Raises:
        ApiError: they are none.
    """
    empty = np.zeros((0, width) if reads == "frames" else 0, np.float32)
    if isinstance(values, list) and not values:
        return empty
    try:
        array = as_array(values)
    except DataError as error:
        raise ApiError(400, "bad_frames", str(error), reads) from None
    if array.shape[1:] != empty.shape[1:]:
        expected = f"(N, {width})" if reads == "frames" else "(N,)"
        raise ApiError(
            400, "bad_frames", f"{reads} of shape {array.shape}, and this model reads {expected}", reads
        )
    return array


@dataclass(frozen=True)
class FrameStep:
    """What one session reads.

    Args:
        id: the session.
        chunk: frames (N, F), or samples (N,).
        position: where it is expected; None is anywhere.
        probabilities: tell those of all labels.
        key, digest: of a call that may come again.
        retried: whether it has come before, as its client says.
    """

    id: str
    chunk: NDArray[np.float32]
    position: int | None = None
    probabilities: bool = False
    key: str = ""
    digest: str = ""
    retried: bool = False


def frame_step(
    model: FrameModel, id: str, request: StepRequest, position: int | None, key: str | None, retried: bool
) -> FrameStep:
    """What a session of a tagger is to read.

    Raises:
        ApiError: it is nothing that it reads.
    """
    others = [one for one in ("tokens", "text", "frames", "samples", "top", "logits") if one != model.reads]
    refuse_fields(request, others, f"{model.name} reads {model.reads}")
    values = getattr(request, model.reads)
    if values is None:
        raise ApiError(400, "no_input", f"give {model.reads}", model.reads)
    chunk = chunk_of(values, model.reads, model.width)
    digest = digest_of(request.model_dump(exclude={"position"})) if key else ""
    return FrameStep(id, chunk, position, request.probabilities, key or "", digest, retried)


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """What a body that a route reads by itself is, as the OpenAPI document has it, all in one piece."""
    schema = kind.model_json_schema()
    parts = schema.pop("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return inline(parts[value["$ref"].rpartition("/")[2]])
            return {name: inline(one) for name, one in value.items()}
        return [inline(one) for one in value] if isinstance(value, list) else value

    return inline(schema)


def digest_of(body: Any) -> str:
    """What tells one call from another."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def id_of(model: Any, *what: str) -> str:
    """The name that a client's own words give a session."""
    return f"ses-{model.fingerprint[:8]}-{digest_of(list(what))[:24]}"
