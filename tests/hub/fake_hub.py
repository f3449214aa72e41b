"""A Hub of a few routes on loopback: enough for upload_folder and snapshot_download of huggingface_hub."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class FakeHub:
    """What the Hub keeps, and what it was asked.

    Attributes:
        repositories: by name: files by path.
        asked: method and path of each request.
        url: for HF_ENDPOINT.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.url = ""

    def commit_of(self, repository: str) -> str:
        """The commit: as many digits as one has, and others for other files."""
        content = json.dumps({name: _etag(file) for name, file in self.repositories[repository].items()})
        return hashlib.sha1(content.encode()).hexdigest()


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve one until the end."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        self._answer()

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.asked.append(f"{self.command} {path}")
        parts = path.split("/")
        if parts[:3] == ["api", "repos", "create"]:
            made = json.loads(body)
            name = f"{made['organization']}/{made['name']}" if made.get("organization") else made["name"]
            self.hub.repositories.setdefault(name, {})
            return self._json({"url": f"{self.hub.url}/{name}", "id": name})
        if path == "api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:], body)
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), "/".join(parts[4:]))
        return self._json({"error": "not found"}, 404)

    def _api(self, repository: str, rest: list[str], body: bytes) -> None:
        files = self.hub.repositories.get(repository)
        if files is None:
            return self._json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        commit = self.hub.commit_of(repository)
        if rest[:1] == ["preupload"]:
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]
            return self._json({"files": modes})
        if rest[:1] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.hub.url}/{repository}/commit/{self.hub.commit_of(repository)}"
            return self._json(
                {"commitUrl": url, "commitOid": self.hub.commit_of(repository), "success": True}
            )
        if rest[:1] == ["tree"]:
            return self._json(
                [{"type": "file", "path": p, "size": len(c), "oid": _etag(c)} for p, c in files.items()]
            )
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        return self._json({"id": repository, "modelId": repository, "sha": commit, "siblings": siblings})

    def _file(self, repository: str, path: str) -> None:
        content = self.hub.repositories.get(repository, {}).get(path)
        if content is None:
            return self._json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": self.hub.commit_of(repository)}
        return self._send(content, 200, "application/octet-stream", headers)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, "application/json", headers)

    def _send(self, content: bytes, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
