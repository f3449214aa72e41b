"""Weights & Biases, and trackio, which took over its calls."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from throughtime.trackers.tracker import Tracker

PROJECT = "throughtime"
# The optimiser's step, which curves are drawn against. The tracker's own step is the number of the line: it
# has to rise, and W&B drops what comes again under a number that it has.
STEP = "global_step"


class WandbRun(Tracker):
    """A run of wandb or trackio, by the `name` of the library."""

    def __init__(self, name: str, folder: Path, run: str, lines: int) -> None:
        super().__init__(name, folder, run, lines)
        self._library: Any = import_module(name)
        self._run: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        self.run = self.run or f"{self.title}-{uuid.uuid4().hex[:8]}"
        if self.name == "trackio":
            self._run = self._library.init(
                PROJECT, name=self.run, config=dict(config), resume="allow", embed=False
            )
            # What a killed process had told it may still have been on its way to the disk.
            self.lines = getattr(self._run, "_next_step", self.lines)  # it has no public name
        else:
            self._refuse_questions()
            self._run = self._library.init(
                # Where the user has named a project, wandb knows.
                project=None if os.environ.get("WANDB_PROJECT") else PROJECT,
                id=self.run,
                name=self.title,
                config=dict(config),
                resume="allow",
            )
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP)
            # A process that was killed has told it more than it could note down. Offline, nobody can ask.
            if not getattr(self._run, "offline", False):
                self.lines = int(self._run.step) if getattr(self._run, "resumed", False) else 0

    def _refuse_questions(self) -> None:
        """Stop where wandb would ask for an account in the middle of a training."""
        if os.environ.get("WANDB_MODE", "online") not in ("online", "shared"):
            return
        try:
            known = self._library.login(prompt=False)
        except TypeError:  # an older wandb, which asks on a terminal only
            known = not (sys.stdin is not None and sys.stdin.isatty())
        if not known:
            raise RuntimeError("nobody is logged in: run `wandb login`, or set WANDB_MODE=offline")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({STEP: step, **numbers}, step=self.lines)
        self.lines += 1

    def artifact(self, path: Path) -> None:
        # Not as a logged picture: that would be a step of its own, and steps are lines.
        if self.name == "wandb":
            self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self) -> None:
        self._library.finish()
