"""The training loop: steps, evaluations, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.config import TrainingConfig
from throughtime.errors import CheckpointError, DivergedError
from throughtime.training.checkpoint import (
    Checkpoint,
    load_weights,
    pack_optimizer,
    save_tensors,
    unpack_optimizer,
)
from throughtime.training.log import MetricsLog
from throughtime.training.progress import Progress
from throughtime.training.schedule import Plateau, learning_rate
from throughtime.training.task import Task

CHECKPOINT = Path("checkpoints") / "last.safetensors"
WEIGHTS = Path("model.safetensors")
# One entry: safetensors writes several in random order, and the same weights should give the same file.
WEIGHTS_METADATA = {"throughtime": "1"}


@dataclass
class Window:
    """Sums since the last line of metrics.jsonl."""

    loss: float = 0.0
    tokens: int = 0
    gradient_norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0


@dataclass
class Position:
    """How far a training has come.

    Args:
        seconds: wall time, with evaluations and checkpoints, over all resumed parts.
        best: the task's objective at the best evaluation.
        evaluated_at: the step of the last evaluation.
    """

    step: int = 0
    epoch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: float | None = None
    evaluations_since_best: int = 0
    evaluated_at: int = 0
    finished: bool = False
    window: Window = field(default_factory=Window)


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training stopped at a signal, after a checkpoint.

    Args:
        signal_number: SIGINT or SIGTERM.
        folder: the run, which can be resumed.
        step: the step of the checkpoint.
    """

    def __init__(self, signal_number: int, folder: Path, step: int) -> None:
        super().__init__(f"stopped at step {step} by signal {signal_number}; {folder} can be resumed")
        self.signal_number = signal_number
        self.folder = folder
        self.step = step


class Trainer:
    """Trains a task's model inside a run folder.

    Args:
        task: the model and its losses.
        config: how to train.
        folder: the run folder; gets model.safetensors, metrics.jsonl, checkpoints/ and TensorBoard events.
        progress: shows what goes on.
    """

    def __init__(self, task: Task, config: TrainingConfig, folder: Path, progress: Progress) -> None:
        self._task = task
        self._model = task.model
        self._config = config
        self._folder = folder
        self._progress = progress
        self._device = next(self._model.parameters()).device
        self._optimizer = make_optimizer(self._model, config)
        self._plateau = Plateau(config.patience)
        self._clock = time.perf_counter()
        self._log = MetricsLog(folder, config.tensorboard)
        self.position = Position()

    def resume(self) -> None:
        """Go to the last checkpoint.

        Raises:
            CheckpointError: it is missing, damaged or of another model.
        """
        path = self._folder / CHECKPOINT
        checkpoint = Checkpoint.load(path)
        try:
            state = checkpoint.state
            load_weights(self._model, checkpoint.group("model"), path)
            unpack_optimizer(self._optimizer, checkpoint.group("optimizer"), state["optimizer"])
            self._task.restore(state["task"], checkpoint.group("task"))
            self._plateau = Plateau(**state["plateau"])
            position = dict(state["position"])
            self.position = Position(**{**position, "window": Window(**position["window"])})
            self._log.rewind(int(state["log_bytes"]), self.position.step)
            _restore_generators(checkpoint.group("random"))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"{path} does not fit this run: {error!r}") from None

    def extend(self) -> None:
        """Go on after what was the last epoch, now that the config has more of them."""
        if self.position.finished:
            self.position.finished = False
            self._task.start_epoch(self.position.epoch)

    def train(self) -> Position:
        """Train until the last epoch, early stopping or a signal.

        Raises:
            DivergedError: the loss or a gradient is NaN or infinite; the last checkpoint is from before.
            Interrupted: a signal came; the checkpoint is of that moment.
        """
        if self.position.finished:
            return self.position
        self._model.train()
        if self.position.step == 0:
            self._task.start_epoch(0)
            # From here on any kill can be resumed.
            self._checkpoint()
        with _catch_signals() as caught, self._progress:
            self._progress.started(self.position, self._config.epochs)
            last_checkpoint = self._clock = time.perf_counter()
            while not self.position.finished:
                if self._step():
                    self.position.window.seconds += self._tick()
                else:
                    self._end_epoch()
                if self.position.window.steps >= self._config.log_every:
                    self._log_window()
                due = self._evaluation_is_due()
                if due:
                    self._evaluate()
                if due or caught or self._clock - last_checkpoint >= self._config.checkpoint_seconds:
                    self._checkpoint()
                    last_checkpoint = self._clock
                if caught:
                    self._log.close()
                    raise Interrupted(caught[0], self._folder, self.position.step)
            self._log_window()
            self._checkpoint()
            self._progress.finished(self.position)
        self._log.close()
        return self.position

    def _step(self) -> bool:
        """Take one optimiser step; False where the epoch has no more."""
        position, config = self.position, self._config
        with self._autocast():
            step = self._task.next_loss()
        if step is None:
            return False
        loss = step.loss.item()
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self._optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        gradient_norm = clip_gradients(self._model, config.clip_norm, config.clip_value)
        if not math.isfinite(gradient_norm):
            raise self._diverged(f"the gradient's norm is {gradient_norm}")
        progress = (position.epoch + self._task.epoch_progress) / config.epochs
        rate = learning_rate(config, progress, position.epoch, self._plateau.cuts) * step.learning_rate_scale
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        position.step += 1
        position.tokens += step.tokens
        window = position.window
        window.loss += loss * step.tokens
        window.tokens += step.tokens
        window.gradient_norm += gradient_norm
        window.steps += 1
        window.learning_rate = rate
        notes = self._task.observe(position.step, gradient_norm, position.seconds)
        if notes:
            self._log.write({**self._where(), **notes})
            self._progress.noted(position, notes)
        self._progress.stepped(position, self._task.epoch_progress, loss, gradient_norm, rate)
        return True

    def _where(self) -> dict[str, Any]:
        """What every line of metrics.jsonl begins with."""
        position = self.position
        return {
            "step": position.step,
            "epoch": position.epoch + self._task.epoch_progress,
            "tokens": position.tokens,
            "seconds": round(position.seconds, 3),
        }

    def _tick(self) -> float:
        """Seconds since the last call, added to the run's time."""
        now = time.perf_counter()
        elapsed, self._clock = now - self._clock, now
        self.position.seconds += elapsed
        return elapsed

    def _end_epoch(self) -> None:
        position = self.position
        if self._config.evaluate_every == 0:
            self._evaluate()
        position.epoch += 1
        if position.epoch >= self._config.epochs:
            # The last steps count as well, where evaluations do not fall on the epoch's end.
            if self._config.evaluate_every and position.evaluated_at != position.step:
                self._evaluate()
            position.finished = True
            return
        self._task.start_epoch(position.epoch)
        if self._config.evaluate_every == 0:
            self._checkpoint()

    def _evaluation_is_due(self) -> bool:
        every = self._config.evaluate_every
        return (
            bool(every)
            and self.position.step % every == 0
            and self.position.step != self.position.evaluated_at
        )

    def _evaluate(self) -> None:
        """Measure on the validation data; keep the weights if they are the best so far."""
        position = self.position
        position.evaluated_at = position.step
        self._log_window()
        metrics = self._task.evaluate(self._progress.evaluating)
        self._tick()
        if not metrics:
            self._save_weights()
            return
        broken = [name for name, value in metrics.items() if not math.isfinite(value)]
        if broken:
            raise self._diverged(f"{broken[0]} is {metrics[broken[0]]}")
        score, best = metrics[self._task.objective], position.best
        improved = best is None or (score > best if self._task.higher_is_better else score < best)
        if improved:
            position.best = score
            self._save_weights()
        position.evaluations_since_best = 0 if improved else position.evaluations_since_best + 1
        self._plateau.observe(improved)
        self._log.write({**self._where(), **metrics})
        self._progress.evaluated(position, metrics, improved)
        patience = self._config.early_stopping
        if patience and position.evaluations_since_best >= patience:
            position.finished = True

    def _log_window(self) -> None:
        position, window = self.position, self.position.window
        if window.steps == 0:
            return
        self._log.write(
            {
                **self._where(),
                "train_loss": window.loss / window.tokens,
                "gradient_norm": window.gradient_norm / window.steps,
                "learning_rate": window.learning_rate,
                "tokens_per_second": round(window.tokens / max(window.seconds, 1e-9), 1),
            }
        )
        position.window = Window()

    def _save_weights(self) -> None:
        save_tensors(self._folder / WEIGHTS, self._model.state_dict(), WEIGHTS_METADATA)

    def _checkpoint(self) -> None:
        task_state, task_tensors = self._task.state()
        optimizer_tensors, optimizer_numbers = pack_optimizer(self._optimizer)
        checkpoint = Checkpoint(
            {
                "position": asdict(self.position),
                "plateau": asdict(self._plateau),
                "task": task_state,
                "optimizer": optimizer_numbers,
                "log_bytes": self._log.flush(),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        )
        checkpoint.add("model", dict(self._model.state_dict()))
        checkpoint.add("optimizer", optimizer_tensors)
        checkpoint.add("task", task_tensors)
        checkpoint.add("random", _generators(self._device))
        checkpoint.save(self._folder / CHECKPOINT)
        self._tick()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, torch.bfloat16, enabled=resolve_precision(self._config, self._device) == "bf16"
        )

    def _diverged(self, what: str) -> DivergedError:
        self._log.close()
        return DivergedError(
            f"training diverged at step {self.position.step + 1}: {what}. The last good checkpoint is kept. "
            f"Start again with a lower --learning-rate (now {self._config.learning_rate:g}) or --clip-norm "
            f"(now {self._config.clip_norm:g}){self._task.advice()}"
        )


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that the config names."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
        )
    # A second-moment horizon of 100 steps follows the changing chunks faster than the default 1,000.
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )


def clip_gradients(model: nn.Module, max_norm: float, max_value: float) -> float:
    """Clip in place by value, then by norm; 0 leaves either out.

    Returns:
        The norm of all gradients together, before any clipping.
    Source: by norm Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not math.isfinite(norm):
        return norm
    clipped_norm = norm
    if max_value:
        nn.utils.clip_grad_value_(model.parameters(), max_value)
        clipped_norm = torch.nn.utils.get_total_norm(gradients).item()
    if max_norm and clipped_norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / clipped_norm)
    return norm


def resolve_precision(config: TrainingConfig, device: torch.device) -> str:
    """fp32 or bf16; "auto" is bf16 where the processor multiplies it faster."""
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # Without such instructions bf16 is emulated, and slower than fp32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    supported = supported or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return "bf16" if supported else "fp32"


def _generators(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_generators(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


@contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """A list that gets the first SIGINT or SIGTERM; a second one acts at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    previous: dict[int, Any] = {}

    def catch(number: int, _frame: Any) -> None:
        caught.append(number)
        for known, handler in previous.items():
            signal.signal(known, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
