"""What operators ask a server: whether it lives, what it serves, what it counts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from throughtime.server.errors import ApiError
from throughtime.server.serving import Serving, serving

router = APIRouter()
ServingHere = Annotated[Serving, Depends(serving)]


@router.get("/health", tags=["operations"])
async def health() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/ready", tags=["operations"], responses={503: {"description": "Not now."}})
async def ready(here: ServingHere) -> Response:
    """Requests are taken."""
    if here.ready:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "draining"}, 503)


@router.get("/metrics", tags=["operations"], response_class=Response)
async def metrics(here: ServingHere) -> Response:
    """Counters in Prometheus's format."""
    return Response(here.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/models", tags=["models"])
async def models(here: ServingHere) -> dict[str, Any]:
    """What is served."""
    return {"object": "list", "data": [_described(here, name) for name in here.runs]}


@router.get("/v1/models/{name:path}", tags=["models"])
async def model(name: str, here: ServingHere) -> dict[str, Any]:
    """One of them."""
    if name not in here.runs:
        raise ApiError(404, "model_not_found", f"there is no model {name!r:.100}", "model")
    return _described(here, name)


def _described(here: Serving, name: str) -> dict[str, Any]:
    run = here.runs[name]
    facts: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": int(here.created),
        "owned_by": "throughtime",
        "task": run.task,
        "precision": run.precision,
    }
    facts["endpoints"] = here.paths(name)
    if name in here.texts:
        facts["fingerprint"] = here.texts[name].model.fingerprint
        facts["vocabulary_size"] = here.texts[name].model.engine.vocabulary_size
    elif here.batchers[name].has_sessions:
        facts["fingerprint"] = here.batchers[name].model.fingerprint
    return facts
