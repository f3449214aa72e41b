"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counters of one server, with a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "throughtime"}
        self.requests = Counter("http_requests", "Requests answered.", ["method", "path", "status"], **made)
        self.seconds = Histogram(
            "http_request_seconds", "Time of requests.", ["path"], buckets=_SECONDS, **made
        )
        self.events = Counter("http_body_messages", "Pieces of bodies that were sent.", **made)
        self.read = Counter("tokens_read", "Tokens of prompts and steps.", **made)
        self.drawn = Counter("tokens_drawn", "Tokens that were drawn.", **made)
        self.refused = Counter("requests_refused", "Requests refused because the queue was full.", **made)
        self.disconnected = Counter("streams_disconnected", "Streams whose reader went away.", **made)
        self.ticks = Histogram("tick_seconds", "Time of a tick.", ["model"], buckets=_SECONDS, **made)
        self._made = made
        self._gauges: dict[str, Gauge] = {}

    def tick(self, model: str, seconds: float) -> None:
        """A tick is over."""
        self.ticks.labels(model).observe(seconds)

    def watch(self, name: str, what: str, value: Callable[[], float], model: str = "") -> None:
        """A gauge that is read when it is asked for."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, what, ["model"], **self._made)
        self._gauges[name].labels(model).set_function(value)

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        return generate_latest(self.registry)
