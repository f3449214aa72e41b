"""A tracker filled from metrics.jsonl, whenever that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from throughtime.config import RunConfig
from throughtime.errors import RunError, ThroughtimeError
from throughtime.hub.cache import refuse_hub_name
from throughtime.run.history import METRICS, read_metrics
from throughtime.run.layout import CONFIG
from throughtime.run.lock import writing
from throughtime.run.loss_picture import PICTURE
from throughtime.trackers import make_tracker
from throughtime.trackers.following import KnownRun, KnownRuns, errors_for_output, log_line
from throughtime.trackers.tensorboard import event_files


@dataclass(frozen=True)
class Filled:
    """What a tracker was told.

    Args:
        tracker: its name.
        run: what it calls the run; "" where runs are folders.
        new: lines that it did not have.
        lines: all that it has now.
    """

    tracker: str
    run: str
    new: int
    lines: int


def fill(folder: Path, name: str, remark: Callable[[str], None]) -> Filled:
    """Tell a tracker the lines of metrics.jsonl that it lacks. Doing so twice is fine.

    TensorBoard's files are written anew, from the first line on.

    Args:
        folder: the run folder.
        name: of the tracker.
        remark: called with a sentence where the file system has no locks.
    Raises:
        RunError: the folder is no run, has logged nothing, is being trained in, or the tracker failed.
        OptionError: there is no such tracker.
        MissingExtraError: its library is not installed.
    """
    refuse_hub_name(folder, "bring it here first, with `throughtime pull` and --out")
    config = RunConfig.load(folder / CONFIG)
    with writing(folder, remark):
        entries = read_metrics(folder)
        if not entries:
            raise RunError(f"{folder / METRICS} has no line: there is nothing to hand on")
        known, before = KnownRuns(folder), event_files(folder)
        one = KnownRun("", 0) if name == "tensorboard" else known.read().get(name, KnownRun("", 0))
        if name == "wandb" and one.lines >= len(entries):
            return Filled(name, one.run, 0, len(entries))  # where it is offline, each start leaves a folder
        try:
            with errors_for_output():
                tracker = make_tracker(name, folder, one.run, one.lines)
                tracker.start(config.model_dump())
                had = tracker.lines
                for place, entry in enumerate(entries):
                    log_line(tracker, place, entry)
                if had < len(entries) and (folder / PICTURE).exists():
                    tracker.artifact(folder / PICTURE)
                tracker.finish()
        except ThroughtimeError:
            raise
        except (Exception, SystemExit) as error:  # a library's own, of whatever kind
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise RunError(f"{name} failed: {reason}") from error
        if name == "tensorboard":
            for path in before:
                path.unlink(missing_ok=True)
        known.note(tracker)
    return Filled(name, tracker.run, max(len(entries) - had, 0), len(entries))
