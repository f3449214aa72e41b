"""What the routes share: the models that are served, their threads, and the limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from starlette.requests import HTTPConnection

from throughtime.server.batcher import Batcher
from throughtime.server.errors import ApiError, no_session
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.metrics import Metrics
from throughtime.server.predictors import Predictor
from throughtime.server.scheduler import Limits, Scheduler
from throughtime.server.state_tokens import StateTokens
from throughtime.server.store import Store
from throughtime.tasks.forecaster.run import ForecasterRun

H = TypeVar("H")
T = TypeVar("T")

# What a verb needs, for whoever names a model that does something else.
_DOES = {
    "classify": "classify",
    "tag": "tag",
    "translate": "translate",
    "caption": "caption pictures",
    "transcribe": "write recordings down",
    "forecast": "forecast",
}


class Host(Protocol):
    """The thread of a model that follows streams."""

    @property
    def model(self) -> Any:
        """What its sessions are of: it has a name and a fingerprint."""
        ...

    @property
    def sessions(self) -> LiveSessions[Any]:
        """Those of the model, which only its thread may touch."""
        ...

    def call(self, work: Callable[[], T], without: Callable[[T, set[str]], T] | None = None) -> Awaitable[T]:
        """What `work` gives, which the thread does; told once it is committed."""
        ...


@dataclass
class Serving:
    """A server's state.

    Args:
        texts: the schedulers of language models, by name.
        batchers: the threads of all other models, by name.
        predictors: what these answer, by name.
        runs: every served run, by name.
        store: where sessions are.
        limits: how much is taken on.
        metrics: what is counted.
        ready: requests are taken.
        no_sessions: why a tagger follows no stream, by name.
        counts: of requests by the KServe protocol, by name.
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
    no_sessions: dict[str, str] = field(default_factory=dict)
    batchers: dict[str, Batcher] = field(default_factory=dict)
    predictors: dict[str, Predictor] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def hosts(self) -> list[Scheduler | Batcher]:
        """The threads of all models, each once: a model may have several names."""
        return list(dict.fromkeys([*self.texts.values(), *self.batchers.values()]))

    def paths(self, name: str) -> list[str]:
        """Where a model is asked."""
        if name in self.texts:
            return ["/v1/completions", "/v1/responses", "/v1/sessions"]
        verb = self.predictors[name].verb if name in self.predictors else "forecast"
        return [f"/v1/{verb}", *(["/v1/sessions"] if self.batchers[name].has_sessions else [])]

    def text(self, name: str | None) -> Scheduler:
        """The scheduler of a language model; the only one where no name is given.

        Raises:
            ApiError: there is none of this name.
        """
        return self._found(self.texts, name, "write text")

    def predictor(self, verb: str, name: str | None) -> tuple[Batcher, Predictor]:
        """The model that a verb is asked of, and its thread; the only one where no name is given.

        Raises:
            ApiError: there is none of this name, or it does something else.
        """
        able = {key: one for key, one in self.predictors.items() if one.verb == verb}
        found = self._found(able, name, _DOES[verb])
        return next((self.batchers[key], one) for key, one in able.items() if one is found)

    def forecaster(self, name: str | None) -> tuple[Batcher, ForecasterRun]:
        """The forecaster of a name, and its thread."""
        able = {key: run for key, run in self.runs.items() if isinstance(run, ForecasterRun)}
        found = self._found(able, name, _DOES["forecast"])
        return next((self.batchers[key], run) for key, run in able.items() if run is found)

    def following(self, name: str | None) -> Host:
        """The model that follows streams; the only one where no name is given.

        Raises:
            ApiError: there is none of this name, or it has no sessions; the message says why.
        """
        able: dict[str, Host] = dict(self.texts)
        able |= {key: one for key, one in self.batchers.items() if one.has_sessions}
        if name in self.no_sessions:
            raise ApiError(400, "no_sessions", self.no_sessions[name], "model")
        return self._found(able, name, "have sessions")

    def _found(self, able: Mapping[str, H], name: str | None, does: str) -> H:
        if name is None:
            if len(able) == 1:
                return next(iter(able.values()))
            if not able:
                raise ApiError(400, "wrong_task", f"no model of this server can {does}", "model")
            raise ApiError(400, "no_model", "say which model: " + ", ".join(able), "model")
        if name not in able:
            if name in self.runs:
                task = self.runs[name].task
                raise ApiError(400, "wrong_task", f"{name} is a {task}: it does not {does}", "model")
            known = ", ".join(self.runs)
            raise ApiError(
                404, "model_not_found", f"there is no model {name!r:.100}: there is {known}", "model"
            )
        return able[name]

    def of_session(self, id: str, kind: str = "ses") -> Host:
        """The thread of the model that a session's name names.

        Raises:
            ApiError: no model of this server has such sessions.
        """
        part = id.split("-")
        if len(part) == 3 and part[0] == kind and part[1]:
            for host in self.hosts:
                if isinstance(host, Batcher) and not host.has_sessions:
                    continue
                if host.model.fingerprint[:8] == part[1]:
                    return host
            raise no_session(id, ": no model of this server has the weights that its name says")
        raise no_session(id)

    def of_text_session(self, id: str, kind: str = "ses") -> Scheduler:
        """The same, where it has to write text."""
        host = self.of_session(id, kind)
        if not isinstance(host, Scheduler):
            raise ApiError(400, "wrong_task", f"{host.model.name} does not write text: use step")
        return host


def serving(connection: HTTPConnection) -> Serving:
    """The state of the server that a request or a WebSocket came to."""
    return connection.app.state.serving
