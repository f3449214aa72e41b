"""Scalars for TensorBoard, written by the thread that trains."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from throughtime.files import GrowingFile
from throughtime.run.history import read_metrics
from throughtime.trackers.tracker import Tracker

_EVENTS = "events.out.tfevents.*"


class TensorBoard(Tracker):
    """Files of events in the run folder.

    Args:
        lines: how many lines of metrics.jsonl earlier files have; what they hold besides does not count.
    """

    # A file needs no waiting, and a thread would meet a full disk behind the training's back.
    has_thread = False

    def __init__(self, name: str, folder: Path, run: str, lines: int) -> None:
        if find_spec("tensorboard") is None:
            raise ImportError(name)
        super().__init__(name, folder, run, lines if event_files(folder) else 0)
        self._kept = self.lines
        self._events: EventFile | None = None

    def start(self, config: Mapping[str, Any]) -> None:
        pass  # a training that logs nothing leaves no file

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        if self._events is None:
            kept = read_metrics(self.folder)[: self._kept]
            # What was logged after a checkpoint is logged again, and in this file.
            self._events = EventFile(self.folder, int(kept[-1].get("step", 0)) + 1 if kept else None)
        for name, value in numbers.items():
            self._events.add(name, value, step)
        self.lines += 1

    def artifact(self, path: Path) -> None:
        pass  # TensorBoard shows the losses itself

    def finish(self) -> None:
        if self._events is not None:
            self._events.close()


def event_files(folder: Path) -> list[Path]:
    """The files of events that are in a run folder."""
    return sorted(folder.glob(_EVENTS))


class EventFile:
    """A file of TensorBoard events.

    torch's SummaryWriter writes in a thread of its own, which meets a full disk with a traceback and leaves
    the training to notice later.

    Args:
        folder: where to; the name has the time and the process.
        purge_step: what other files of the folder say from this step on does not count any more; None keeps
            all.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        # Their classes are made when they are imported, so no type checker knows them.
        events: Any = event_pb2
        summaries: Any = summary_pb2
        self._event, self._summary = events.Event, summaries.Summary
        stem = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}"
        number = 0
        while (path := folder / f"{stem}.{number}").exists():
            number += 1
        self._file = GrowingFile(path)
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if purge_step is not None:
            self._write(step=purge_step, session_log=events.SessionLog(status=events.SessionLog.START))

    def add(self, name: str, value: float, step: int) -> None:
        """Add a number."""
        number = self._summary.Value(tag=name, simple_value=float(value))
        self._write(step=step, summary=self._summary(value=[number]))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _write(self, **fields: object) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
