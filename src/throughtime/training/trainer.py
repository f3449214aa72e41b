"""The training loop: steps, evaluations, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from throughtime.config import TrainingConfig
from throughtime.errors import CheckpointError, DivergedError
from throughtime.run.position import Position, Window
from throughtime.saved import Saved
from throughtime.trackers.following import Trackers
from throughtime.training.averages import KeptWeights, MovingAverage, weights_in_place
from throughtime.training.callbacks import Callbacks, EvaluationEvent, StepEvent
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint, load_weights, save_tensors
from throughtime.training.generators import generator_states, restore_generators, set_generators
from throughtime.training.log import MetricsLog, NoLog
from throughtime.training.machine import resolve_precision, threads_of
from throughtime.training.optimizer import clip_gradients, make_optimizer, pack_optimizer, unpack_optimizer
from throughtime.training.processes import said_elsewhere
from throughtime.training.progress import Progress
from throughtime.training.schedule import Plateau, learning_rate
from throughtime.training.sharing import JointStep, Sharing
from throughtime.training.signals import Interrupted, catch_signals
from throughtime.training.task import Task

WEIGHTS = Path("model.safetensors")
# One entry: safetensors writes several in random order, and the same weights should give the same file.
WEIGHTS_METADATA = {"throughtime": "1"}
# What the first process asks of all: to stop early, to save and stop as a callback has failed, or to save.
_STOP, _FAILED, _SAVE = 1, 2, 4


class Trainer:
    """Trains a task's model inside a run folder.

    Args:
        task: the model and its losses.
        config: how to train.
        folder: the run folder; gets model.safetensors, metrics.jsonl and checkpoints/.
        progress: shows what goes on.
        callbacks: of the program that trains.
        trackers: are told what is logged; whoever made them closes them.
        sharing: how steps are shared out; None is not at all.
        kernels: what the recurrent layers run on, for `info`.
    Attributes:
        position: how far it has come.
        trackers: as given; without any, none.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        folder: Path,
        progress: Progress,
        callbacks: Callbacks | None = None,
        trackers: Trackers | None = None,
        sharing: Sharing | None = None,
        kernels: str = "",
    ) -> None:
        self._kernels = kernels
        self._sharing = sharing or Sharing()
        self._processes = self._sharing.processes
        self._sharing.check_batch(config.batch)
        task.sharing = self._sharing
        if task.own_loss is not None:
            task.own_loss.is_shared = not self._sharing.is_whole
        self._task = task
        self._model = task.model
        self._config = config
        self._folder = folder
        self._progress = progress
        self.callbacks = callbacks or Callbacks()
        self._device = next(self._model.parameters()).device
        self._optimizer = make_optimizer(self._model, config)
        self._average = MovingAverage(self._model, config.ema)
        self._kept = KeptWeights(
            (folder / CHECKPOINT).parent, config.average, config.keep_best, task.higher_is_better
        )
        self._plateau = Plateau(config.patience)
        self._clock = time.perf_counter()
        self.trackers = trackers or Trackers(folder, (), {}, progress.remark)
        self._log = MetricsLog(folder, self.trackers) if self._processes.is_first else NoLog()
        # What the processes have agreed on: a signal's number, and what the first one asks for.
        self._heard = (0, 0)
        self.position = Position()
        self._seconds_before = 0.0

    def resume(self, checkpoint: Checkpoint, epochs: int | None = None) -> None:
        """Go to a checkpoint. Nothing of it is used before it has been checked.

        Args:
            checkpoint: of this run.
            epochs: how many the training was to have when it was written; None is as many as now.
        Raises:
            CheckpointError: it is damaged, or of another model (the message names the number or the tensor).
        """
        path = self._folder / CHECKPOINT
        groups = {name.split(".")[0] for name in checkpoint.tensors}
        if unknown := sorted(groups - {"model", "optimizer", "task", "random", "ema"}):
            raise CheckpointError(f"{path} holds a tensor {unknown[0]!r} that belongs to nothing")
        with Saved(checkpoint.state, path) as saved:
            saved.text("torch")
            if "kernels" in checkpoint.state:  # older ones do not say
                saved.text("kernels")
            threads_of(saved)
            log_bytes = saved.integer("log_bytes")
            self.position = Position.restore(saved.part("position"), epochs or self._config.epochs)
            self._plateau = Plateau.restore(saved.part("plateau"), self._config.patience)
            load_weights(self._model, checkpoint.group("model"), path, "model.", any_float=False)
            self._average.restore(checkpoint.group("ema"), path)
            if self._kept.any:
                self._kept.restore(saved.part("kept"), self.position.step, self._processes.is_first)
            optimizer = saved.part("optimizer")
            unpack_optimizer(self._optimizer, checkpoint.group("optimizer"), optimizer, self.position.step)
            self._task.restore(saved.part("task"), checkpoint.group("task"))
        restore_generators(checkpoint.group("random"), self._device, path)
        self._log.rewind(log_bytes)

    def extend(self) -> None:
        """Go on after what was the last epoch, now that the config has more of them."""
        if self.position.finished:
            self.position.finished = False
            self._task.start_epoch(self.position.epoch)
            # A kill before the next checkpoint would leave a training that counts as finished.
            self._checkpoint()

    def train(self) -> Position:
        """Train until the last epoch, early stopping or a signal.

        Raises:
            DivergedError: the loss or a gradient is NaN or infinite; the last checkpoint is from before.
            Interrupted: a signal came; the checkpoint is of that moment.
            Exception: of a callback; so is the checkpoint.
        """
        try:
            # A kill or a signal in the last evaluation leaves the mean still to be tried.
            is_over = self.position.finished and not self._mean_is_due
            return self.position if is_over else self._train()
        finally:
            self.close()

    @property
    def seconds(self) -> float:
        """How long this part of the training has taken."""
        return self.position.seconds - self._seconds_before

    def close(self) -> None:
        """Let go of the files that it writes; closing twice is fine."""
        self._log.close()

    def _train(self) -> Position:
        self._model.train()
        self._seconds_before = self.position.seconds
        self._begin_as_first()
        if self.position.step == 0:
            self._average.begin()
            self._task.start_epoch(0)
            # From here on any kill can be resumed.
            self._checkpoint()
        several = self._processes.count > 1
        with catch_signals(several) as caught, self._progress:
            self._progress.started(self.position, self._config.epochs)
            last_checkpoint = self._clock = time.perf_counter()
            while not self.position.finished:
                if self._step(self._wishes(caught, last_checkpoint) if several else (0, 0)):
                    self.position.window.seconds += self._tick()
                else:
                    self._end_epoch()
                if self.position.window.steps >= self._config.log_every:
                    self._log_window()
                due = self._evaluation_is_due()
                if due:
                    self._evaluate()
                stop_by, asked = self._heard if several else self._wishes(caught, last_checkpoint)
                self._heard = (0, 0)
                if asked & _STOP:
                    self._stop_early()  # and what a callback says of its evaluation
                    asked |= (self._heard if several else self._wishes(caught, last_checkpoint))[1]
                if due or stop_by or asked & (_FAILED | _SAVE):
                    self._checkpoint()
                    last_checkpoint = self._clock
                if asked & _FAILED:
                    raise self.callbacks.error or said_elsewhere("a callback of the first process has failed")
                if stop_by:
                    raise Interrupted(stop_by, self._folder, self.position.step)
            self._log_window()
            self._try_mean()
            self._checkpoint()
            self._progress.finished(self.position)
        return self.position

    def _begin_as_first(self) -> None:
        """Take the weights and the generators that the first process has."""
        self._processes.take_over(list(self._model.state_dict().values()))
        own = generator_states(self._device)
        self._processes.take_over(list(own.values()))
        if self._processes.count > 1:
            set_generators(own, self._device)

    def _wishes(self, caught: list[int], last_checkpoint: float) -> tuple[int, int]:
        """A signal's number, and what this process asks for beside it; only the first one may."""
        asked = 0
        if self._processes.is_first:
            late = time.perf_counter() if self._processes.count > 1 else self._clock
            asked |= _STOP * self.callbacks.wants_to_stop
            asked |= _FAILED * (self.callbacks.error is not None)
            asked |= _SAVE * (late - last_checkpoint >= self._config.checkpoint_seconds)
        return caught[0] if caught else 0, asked

    def _gradients(self, wishes: tuple[int, int]) -> JointStep | None:
        """Leave the gradient of the next batch's loss in the model; None where the epoch has no more."""
        if self._sharing.is_whole:
            with self._autocast():
                step = self._task.next_loss()
            if step is None:
                return None
            loss = step.loss.item()
            self._check_finite(loss)
            self._optimizer.zero_grad(set_to_none=True)
            step.loss.backward()
            measured = loss if step.measured is None else step.measured
            return JointStep(loss, step.tokens, step.learning_rate_scale, measured)
        self._sharing.step_number = self.position.step
        with self._autocast():
            batch = self._task.next_batch()
        if batch is None:
            return None
        self._optimizer.zero_grad(set_to_none=True)
        found = self._sharing.step(self._model, batch, self._task.loss_of, self._autocast, wishes)
        self._check_finite(found.loss)
        self._heard = found.notes
        return found

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")

    def _step(self, wishes: tuple[int, int]) -> bool:
        """Take one optimiser step; False where the epoch has no more.

        Args:
            wishes: of this process, for the others to hear.
        """
        position, config = self.position, self._config
        step = self._gradients(wishes)
        if step is None:
            return False
        loss = step.loss
        gradient_norm = clip_gradients(self._model, config.clip_norm, config.clip_value)
        if not math.isfinite(gradient_norm):
            raise self._diverged(f"the gradient's norm is {gradient_norm}")
        progress = (position.epoch + self._task.epoch_progress) / config.epochs
        rate = learning_rate(config, progress, position.epoch, self._plateau.cuts) * step.learning_rate_scale
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        position.step += 1
        self._average.update(position.step)
        position.tokens += step.tokens
        window = position.window
        window.loss += step.measured * step.tokens
        window.tokens += step.tokens
        window.gradient_norm += gradient_norm
        window.steps += 1
        window.learning_rate = rate
        notes = {}
        if self._processes.is_first:
            notes = self._task.observe(position.step, gradient_norm, position.seconds)
        if notes:
            self._log.write({**self._where(), **notes})
            self._progress.noted(position, notes)
        self._progress.stepped(position, self._task.epoch_progress, step.measured, gradient_norm, rate)
        if self.callbacks.on_step is not None:
            epoch = position.epoch + self._task.epoch_progress
            event = StepEvent(position.step, epoch, loss, rate, gradient_norm, position.seconds)
            self.callbacks.stepped(event)
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
        is_last = position.epoch + 1 >= self._config.epochs
        # The last steps count as well, where evaluations do not fall on the epoch's end.
        if is_last and self._config.evaluate_every and position.evaluated_at != position.step:
            self._evaluate()
        position.epoch += 1
        if is_last:
            position.finished = True
            return
        self._task.start_epoch(position.epoch)
        if self._config.evaluate_every == 0:
            self._checkpoint()

    def _stop_early(self) -> None:
        """End the training as early stopping does; what came after the last evaluation is measured, too."""
        if self.position.evaluated_at != self.position.step:
            self._evaluate()
        self.position.finished = True

    def _evaluation_is_due(self) -> bool:
        every = self._config.evaluate_every
        return (
            bool(every)
            and self.position.step % every == 0
            and self.position.step != self.position.evaluated_at
        )

    def _evaluate(self) -> None:
        """Measure on the validation data; keep the weights if they are the best so far."""
        self.position.evaluated_at = self.position.step
        self._log_window()
        with self._average.in_place():
            metrics = self._measure()
            self._keep_weights(metrics.get(self._task.objective))
            improved = self._keep_if_best(metrics)
        if metrics:
            self._follow(metrics, improved)

    def _measure(self) -> dict[str, float]:
        """Metrics of the weights that the model has.

        Raises:
            DivergedError: one of them is NaN or infinite.
        """
        metrics = self._processes.from_first(self._task.evaluate(self._progress.evaluating))
        samples = self._processes.is_first and getattr(self._config, "show_samples", False)
        if samples and (text := self._task.sample()):
            self._progress.sampled(text)
        self._tick()
        broken = [name for name, value in metrics.items() if not math.isfinite(value)]
        if broken:
            raise self._diverged(f"{broken[0]} is {metrics[broken[0]]}")
        return metrics

    def _keep_weights(self, score: float | None) -> None:
        if self._kept.any:
            weights = self._model.state_dict() if self._processes.is_first else None
            self._kept.add(self.position.step, score, weights, WEIGHTS_METADATA)

    def _keep_if_best(self, metrics: dict[str, float]) -> bool:
        """Save the model's weights where they are to be kept; whether they are the best so far."""
        score, best = metrics.get(self._task.objective), self.position.best
        improved = score is not None and (
            best is None or (score > best if self._task.higher_is_better else score < best)
        )
        if improved:
            self.position.best = score
        if improved or score is None or self._config.keep == "last":
            self._save_weights()
        return improved

    def _follow(self, metrics: dict[str, float], improved: bool) -> None:
        """What follows from an evaluation: the schedule, the log, what callbacks say, early stopping."""
        position = self.position
        position.evaluations_since_best = 0 if improved else position.evaluations_since_best + 1
        self._plateau.observe(improved)
        self._log.write({**self._where(), **metrics})
        self._progress.evaluated(position, metrics, improved)
        if self.callbacks.on_evaluation is not None:
            epoch = position.epoch + self._task.epoch_progress
            self.callbacks.evaluated(
                EvaluationEvent(position.step, epoch, metrics, improved, position.seconds, self._folder)
            )
            if self._processes.count > 1:
                self._heard = (self._heard[0], self._wishes([], math.inf)[1])
        if self._processes.count > 1:
            self._heard = (self._heard[0], self._processes.from_first(self._heard[1]))
        patience = self._config.early_stopping
        if patience and position.evaluations_since_best >= patience:
            position.finished = True

    @property
    def _mean_is_due(self) -> bool:
        return bool(self._config.average) and self._kept.mean_at != self.position.step

    def _try_mean(self) -> None:
        """Measure the mean of the last evaluations' weights at the end, and keep it where it does better."""
        if not self._mean_is_due:
            return
        self._kept.mean_at, count = self.position.step, self._kept.count
        if count < 2:
            self._progress.remark("--average had nothing to do: the training had one evaluation only")
            return
        weights = self._kept.mean() if self._processes.is_first else dict(self._model.state_dict())
        with weights_in_place(self._model, weights, self._kept.files):
            self._processes.take_over(list(self._model.state_dict().values()))
            metrics = self._measure()
            improved = self._keep_if_best(metrics)
        said = ""
        if metrics:
            self._log.write({**self._where(), **{f"mean_{name}": value for name, value in metrics.items()}})
            said = f": {self._task.describe(metrics)}"
        is_kept = improved or not metrics or self._config.keep == "last"
        self._progress.remark(
            f"mean of the weights of the last {count} evaluations{said} "
            f"({'kept' if is_kept else 'not kept: the best did better'})"
        )

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
        if not self._processes.is_first:
            return
        save_tensors(self._folder / WEIGHTS, self._model.state_dict(), WEIGHTS_METADATA)

    def _checkpoint(self) -> None:
        # The state of all shares comes together here.
        task_state, task_tensors = self._task.state()
        optimizer_tensors, optimizer_state = pack_optimizer(self._optimizer)
        self._keep_together(optimizer_tensors)
        if not self._processes.is_first:
            self._tick()
            return
        checkpoint = Checkpoint(
            {
                "position": asdict(self.position),
                "plateau": asdict(self._plateau),
                "task": task_state,
                "optimizer": optimizer_state,
                "log_bytes": self._log.flush(),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "kernels": self._kernels,
            }
        )
        checkpoint.add("model", dict(self._model.state_dict()))
        checkpoint.add("optimizer", optimizer_tensors)
        checkpoint.add("task", task_tensors)
        checkpoint.add("random", generator_states(self._device))
        checkpoint.add("ema", self._average.tensors)
        if self._kept.any:
            checkpoint.state["kept"] = self._kept.state()
        checkpoint.save(self._folder / CHECKPOINT)
        if self._kept.any:
            self._kept.clear()
        self._tick()

    def _keep_together(self, optimizer_tensors: dict[str, Tensor]) -> None:
        """Hold the processes to the same weights: another kind of processor may round another way."""
        if self._processes.count == 1:
            return
        weights = list(self._model.state_dict().values())
        whole = [weight.detach().contiguous().reshape(-1).view(torch.uint8) for weight in weights]
        digest = sum((number + 1) * int(part.sum(dtype=torch.int64)) for number, part in enumerate(whole))
        found = self._processes.gather(torch.tensor([[digest]])).flatten().tolist()
        if drifted := [rank for rank, other in enumerate(found) if other != found[0]]:
            self._progress.remark(
                f"the weights of rank {drifted[0]} are not those of rank 0 to the last bit, as on another "
                f"kind of processor: it takes over those of rank 0"
            )
            averages = list(self._average.tensors.values())
            self._processes.take_over([*weights, *optimizer_tensors.values(), *averages])

    def _autocast(self) -> torch.autocast:
        mixed = resolve_precision(self._config, self._device) == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=mixed)

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"training diverged at step {self.position.step + 1}: {what}. The last good checkpoint is kept. "
            f"Start again with a lower --learning-rate (now {self._config.learning_rate:g}) or --clip-norm "
            f"(now {self._config.clip_norm:g}){self._task.advice()}"
        )
