"""`/v1/classify`, `/v1/tag`, `/v1/translate`, `/v1/caption`, `/v1/transcribe` and `/v1/forecast`.

Rows in, answers out, in their order. Requests that wait together are computed together, and what a row is
answered does not depend on its neighbours. One bad row refuses its request, and is named.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from throughtime.server.errors import ApiError
from throughtime.server.prediction_batches import Files, Forecasts, Rows, Upload
from throughtime.server.serving import Serving, serving
from throughtime.server.session_requests import schema_of

_MOST_ROWS = 4096
_MOST_FILES = 256
_WIDEST_BEAM = 100
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
}

router = APIRouter(tags=["predictions"])
ServingHere = Annotated[Serving, Depends(serving)]


class FileRequest(BaseModel):
    """A file in JSON."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=255, description="With its suffix, which says what it is.")
    data: str = Field(description="In base64.")

    def upload(self, number: int) -> Upload:
        """The file itself.

        Raises:
            ApiError: it is no base64.
        """
        head, comma, rest = self.data.partition(",")
        is_url = bool(comma) and head.startswith("data:")
        try:
            content = base64.b64decode(rest if is_url else self.data, validate=True)
        except (binascii.Error, ValueError):
            raise ApiError(400, "bad_base64", f"file {number} is no base64", f"files.{number}.data") from None
        kind = head[5:].partition(";")[0] if is_url else ""
        return Upload(self.name or f"file {number}{_suffix_of(content, kind)}", content)


class Predicting(BaseModel):
    """What every request says."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = Field(None, description="One of /v1/models; needed where several do this.")


class WithRows(Predicting):
    """Rows, or files."""

    inputs: list[Any] | None = Field(None, max_length=_MOST_ROWS, description="A row each.")
    files: list[FileRequest] | None = Field(
        None, max_length=_MOST_FILES, description="Files in place of rows; or send multipart/form-data."
    )


class ClassifyRequest(WithRows):
    """Examples: texts, pairs of texts, vectors, arrays (T, F), or rows with what stands beside them."""

    probabilities: bool = Field(True, description="Tell those of all labels.")


class TagRequest(WithRows):
    """Sentences or lists of words; or clips: arrays (T, F), or samples of sounds."""

    each_frame: bool = Field(False, description="Clips: tell every frame, and not the segments.")


class TranslateRequest(Predicting):
    """Texts."""

    inputs: list[Any] = Field(max_length=_MOST_ROWS, description="Texts.")
    beam: int = Field(5, ge=1, le=_WIDEST_BEAM, description="Beginnings that the search keeps; 1 is greedy.")
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    alternatives: bool = Field(False, description="Tell all that the search found.")


class CaptionRequest(Predicting):
    """Pictures."""

    files: list[FileRequest] = Field(max_length=_MOST_FILES, description="Or send multipart/form-data.")
    beam: int | None = Field(None, ge=1, le=_WIDEST_BEAM)
    length_penalty: float | None = Field(None, ge=0, le=10)
    word_reward: float | None = Field(None, ge=0, le=10)
    consensus: bool | None = Field(None, description="Pick what agrees best with the rest of the beam.")


class TranscribeRequest(WithRows):
    """Recordings: arrays (T, F), samples, or files."""

    beam: int = Field(1, ge=1, le=_WIDEST_BEAM)


class ForecastRequest(Predicting):
    """Recent rows of a table."""

    rows: list[dict[str, Any]] = Field(
        min_length=1, max_length=1_000_000, description="With the columns of the training."
    )
    future: list[dict[str, Any]] | None = Field(
        None, max_length=1_000_000, description="Rows of the steps to come, with what is known ahead."
    )


R = TypeVar("R", bound=Predicting)


def _takes(kind: type[BaseModel], with_files: bool = True) -> dict[str, Any]:
    """What the document says of a body that is read here, as it may be JSON or a form."""
    content: dict[str, Any] = {"application/json": {"schema": schema_of(kind)}}
    if with_files:
        form = {
            "type": "object",
            "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            "required": ["file"],
        }
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


async def _read(request: Request, kind: type[R]) -> tuple[R, list[Upload] | None]:
    """The body: JSON, or a form with files and the same fields."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=_MOST_FILES, max_fields=100) as form:
            files: list[Upload] = []
            fields: dict[str, Any] = {}
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    content = await value.read()
                    kind_of = value.content_type or ""
                    given = value.filename or ""
                    own = given if "." in given else given + _suffix_of(content, kind_of)
                    files.append(Upload(own, content))
                else:
                    fields[name] = value
        if not files:
            raise ApiError(422, "no_file", "the form has no file", "file")
        return _checked(kind, {"files": [], **fields} if "files" in kind.model_fields else fields), files
    try:
        values = await request.json()
    except (ValueError, RecursionError):
        raise ApiError(422, "bad_json", "the body is no JSON") from None
    found = _checked(kind, values)
    given_files: list[FileRequest] | None = getattr(found, "files", None)
    if given_files is None:
        return found, None
    return found, [one.upload(number) for number, one in enumerate(given_files)]


def _checked(kind: type[R], values: Any) -> R:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ApiError(
            422, "bad_request", f"{where}: {first['msg']}" if where else first["msg"], where or None
        ) from None


def _suffix_of(content: bytes, kind: str) -> str:
    """What a file without a name is, by its type, or by its first bytes."""
    if kind in _SUFFIXES:
        return _SUFFIXES[kind]
    beginnings = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".wav"), (b"fLaC", ".flac"))
    beginnings += ((b"OggS", ".ogg"), (b"\x93NUMPY", ".npy"), (b"GIF8", ".gif"), (b"BM", ".bmp"))
    return next((suffix for start, suffix in beginnings if content.startswith(start)), "")


async def _predict(
    here: Serving, verb: str, request: Predicting, files: Sequence[Upload] | None, **options: Any
) -> JSONResponse:
    host, predictor = here.predictor(verb, request.model)
    rows = getattr(request, "inputs", None)
    given = tuple(options.items())
    if files is not None and rows is not None:
        raise ApiError(400, "two_inputs", "give inputs or files, not both", "files")
    if files is not None:
        results = await host.ask(Files(predictor, given), files, len(files))
    elif rows is None:
        raise ApiError(400, "no_input", f"give inputs: {predictor.wanted} each", "inputs")
    else:
        results = await host.ask(Rows(predictor, given), rows, len(rows))
    return JSONResponse({"object": f"{verb}.results", "model": host.name, "results": results})


@router.post("/v1/classify", openapi_extra=_takes(ClassifyRequest))
async def classify(request: Request, here: ServingHere) -> JSONResponse:
    """The label, the labels or the number of each example."""
    body, files = await _read(request, ClassifyRequest)
    return await _predict(here, "classify", body, files, probabilities=body.probabilities)


@router.post("/v1/tag", openapi_extra=_takes(TagRequest))
async def tag(request: Request, here: ServingHere) -> JSONResponse:
    """The tags of the words of each sentence; or the segments, or frames, of each clip."""
    body, files = await _read(request, TagRequest)
    options = {"each_frame": True} if body.each_frame else {}
    return await _predict(here, "tag", body, files, **options)


@router.post("/v1/translate")
async def translate(body: TranslateRequest, here: ServingHere) -> JSONResponse:
    """Each text in the other language."""
    names = ("beam", "length_penalty", "coverage_penalty", "alternatives")
    return await _predict(here, "translate", body, None, **{name: getattr(body, name) for name in names})


@router.post("/v1/caption", openapi_extra=_takes(CaptionRequest))
async def caption(request: Request, here: ServingHere) -> JSONResponse:
    """A sentence for each picture."""
    body, files = await _read(request, CaptionRequest)
    names = ("beam", "length_penalty", "word_reward", "consensus")
    return await _predict(here, "caption", body, files, **{name: getattr(body, name) for name in names})


@router.post("/v1/transcribe", openapi_extra=_takes(TranscribeRequest))
async def transcribe(request: Request, here: ServingHere) -> JSONResponse:
    """The text of each recording, and when each word begins."""
    body, files = await _read(request, TranscribeRequest)
    return await _predict(here, "transcribe", body, files, beam=body.beam)


@router.post("/v1/forecast")
async def forecast(body: ForecastRequest, here: ServingHere) -> JSONResponse:
    """How the series of a table go on."""
    host, run = here.forecaster(body.model)
    rows = await host.ask(Forecasts(run), (body.rows, body.future), 1)
    return JSONResponse({"object": "forecast.results", "model": host.name, "results": rows})
