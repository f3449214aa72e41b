"""Scalars for TensorBoard, written by the thread that trains."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from throughtime.errors import MissingExtraError
from throughtime.extras import install_command
from throughtime.files import GrowingFile


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
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise MissingExtraError(
                f"--tensorboard needs TensorBoard: install it with `{install_command('train')}`, or "
                "train with --no-tensorboard"
            ) from None
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
