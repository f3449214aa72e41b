"""`/v2`: the KServe v2 protocol, with Triton's sequences and binary data, so that its clients work unchanged.

Errors are `{"error": "..."}` here, as these clients read them.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from throughtime import __version__
from throughtime.server.errors import ApiError
from throughtime.server.kserve_models import TensorModel, tensor_model
from throughtime.server.kserve_tensors import HEADER, compose_inference, read_inference
from throughtime.server.serving import Serving, serving

PREFIX = "/v2"
_EXTENSIONS = [
    "sequence",
    "sequence(string_id)",
    "binary_tensor_data",
    "statistics",
    "model_configuration",
    "model_repository",
]
_VERSION = "1"
_MICROSECONDS = 1_000_000

router = APIRouter(prefix=PREFIX, tags=["kserve"])
ServingHere = Annotated[Serving, Depends(serving)]


class Counts:
    """What was asked of a model through this protocol."""

    def __init__(self) -> None:
        self.done = self.failed = self.done_ns = self.failed_ns = self.rows = 0
        self.last = 0.0

    def add(self, ns: int, rows: int) -> None:
        """A request is over; of one that failed there are no rows."""
        if rows:
            self.done, self.done_ns, self.last = self.done + 1, self.done_ns + ns, time.time()
            self.rows += rows
        else:
            self.failed, self.failed_ns = self.failed + 1, self.failed_ns + ns

    def described(self, name: str) -> dict[str, Any]:
        """As the extension "statistics" has it. Requests wait and compute in one thread: that is one time."""
        none = {"count": 0, "ns": 0}
        # Each request passed through these; perf_analyzer finds a model's version by the count of the queue.
        untimed = {"count": self.done, "ns": 0}
        return {
            "name": name,
            "version": _VERSION,
            "last_inference": int(self.last * 1000),
            "inference_count": self.rows,
            "execution_count": self.done,
            "inference_stats": {
                "success": {"count": self.done, "ns": self.done_ns},
                "fail": {"count": self.failed, "ns": self.failed_ns},
                "queue": untimed,
                "compute_input": untimed,
                "compute_infer": {"count": self.done, "ns": self.done_ns},
                "compute_output": untimed,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
        }


@router.get("")
async def server() -> dict[str, Any]:
    """What this is."""
    return {"name": "throughtime", "version": __version__, "extensions": _EXTENSIONS}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """The process lives."""
    return {"live": True}


@router.get("/health/ready", responses={503: {"description": "Not now."}})
async def ready(here: ServingHere) -> Response:
    """Requests are taken."""
    return JSONResponse({"ready": here.ready}, 200 if here.ready else 503)


@router.post("/repository/index")
async def index(here: ServingHere) -> list[dict[str, str]]:
    """What is served."""
    return [{"name": name, "version": _VERSION, "state": "READY", "reason": ""} for name in here.runs]


@router.get("/models/stats")
async def every_count(here: ServingHere) -> dict[str, Any]:
    """The counts of all models."""
    return {"model_stats": [_counts(here, name).described(name) for name in here.runs]}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def metadata(name: str, here: ServingHere, version: str = _VERSION) -> dict[str, Any]:
    """What a model reads and says."""
    model = _model(here, name, version)
    return {
        "name": name,
        "versions": [_VERSION],
        "platform": f"throughtime_{here.runs[name].task}",
        "inputs": [one.described() for one in model.inputs],
        "outputs": [one.described() for one in model.outputs],
    }


@router.get("/models/{name}/ready", responses={503: {"description": "Not now."}})
@router.get("/models/{name}/versions/{version}/ready", responses={503: {"description": "Not now."}})
async def model_ready(name: str, here: ServingHere, version: str = _VERSION) -> Response:
    """A model takes requests."""
    _model(here, name, version)
    return JSONResponse({"name": name, "ready": here.ready}, 200 if here.ready else 503)


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{version}/config")
async def config(name: str, here: ServingHere, version: str = _VERSION) -> dict[str, Any]:
    """A model's configuration, as Triton would have it."""
    model = _model(here, name, version)
    facts: dict[str, Any] = {
        "name": name,
        "platform": f"throughtime_{here.runs[name].task}",
        "backend": "throughtime",
        "version_policy": {"latest": {"num_versions": 1}},
        # Shapes say where rows stand, and requests of any size share batches.
        "max_batch_size": 0,
        "input": [one.configured() for one in model.inputs],
        "output": [one.configured() for one in model.outputs],
        "model_transaction_policy": {"decoupled": False},
    }
    if model.follows:
        idle = int(here.limits.time_to_live * _MICROSECONDS)
        facts["sequence_batching"] = {
            "oldest": {"max_candidate_sequences": here.limits.streams},
            "max_sequence_idle_microseconds": idle,
            "control_input": [],
        }
    return facts


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{version}/stats")
async def counts(name: str, here: ServingHere, version: str = _VERSION) -> dict[str, Any]:
    """A model's counts."""
    _model(here, name, version)
    return {"model_stats": [_counts(here, name).described(name)]}


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["inputs"]}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/models/{name}/infer", openapi_extra=_BODY)
@router.post("/models/{name}/versions/{version}/infer", openapi_extra=_BODY)
async def infer(request: Request, name: str, here: ServingHere, version: str = _VERSION) -> Response:
    """Tensors in, tensors out; with a sequence_id the model goes on where the sequence stands."""
    model = _model(here, name, version)
    begin, rows = time.perf_counter_ns(), 0
    try:
        inference = read_inference(await request.body(), request.headers.get(HEADER), model.inputs)
        found = await model.infer(inference)
        body, headers = compose_inference(name, inference, found)
        rows = max(len(next(iter(inference.inputs.values()))), 1)
    finally:
        _counts(here, name).add(time.perf_counter_ns() - begin, rows)
    return Response(body, headers=headers)


def _model(here: Serving, name: str, version: str) -> TensorModel:
    model = tensor_model(here, name)
    if version != _VERSION:
        raise ApiError(404, "model_not_found", f"{name} has version {_VERSION} only", "version")
    return model


def _counts(here: Serving, name: str) -> Counts:
    return here.counts.setdefault(name, Counts())
