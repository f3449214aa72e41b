"""What a request is answered with when it cannot be done."""

from __future__ import annotations

from typing import Any

from throughtime.errors import ThroughtimeError

# What OpenAI's clients call the kinds of errors, by status.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


class ApiError(ThroughtimeError):
    """A request is refused.

    Args:
        status: of HTTP.
        code: a word that programs can tell errors by.
        message: for people: what is wrong and what to do.
        param: the field that is to blame.
        facts: what the body holds besides, such as a session's position.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        facts: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.facts = facts or {}
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The answer, in the shape that OpenAI's clients read."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error, **self.facts}


def no_session(name: str, why: str = "") -> ApiError:
    """Nobody has made it, or it was deleted so long ago that nobody remembers."""
    return ApiError(404, "session_not_found", f"there is no session {name!r:.100}{why}")


def session_gone(name: str, why: str) -> ApiError:
    """It was there."""
    return ApiError(410, "session_gone", f"the session {name!r:.100} is gone: {why}")


def session_busy(name: str, position: int) -> ApiError:
    """Another call moves it on right now. A client that tries again by itself would only be in the way."""
    return ApiError(
        409,
        "session_busy",
        f"another call is moving the session {name!r:.100} on: wait for its answer",
        facts={"position": position},
        headers={"x-should-retry": "false", "retry-after-ms": "100"},
    )


def wrong_position(name: str, expected: int, position: int) -> ApiError:
    """The call was made for another state than the session has."""
    return ApiError(
        412,
        "wrong_position",
        f"the session {name!r:.100} is at position {position}, and the call expects {expected}",
        "position",
        facts={"position": position},
    )


def overloaded(seconds: int = 1) -> ApiError:
    """The queue is full."""
    return ApiError(
        429,
        "overloaded",
        "too many requests wait already: try again later",
        headers={"retry-after": str(seconds)},
    )


def shutting_down() -> ApiError:
    """The server drains."""
    return ApiError(
        503,
        "shutting_down",
        "the server is being stopped: use another one, or try again later",
        headers={"retry-after": "5"},
    )


def ambiguous_retry(position: int) -> ApiError:
    """A client tries again by itself, and what it sends does not tell whether the first try was done."""
    return ApiError(
        409,
        "ambiguous_retry",
        "this is a repeated call, and nobody knows whether the first one was done: send position, or an "
        "Idempotency-Key",
        facts={"position": position},
        headers={"x-should-retry": "false"},
    )


def session_moved(name: str) -> ApiError:
    """Another server went on with the session while this one did not answer in time."""
    return ApiError(
        409,
        "session_moved",
        f"another server has the session {name!r:.100} by now: ask for its position, and go on from there",
        headers={"retry-after-ms": "50"},
    )


def store_unreachable(why: str) -> ApiError:
    """Nothing can be promised, so that nothing is done."""
    return ApiError(503, "store_unreachable", f"sessions cannot be kept: {why}", headers={"retry-after": "1"})


def store_failed(why: str) -> ApiError:
    """What a call did was not written, so that it was not done."""
    return ApiError(507, "store_failed", f"the sessions could not be saved: {why}")


class ElsewhereError(ApiError):
    """Another server has a session, and was asked for it: the call is to be tried again in a moment."""

    def __init__(self, name: str) -> None:
        super().__init__(
            503,
            "session_elsewhere",
            f"another server still has the session {name!r:.100}",
            headers={"retry-after": "1"},
        )
