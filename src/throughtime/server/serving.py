"""What the routes share: the models that are served, their threads, and the limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request

from throughtime.server.errors import ApiError, no_session
from throughtime.server.metrics import Metrics
from throughtime.server.scheduler import Limits, Scheduler
from throughtime.server.state_tokens import StateTokens
from throughtime.server.store import Store


@dataclass
class Serving:
    """A server's state.

    Args:
        texts: the schedulers of language models, by name.
        runs: every served run, by name.
        store: where sessions are.
        limits: how much is taken on.
        metrics: what is counted.
        ready: requests are taken.
        states: seals the states that clients keep; None where nobody gave a key.
    """

    texts: dict[str, Scheduler]
    runs: dict[str, Any]
    store: Store
    limits: Limits
    metrics: Metrics
    ready: bool = False
    states: StateTokens | None = None
    created: float = 0.0

    def text(self, name: str | None) -> Scheduler:
        """The scheduler of a language model; the only one where no name is given.

        Raises:
            ApiError: there is none of this name.
        """
        if name is None:
            if len(self.texts) == 1:
                return next(iter(self.texts.values()))
            raise ApiError(400, "no_model", "say which model: " + ", ".join(self.texts), "model")
        found = self.texts.get(name)
        if found is None:
            if name in self.runs:
                task = self.runs[name].task
                raise ApiError(400, "wrong_task", f"{name} is a {task}: it does not write text", "model")
            known = ", ".join(self.runs)
            raise ApiError(
                404, "model_not_found", f"there is no model {name!r:.100}: there is {known}", "model"
            )
        return found

    def of_session(self, id: str, kind: str = "ses") -> Scheduler:
        """The scheduler whose model a session's name names.

        Raises:
            ApiError: no model of this server has such sessions.
        """
        part = id.split("-")
        if len(part) == 3 and part[0] == kind:
            for scheduler in self.texts.values():
                if scheduler.model.fingerprint.startswith(part[1]):
                    return scheduler
        raise no_session(id)


def serving(request: Request) -> Serving:
    """The state of the server that a request came to."""
    return request.app.state.serving
