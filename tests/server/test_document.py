"""The OpenAPI document: programs that are written from it, and one that tries to break the server with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.conftest import Server


def test_every_route_is_in_the_document(others: Server) -> None:
    document = others.http.get("/openapi.json").json()
    paths = set(document["paths"])
    assert {"/v1/classify", "/v1/tag", "/v1/translate", "/v1/caption", "/v1/sessions:step"} <= paths
    assert {"/v2", "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"} <= paths
    form = document["paths"]["/v1/caption"]["post"]["requestBody"]["content"]
    assert set(form) == {"application/json", "multipart/form-data"}
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))


@pytest.mark.slow  # hundreds of requests
def test_no_request_that_the_document_allows_makes_the_server_fail(
    text_run: Path, other_runs: dict[str, Path], tmp_path: Path, start: Callable[..., Server]
) -> None:
    pytest.importorskip("schemathesis")
    server = start({"bytes": text_run, **other_runs})
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--max-examples", "8", "--seed", "1"]
    # One worker: in two threads ast.parse of Python 3.11 now and then loses count of its recursion.
    command += ["--request-timeout", "30", "--workers", "1", "--generation-database", "none"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
