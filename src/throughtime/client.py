"""A client for `throughtime serve` that needs nothing but Python, and neither loses nor repeats a call.

Every call that changes a session carries the position that the client knows, and a key of its own. Where a
connection breaks, the same call goes out again with the same key, and the server tells what it has already
done.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from throughtime.errors import OptionError, ThroughtimeError

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
# Statuses of servers and proxies that say nothing about the call itself.
_AGAIN = (429, 502, 503, 504)
# Calls that change nothing, and may be made again without a key.
_STATELESS = frozenset(
    f"/v1/{verb}"
    for verb in ("completions", "classify", "tag", "translate", "caption", "transcribe", "forecast")
)
# What ends a stream in its middle, and may be over in a moment: another server has the session, or will.
_BROKEN_OFF = {"session_moved", "store_unreachable", "shutting_down"}


class RemoteError(ThroughtimeError):
    """A server has refused a call, or cannot be reached.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        code: a word for it, as "wrong_position".
        position: of the session, where the server told it.
    """

    def __init__(self, message: str, status: int = 0, code: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.position = status, code, position


class Client:
    """A server's models and sessions. Not for several threads at once: each takes a client of its own.

    Example:
        with Client("http://127.0.0.1:8000") as client:
            session = client.session(prompt="ROMEO:", seed=1, temperature=0.8)
            print(session.write(200))
            for piece in session.stream(200):
                print(piece, end="")

    Args:
        address: http://HOST:PORT or https://HOST:PORT.
        token: a bearer token, where the server asks for one.
        timeout: seconds without a byte after which a connection counts as broken.
        patience: seconds for which a call is tried again while the server cannot be reached.
    Raises:
        OptionError: it is no such address.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        token: str | None = None,
        timeout: float = 60.0,
        patience: float = 30.0,
    ) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OptionError(f"{address!r:.100} is no address of a server: give http://HOST:PORT")
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout)
        self._base = parts.path.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._patience = patience
        self._answer: http.client.HTTPResponse | None = None

    # ---- models

    def models(self) -> list[dict[str, Any]]:
        """What the server serves."""
        return self.call("GET", "/v1/models")["data"]

    def complete(
        self, prompt: str = "", max_tokens: int = 200, model: str | None = None, **options: Any
    ) -> str:
        """A text that goes on with the prompt; options as of /v1/completions."""
        model = model or self.models()[0]["id"]
        body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, **options}
        return self.call("POST", "/v1/completions", body)["choices"][0]["text"]

    # ---- predictions

    def predict(
        self,
        verb: str,
        inputs: Iterable[Any] | None = None,
        files: Iterable[str | Path] | None = None,
        model: str | None = None,
        **options: Any,
    ) -> list[Any]:
        """What a model says of rows or of files, in their order.

        Args:
            verb: what it does: classify, tag, translate, caption or transcribe.
            inputs: texts, rows, or arrays (T, F).
            files: pictures, sounds or arrays on this machine, in place of rows.
            model: needed where the server has several that do this.
            **options: as of the server, such as beam.
        Raises:
            OptionError: an input is nothing that JSON can hold.
            RemoteError: it is refused, or there is no answer.
            OSError: a file cannot be read.
        """
        body: dict[str, Any] = {"model": model, **options}
        if inputs is not None:
            body["inputs"] = list(inputs)
        if files is not None:
            body["files"] = [_file(Path(file)) for file in files]
        return self.call("POST", f"/v1/{verb}", body)["results"]

    def forecast(
        self,
        rows: Iterable[Mapping[str, Any]],
        future: Iterable[Mapping[str, Any]] | None = None,
        model: str | None = None,
    ) -> list[Any]:
        """How the series of a table go on.

        Args:
            rows: the recent ones, with the columns of the training.
            future: rows of the steps to come, with what is known ahead.
            model: needed where the server has several forecasters.
        Raises:
            RemoteError: it is refused, or there is no answer.
        """
        body = {"model": model, "rows": list(rows), "future": None if future is None else list(future)}
        return self.call("POST", "/v1/forecast", body)["results"]

    # ---- sessions

    def session(
        self,
        prompt: str | Sequence[int] = "",
        model: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> RemoteSession:
        """A new session.

        Args:
            prompt: what it reads at once.
            model: needed where the server has several.
            seed: of its draws; None draws one.
            **options: temperature, top_k, top_p, min_p, repetition_penalty, conditions, ttl, metadata.
        """
        body = {"model": model, "prompt": prompt or None, "seed": seed, **options}
        return RemoteSession(self, self.call("POST", "/v1/sessions", body, key=_key()))

    def open(self, id: str) -> RemoteSession:
        """A session that is there."""
        return RemoteSession(self, self.call("GET", f"/v1/sessions/{id}"))

    # ---- calls

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> Any:
        """One call, tried again while the server cannot be reached. The answer is JSON, or bytes.

        Args:
            key: makes it safe to try a changing call again; without, only reading ones are.
        Raises:
            RemoteError: it is refused, or there is no answer.
        """
        again = key is not None or method == "GET" or path in _STATELESS
        for number, wait in enumerate(self._waits(again)):
            try:
                with_key = {} if key is None else {"idempotency-key": key}
                answer = self._send(method, path, body, {**with_key, **headers})
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if wait is None:
                    raise RemoteError(f"no answer from the server: {error}") from None
            else:
                if answer.status < 400:
                    is_json = answer.headers.get_content_type() == "application/json"
                    return json.loads(content) if is_json else content
                if wait is None or not _comes_again(answer, content, number > 0):
                    raise _refused(answer.status, content)
                wait = float(answer.headers.get("retry-after") or wait)
            time.sleep(min(wait, _LONGEST_WAIT))
        raise AssertionError("the last wait is None")

    def _waits(self, again: bool) -> Iterator[float | None]:
        """Seconds to wait before each next try; None after the last. A first failure begins the patience."""
        wait = _FIRST_WAIT
        if again and self._patience > 0:
            yield wait
            end = time.monotonic() + self._patience
            while time.monotonic() + wait < end:
                yield wait
                wait = min(2 * wait, _LONGEST_WAIT)
        yield None

    def events(self, path: str, body: Any, key: str) -> Iterator[dict[str, Any]]:
        """The events of a call. A stream that breaks is taken up again, from its first event.

        Raises:
            RemoteError: it is refused, or there is no answer.
        """
        waits, furthest, broke = self._waits(True), -1, False
        while True:
            wait = next(waits)
            try:
                answer = self._send("POST", path, body, {"idempotency-key": key})
                if answer.status >= 400:
                    content = answer.read()
                    if wait is None or not _comes_again(answer, content, broke):
                        raise _refused(answer.status, content)
                else:
                    for event in _events(answer):
                        if event is None:
                            return
                        if event.get("position", -1) > furthest:  # it goes on: patience begins anew
                            furthest, waits = event["position"], self._waits(True)
                            wait = next(waits)
                        yield event
                    self._connection.close()
                    if wait is None:
                        raise RemoteError("the server broke the stream off")
                    yield {"again": True}
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if wait is None:
                    raise RemoteError(f"no answer from the server: {error}") from None
                yield {"again": True}
            except GeneratorExit:  # nobody reads the rest: the server is not to write it
                self._connection.close()
                raise
            broke = True
            time.sleep(wait)

    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        content = (
            body if isinstance(body, bytes) or body is None else json.dumps(body, default=_as_lists).encode()
        )
        if self._answer is not None and not self._answer.isclosed():
            self._connection.close()  # a stream is still on its way, and this call would stand behind it
        self._connection.request(method, self._base + path, content, {**self._headers, **headers})
        self._answer = answer = self._connection.getresponse()
        if answer.length is None and not answer.chunked:
            # A connection that ends inside the headers leaves an answer that looks whole.
            raise http.client.IncompleteRead(b"")
        return answer

    def close(self) -> None:
        """End the connection; sessions stay."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class RemoteSession:
    """A session on a server.

    Attributes:
        id: its name.
        position: tokens, frames or samples read so far, as of the last answer.
    """

    def __init__(self, client: Client, facts: Mapping[str, Any]) -> None:
        self._client = client
        self.id: str = facts["id"]
        self.position: int = facts["position"]
        self.facts = dict(facts)

    def _call(self, what: str, body: Mapping[str, Any]) -> Any:
        full = {**body, "position": self.position}
        reply = self._client.call("POST", f"/v1/sessions/{self.id}/{what}", full, key=_key())
        return reply

    def read(self, text: str | Sequence[int], top: int = 5) -> list[dict[str, Any]]:
        """Read a text or tokens; the most probable next tokens, each with its log-probability."""
        given = {"text": text} if isinstance(text, str) else {"tokens": list(text)}
        reply = self._call("step", {**given, "top": top})
        self.position = reply["position"]
        return reply.get("next", [])

    def feed(self, chunk: Any, probabilities: bool = False) -> list[dict[str, Any]]:
        """Read frames, and hear what each is; for a tagger.

        Args:
            chunk: numbers (N, F), or samples (N,) of a sound; lists or an array.
            probabilities: tell those of all labels.
        Returns:
            A label with its number for each frame that is complete by now, as `run.session().feed` gives it.
        """
        numbers = list(chunk)
        if not numbers:
            return []
        # A sound's samples are single numbers.
        name = "frames" if hasattr(numbers[0], "__len__") else "samples"
        reply = self._call("step", {name: numbers, "probabilities": probabilities})
        self.position = reply["position"]
        return reply["outputs"]

    def write(self, tokens: int, **options: Any) -> str:
        """Write up to so many tokens; options: stop, temperature..."""
        reply = self._call("generate", {"max_tokens": tokens, **options})
        self.position = reply["position"]
        return reply["text"]

    def stream(self, tokens: int, **options: Any) -> Iterator[str]:
        """The same, each piece as it comes. A broken connection is taken up where it broke.

        Where you leave it early, the server may have written more than came: see `refresh`.
        """
        body = {"max_tokens": tokens, "stream": True, "position": self.position, **options}
        told, seen = 0, 0
        for event in self._client.events(f"/v1/sessions/{self.id}/generate", body, _key()):
            if "again" in event:
                seen = 0
                continue
            text = event.get("text", "")
            seen += len(text)
            new = text[len(text) - max(seen - told, 0) :] if seen > told else ""
            told = max(told, seen)
            self.position = event.get("position", self.position)
            if new:
                yield new

    def fork(self, seed: int | None = None) -> RemoteSession:
        """A copy that goes its own way from here."""
        body = {"seed": seed, "position": self.position}
        return RemoteSession(self._client, self._client.call("POST", f"/v1/sessions/{self.id}/fork", body))

    def snapshot(self) -> bytes:
        """All that going on exactly here needs."""
        return self._client.call("GET", f"/v1/sessions/{self.id}/snapshot")

    def restore(self, snapshot: bytes) -> None:
        """Stand where a snapshot was taken."""
        reply = self._client.call(
            "PUT",
            f"/v1/sessions/{self.id}/snapshot",
            snapshot,
            headers={"content-type": "application/octet-stream"},
        )
        self.position = reply["position"]

    def refresh(self) -> int:
        """Ask the server for the position, as after an error, or after a stream that you left early."""
        self.facts = self._client.call("GET", f"/v1/sessions/{self.id}")
        self.position = self.facts["position"]
        return self.position

    def delete(self) -> None:
        """End it."""
        self._client.call("DELETE", f"/v1/sessions/{self.id}")


def _as_lists(value: Any) -> Any:
    """An array, wherever it stands in a body, as JSON can hold it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise OptionError(f"{type(value).__name__} is nothing that JSON can hold: give texts, numbers and lists")


def _file(path: Path) -> dict[str, str]:
    return {"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()}


def _key() -> str:
    return secrets.token_hex(12)


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any] | None]:
    """The events of an answer; None where it came to its end, and was not broken off."""
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            answer.read()
            yield None
            return
        event = json.loads(data)
        if "error" in event:
            if event["error"].get("code") in _BROKEN_OFF:
                return
            raise _refused(500, data)
        yield event


def _comes_again(answer: http.client.HTTPResponse, content: bytes, broke: bool) -> bool:
    """The same call may be answered otherwise in a moment.

    Args:
        answer, content: what it was answered.
        broke: it went out before, and its answer did not come.
    """
    if answer.status == 409:
        # Another server has the session by now; or the call that moves it on is this one, of which the server
        # has not heard yet that nobody listens. Another call's is none of ours.
        code = _refused(answer.status, content).code
        return code == "session_moved" or (code == "session_busy" and broke)
    return answer.status in _AGAIN


def _refused(status: int, content: bytes) -> RemoteError:
    try:
        body = json.loads(content)
        error = body["error"]
        return RemoteError(error["message"], status, error.get("code") or "", body.get("position"))
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"the server answered {status}: {content[:200]!r}", status)
