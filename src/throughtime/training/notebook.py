"""A training in a notebook: one display with its progress, its loss as a curve, and its evaluations."""

from __future__ import annotations

import math
import time
from html import escape
from typing import TYPE_CHECKING, Any

from throughtime.training.progress import Progress
from throughtime.units import duration

if TYPE_CHECKING:
    from throughtime.training.task import Task
    from throughtime.training.trainer import Position

# Blue and orange of the colour-blind-safe palette of Okabe and Ito, as in loss.png.
_TRAINING, _VALIDATION = "#0072B2", "#D55E00"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 560, 220, 56, 30, 10
# Points of the curve: more cannot be told apart at this width.
_MOST_POINTS = 256
_MOST_EVALUATIONS = 6


class NotebookProgress(Progress):
    """Draws a training into one output of a notebook, anew at most once a second. Needs IPython.

    Where a front end shows no HTML, it shows the same as text.
    """

    _SECONDS_BETWEEN = 1.0

    def __init__(self) -> None:
        self._handle: Any = None
        self._task: Task | None = None
        self._drawn_at = 0.0
        self._said: list[str] = []
        self._reading = ""
        self._begin(None, 0)

    def _begin(self, position: Position | None, epochs: int) -> None:
        """Forget what was drawn of the last training: folds come one after the other."""
        self._position, self._epochs, self._ended = position, epochs, False
        self._progress = self._began = 0.0 if position is None else float(position.epoch)
        self._began_at = time.perf_counter()
        self._numbers = (0.0, 0.0)
        self._curve = Curve()
        self._evaluations: list[str] = []
        self._sample = ""

    def __exit__(self, *_: Any) -> None:
        self._draw(at_once=True)

    # ---- what the training tells

    def recognised(self, why: str) -> None:
        self._say(why, drawn=False)  # where the data is refused at once, the error alone says all

    def preparing(self, what: str, done: int, total: int) -> None:
        self._reading = f"{what}: {done / total:.0%}" if total else f"{what}: {done:,}"
        self._draw()

    def remark(self, text: str) -> None:
        self._say(text)

    def described(self, facts: str, task: Task) -> None:
        self._task, self._reading = task, ""
        self._say(facts)

    def started(self, position: Position, epochs: int) -> None:
        self._begin(position, epochs)
        self._draw(at_once=True)

    def stepped(
        self, position: Position, epoch_progress: float, loss: float, gradient_norm: float, rate: float
    ) -> None:
        self._progress = position.epoch + epoch_progress
        self._numbers = (loss, gradient_norm)
        self._curve.step(self._progress, loss)
        self._draw()

    def noted(self, position: Position, notes: dict[str, Any]) -> None:
        if "warning" in notes:
            self._say(f"step {position.step:,}: {notes['warning']}")

    def evaluated(self, position: Position, metrics: dict[str, float], improved: bool) -> None:
        if "val_loss" in metrics:
            self._curve.evaluation(self._progress, metrics["val_loss"])
        described = self._task.describe(metrics) if self._task is not None else str(metrics)
        self._evaluations.append(
            f"epoch {position.epoch + 1}  step {position.step:,}  validation {described}"
            f"{'  best so far' if improved else ''}"
        )
        self._draw()

    def sampled(self, text: str) -> None:
        self._sample = text
        self._draw()

    def finished(self, position: Position) -> None:
        self._ended = True
        self._draw(at_once=True)

    # ---- what is shown

    def _say(self, text: str, drawn: bool = True) -> None:
        self._said.append(text)
        if drawn:
            self._draw(at_once=True)

    def _draw(self, at_once: bool = False) -> None:
        now = time.perf_counter()
        if not at_once and self._handle is not None and now - self._drawn_at < self._SECONDS_BETWEEN:
            return
        if not self._said and self._position is None:
            return  # there is nothing to show
        self._drawn_at = now
        content = {"text/html": self.html(), "text/plain": self.text()}
        if self._handle is None:
            from IPython.display import display  # pyright: ignore[reportMissingImports]

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def _status(self) -> str:
        """How far it is, in a line."""
        if self._position is None:
            return self._reading
        epoch = min(int(self._progress) + 1, self._epochs)
        parts = [f"epoch {epoch}/{self._epochs}", f"step {self._position.step:,}"]
        if self._curve.training:
            parts.append(f"loss {self._numbers[0]:.4g}")
            parts.append(f"gradient norm {self._numbers[1]:.3g}")
        elapsed, done = time.perf_counter() - self._began_at, self._progress - self._began
        if self._ended:
            parts.append(f"done in {duration(self._position.seconds)}")
        elif done > 0:
            parts.append(f"{duration(elapsed * (self._epochs - self._progress) / done)} left")
        return "  ".join(parts)

    def text(self) -> str:
        """All of it as text."""
        last = self._evaluations[-_MOST_EVALUATIONS:]
        return "\n".join(line for line in (*self._said, self._status(), *last, self._sample) if line)

    def html(self) -> str:
        """All of it as HTML, in the colours of the notebook."""
        parts = [f"<div>{escape(line)}</div>" for line in self._said]
        if self._position is not None:
            share = self._progress / max(self._epochs, 1)
            parts.append(
                f"<progress value='{share:.4f}' max='1' style='width:{_WIDTH}px'></progress>"
                f"<div>{escape(self._status())}</div>{self._curve.svg(self._epochs)}"
            )
        elif self._reading:
            parts.append(f"<div>{escape(self._reading)}</div>")
        if self._evaluations:
            more = len(self._evaluations) - _MOST_EVALUATIONS
            lines = [f"({more} evaluations before)"] if more > 0 else []
            lines += self._evaluations[-_MOST_EVALUATIONS:]
            parts.append(f"<pre>{escape(chr(10).join(lines))}</pre>")
        if self._sample:
            parts.append(f"<pre>{escape(self._sample)}</pre>")
        return "".join(parts)


class Curve:
    """The losses of a training and of its evaluations against epochs, in a bounded number of points.

    Attributes:
        training: (epoch, mean loss) of equally many steps each.
        validation: (epoch, loss).
    """

    def __init__(self) -> None:
        self.training: list[tuple[float, float]] = []
        self.validation: list[tuple[float, float]] = []
        self._each, self._sum, self._count = 1, 0.0, 0

    def step(self, epoch: float, loss: float) -> None:
        """Add the loss of a step."""
        self._sum += loss
        self._count += 1
        if self._count < self._each:
            return
        self.training.append((epoch, self._sum / self._count))
        self._sum, self._count = 0.0, 0
        if len(self.training) >= _MOST_POINTS:
            pairs = zip(self.training[::2], self.training[1::2], strict=True)
            self.training = [(second[0], (first[1] + second[1]) / 2) for first, second in pairs]
            self._each *= 2

    def evaluation(self, epoch: float, loss: float) -> None:
        """Add the loss on the validation data."""
        self.validation.append((epoch, loss))

    def svg(self, epochs: int) -> str:
        """A drawing of both; "" before there is anything to draw."""
        points = [*self.training, *self.validation]
        if len(self.training) < 2:
            return ""
        low, high = min(loss for _, loss in points), max(loss for _, loss in points)
        room = (high - low) or abs(high) or 1.0
        # A loss that cannot be below 0 has no axis there.
        low, high = low - 0.05 * room if low < 0 else max(low - 0.05 * room, 0.0), high + 0.05 * room
        right, bottom = _WIDTH - 10, _HEIGHT - _BOTTOM

        def place(point: tuple[float, float]) -> str:
            x = _LEFT + (right - _LEFT) * point[0] / max(epochs, 1)
            return f"{x:.1f},{_TOP + (bottom - _TOP) * (high - point[1]) / (high - low):.1f}"

        parts = []
        for loss in _ticks(low, high):
            y = place((0, loss)).partition(",")[2]
            parts.append(
                f"<line x1='{_LEFT}' x2='{right}' y1='{y}' y2='{y}' stroke='currentColor' opacity='0.15'/>"
                f"<text x='{_LEFT - 6}' y='{y}' dy='4' text-anchor='end'>{loss:.4g}</text>"
            )
        for epoch in sorted({0, epochs // 2, epochs}):
            x = place((epoch, low)).partition(",")[0]
            parts.append(f"<text x='{x}' y='{bottom + 16}' text-anchor='middle'>{epoch}</text>")
        parts.append(f"<text x='{right}' y='{_HEIGHT - 2}' text-anchor='end'>epoch</text>")
        line = " ".join(map(place, self.training))
        parts.append(f"<polyline points='{line}' fill='none' stroke='{_TRAINING}' stroke-width='1.5'/>")
        dots = [place(point).split(",") for point in self.validation]
        parts += [f"<circle cx='{x}' cy='{y}' r='3' fill='{_VALIDATION}'/>" for x, y in dots]
        if len(dots) > 1:
            line = " ".join(map(",".join, dots))
            parts.append(f"<polyline points='{line}' fill='none' stroke='{_VALIDATION}' stroke-width='2'/>")
        for number, (name, colour) in enumerate((("training", _TRAINING), ("validation", _VALIDATION))):
            if number == 0 or dots:
                y = _TOP + 12 + 16 * number
                parts.append(
                    f"<text x='{right}' y='{y}' text-anchor='end' fill='{colour}'>{name} loss</text>"
                )
        return (
            f"<svg width='{_WIDTH}' height='{_HEIGHT}' viewBox='0 0 {_WIDTH} {_HEIGHT}' fill='currentColor' "
            f"font-size='11' font-family='sans-serif' role='img' aria-label='loss against epochs'>"
            f"{''.join(parts)}</svg>"
        )


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between two others."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
