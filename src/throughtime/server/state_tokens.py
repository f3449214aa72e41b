"""States that clients keep, for servers that keep nothing: signed, so that nobody can make or change one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from pathlib import Path

from throughtime.errors import OptionError
from throughtime.server.errors import ApiError

_LEAST_KEY = 32
_VERSION = 1


class StateTokens:
    """Seals states, and opens them again.

    Args:
        key: a secret that all servers share which are to open each other's.
        seconds: how long a state is good for.
    """

    def __init__(self, key: bytes, seconds: float) -> None:
        self._key = key
        self._seconds = seconds

    @classmethod
    def read(cls, path: Path, seconds: float) -> StateTokens:
        """With the key of a file.

        Raises:
            OptionError: it cannot be read, or is too short to be a secret.
        """
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise OptionError(f"--state-key {path}: {error.strerror}") from None
        if len(key) < _LEAST_KEY:
            raise OptionError(
                f"--state-key {path} must hold {_LEAST_KEY} bytes or more, as `openssl rand -hex 32` prints"
            )
        return cls(key, seconds)

    def seal(self, content: bytes, identity: str) -> str:
        """A state as a text.

        Args:
            content: the state.
            identity: the model that it is of.
        """
        facts = {"version": _VERSION, "model": identity, "expires": int(time.time() + self._seconds)}
        body = json.dumps(facts).encode() + b"\n" + content
        return base64.urlsafe_b64encode(self._mark(body) + body).decode()

    def open(self, token: str, identity: str) -> bytes:
        """The state of a text.

        Raises:
            ApiError: it was not made by a server with this key, is of another model, or too old.
        """
        try:
            sealed = base64.b64decode(token.encode("ascii", "replace"), b"-_", validate=True)
        except (binascii.Error, ValueError):
            sealed = b""
        mark, body = sealed[:32], sealed[32:]
        if not hmac.compare_digest(mark, self._mark(body)):
            raise ApiError(400, "bad_state", "the state was not sealed by this server's key", "state")
        head, _, content = body.partition(b"\n")
        facts = json.loads(head)
        if facts["model"] != identity:
            raise ApiError(409, "other_model", "the state is of other weights or another precision", "state")
        if facts["expires"] < time.time():
            raise ApiError(410, "state_expired", "the state is too old: begin anew", "state")
        return content

    def _mark(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()
