"""Stand-ins for the libraries of trackers: they keep what they are told, as the real ones do."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace
from typing import Any


class Wandb(ModuleType):
    """A module with the calls of wandb and trackio.

    Attributes:
        runs: by id: rows of numbers by the tracker's own step.
        calls: what was called, in order.
        gate: closed, it holds up every `log`.
    """

    def __init__(self, name: str, offline: bool = False) -> None:
        super().__init__(name)
        self.runs: dict[str, dict[int, dict[str, float]]] = {}
        self.calls: list[str] = []
        self.configs: list[dict[str, Any]] = []
        self.offline = offline
        self.fails_at: str | None = None
        self.gate = threading.Event()
        self.gate.set()

    def login(self, prompt: bool) -> bool:
        return True

    def init(self, project: str | None = None, **options: Any) -> Any:
        self._called("init")
        print(f"{self.__name__} greets")
        assert options["resume"] == "allow"
        name = options.get("id") or options["name"]
        known = name in self.runs
        rows = self.runs.setdefault(name, {})
        self.configs.append(options["config"])

        def log(numbers: dict[str, float], step: int) -> None:
            self.gate.wait(20)
            self._called("log")
            if not known or self.offline or step >= first:  # as W&B: what is behind is dropped
                rows.setdefault(step, {}).update(numbers)

        first = max(rows, default=-1) + 1
        return SimpleNamespace(
            log=log,
            define_metric=lambda name, step_metric=None: self._called(f"define_metric {name} {step_metric}"),
            save=lambda path, base_path, policy: self._called(f"save {path.rpartition('/')[2]}"),
            step=0 if self.offline else first,
            _next_step=first,
            resumed=known and not self.offline,
            offline=self.offline,
        )

    def finish(self) -> None:
        self._called("finish")

    def _called(self, name: str) -> None:
        if name == self.fails_at:
            raise OSError("the network is unreachable")
        if name != "log" or self.calls[-1:] != ["log"]:
            self.calls.append(name)
