"""What a user sees while a model trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from throughtime.units import duration

if TYPE_CHECKING:
    from rich.console import Console

    from throughtime.training.task import Task
    from throughtime.training.trainer import Position


class Progress:
    """Shows nothing. The other ways to show progress derive from this one."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def recognised(self, why: str) -> None:
        """What the data was taken for, and why."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """The data is being read: so much of it is done, in bytes or examples."""

    def remark(self, text: str) -> None:
        """Something that the user should know: what was left out, what was chosen."""

    def described(self, facts: str, task: Task) -> None:
        """What will be trained, in a line."""

    def started(self, position: Position, epochs: int) -> None:
        """Training begins or goes on."""

    def stepped(
        self, position: Position, epoch_progress: float, loss: float, gradient_norm: float, rate: float
    ) -> None:
        """A step was taken; the numbers are its own."""

    def noted(self, position: Position, notes: dict[str, Any]) -> None:
        """The task measured something besides the loss, or warns (`warning`)."""

    def evaluating(self, share: float) -> None:
        """An evaluation has come so far."""

    def evaluated(self, position: Position, metrics: dict[str, float], improved: bool) -> None:
        """The model was evaluated."""

    def sampled(self, text: str) -> None:
        """What the model writes at an evaluation."""

    def finished(self, position: Position) -> None:
        """Training is complete."""


class InOtherWords(Progress):
    """What the reading of data shows, with each remark in other words.

    Args:
        show: where it goes.
        words: a remark -> what is shown of it.
    """

    def __init__(self, show: Progress, words: Callable[[str], str]) -> None:
        self._show = show
        self._words = words

    def preparing(self, what: str, done: int, total: int) -> None:
        self._show.preparing(what, done, total)

    def remark(self, text: str) -> None:
        self._show.remark(self._words(text))


class ConsoleProgress(Progress):
    """A live bar on a terminal; elsewhere a line at each evaluation and every half minute.

    Args:
        console: where to.
    """

    _SECONDS_BETWEEN_LINES = 30.0
    _SECONDS_OF_SILENCE = 2.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._model_task: Task | None = None
        self._why, self._recognised_at = "", 0.0
        self._bar: Any = None
        self._reading: Any = None
        self._smooth_loss: float | None = None
        self._start_time = self._last_line = time.perf_counter()
        self._start_tokens = 0

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("[bold]loss {task.fields[loss]}[/]"),
                TextColumn("{task.fields[speed]}/s"),
                TextColumn("grad {task.fields[gradient]}"),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                refresh_per_second=4,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def recognised(self, why: str) -> None:
        # Shown with whatever comes next: where the data is refused at once, the error alone says all.
        self._why, self._recognised_at = why, time.perf_counter()

    def _show_recognised(self) -> None:
        if self._why:
            self._console.print(self._why, highlight=False, soft_wrap=True, markup=False)
            self._why = ""

    def preparing(self, what: str, done: int, total: int) -> None:
        if time.perf_counter() - self._recognised_at > self._SECONDS_OF_SILENCE:
            self._show_recognised()
        if not self._console.is_terminal:
            return
        from rich.markup import escape

        if self._reading is None:
            from rich.progress import Progress as Bar

            self._reading = Bar(console=self._console, transient=True)
            self._reading.start()
        known = {task.description: task.id for task in self._reading.tasks}
        what = escape(what)  # a file's name is no markup
        task = known[what] if what in known else self._reading.add_task(what, total=total)
        self._reading.update(task, completed=done)

    def remark(self, text: str) -> None:
        self._show_recognised()
        self._console.print(text, highlight=False, soft_wrap=True, style="yellow", markup=False)

    def described(self, facts: str, task: Task) -> None:
        self._model_task = task
        if self._reading is not None:
            self._reading.stop()
            self._reading = None
        self._show_recognised()
        self._console.print(facts, highlight=False, soft_wrap=True, markup=False)

    def started(self, position: Position, epochs: int) -> None:
        self._epochs = epochs
        self._start_time = self._last_line = self._last_update = time.perf_counter()
        self._start_tokens, self._start_progress = position.tokens, None
        if self._bar is not None:
            self._task = self._bar.add_task(
                "",
                total=1.0,
                epoch=f"{position.epoch + 1}/{epochs}",
                loss="-",
                speed="-",
                gradient="-",
                left="-",
            )

    def stepped(
        self, position: Position, epoch_progress: float, loss: float, gradient_norm: float, rate: float
    ) -> None:
        old = self._smooth_loss
        self._smooth_loss = loss if old is None else 0.95 * old + 0.05 * loss
        progress = (position.epoch + epoch_progress) / self._epochs
        if self._start_progress is None:
            self._start_progress, self._start_time = progress, time.perf_counter()
            self._start_tokens = position.tokens
            return
        now = time.perf_counter()
        # Redrawing at every step of a small model would cost more than the step.
        if now - self._last_update < 0.2:
            return
        self._last_update = now
        elapsed = now - self._start_time
        speed = (position.tokens - self._start_tokens) / elapsed
        left = elapsed * (1 - progress) / max(progress - self._start_progress, 1e-9)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=progress,
                epoch=f"{position.epoch + 1}/{self._epochs}",
                loss=f"{self._smooth_loss:.3f}",
                speed=f"{speed:,.0f} {self._unit}",
                gradient=f"{gradient_norm:.2f}",
                left=f"{duration(left)} left",
            )
        elif now - self._last_line >= self._SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(
                f"epoch {position.epoch + 1}/{self._epochs}  step {position.step:,}  "
                f"loss {self._smooth_loss:.3f}  {speed:,.0f} {self._unit}/s  "
                f"gradient norm {gradient_norm:.2f}  {duration(left)} left",
                highlight=False,
                soft_wrap=True,
            )

    def noted(self, position: Position, notes: dict[str, Any]) -> None:
        if "chunk" in notes:
            self._console.print(f"chunk {notes['chunk']}, from the measured decay", style="dim")
        if "warning" in notes:
            self.remark(f"step {position.step:,}: {notes['warning']}")

    def evaluating(self, share: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, left=f"evaluating {share:.0%}")

    def evaluated(self, position: Position, metrics: dict[str, float], improved: bool) -> None:
        self._last_line = time.perf_counter()
        self._console.print(
            f"epoch {position.epoch + 1:>2}  step {position.step:>7,}  "
            f"validation {self._describe(metrics)}  "
            f"{duration(position.seconds)}{'  best so far' if improved else ''}",
            highlight=False,
            soft_wrap=True,
        )

    def sampled(self, text: str) -> None:
        for line in text.splitlines():
            self._console.print(f"  | {line}", highlight=False, soft_wrap=True, markup=False, style="dim")

    @property
    def _unit(self) -> str:
        return self._model_task.unit if self._model_task is not None else "tokens"

    def _describe(self, metrics: dict[str, float]) -> str:
        return self._model_task.describe(metrics) if self._model_task is not None else str(metrics)

    def finished(self, position: Position) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=1.0, left="done")
