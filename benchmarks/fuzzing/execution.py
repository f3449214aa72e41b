"""One input, executed in this process by the program's own entry, and judged by what a user would see."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.target import Case

ACCEPTED, REFUSED = "accepted", "refused"
MOST_SECONDS = 10.0
MOST_MEGABYTES = 2048.0
_LONGEST_MESSAGE = 2000
# Above what counts as too much, and below what would take the machine down.
_SPARE_ADDRESSES = 8 << 30
_WARNING = re.compile(r"^\S.*: (\w*Warning): ", re.MULTILINE)
# Garbage of earlier inputs is collected wherever the interpreter stands, at the end of its stack, too: what
# finalises it then has no room to run. A user's process, which reads one input, has no such garbage.
_NO_ROOM = re.compile(
    r"^Exception ignored in.*\nTraceback \(most recent call last\):\n(?:  .*\n)*RecursionError: .*\n?",
    re.MULTILINE,
)
_PACKAGE = f"{os.sep}throughtime{os.sep}"


@dataclass
class Outcome:
    """What became of an input.

    Args:
        kind: accepted, refused, or what was wrong.
        error: the exception's type, where there was one.
        where: the innermost line of Throughtime's that took part.
        message: what the user saw.
        seconds: of the processor.
        megabytes: the most that the process had at one time.
    """

    kind: str
    error: str = ""
    where: str = ""
    message: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def failed(self) -> bool:
        return self.kind not in (ACCEPTED, REFUSED)

    @property
    def cause(self) -> tuple[str, str, str]:
        """Failures with the same cause are one."""
        return self.kind, self.error, self.where

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Executor:
    """Runs inputs one after the other, each in a folder of its own.

    Args:
        folder: for these folders.
        noise: the file that descriptors 1 and 2 go to: what C libraries say beside Python's streams.
    """

    def __init__(self, folder: Path, noise: int | None = None) -> None:
        self._folder = folder
        self._noise = noise
        self._command = program()
        self._count = 0
        self.output = self.errors = ""

    def run(self, case: Case) -> Outcome:
        """Execute an input."""
        self._count += 1
        if self._count % 50 == 0:
            gc.collect()  # readers that were left in the middle hold files open
        shutil.rmtree(self._folder, ignore_errors=True)
        write_files(self._folder, case)
        os.chdir(self._folder)
        noise_before = 0 if self._noise is None else os.fstat(self._noise).st_size
        forget_peak()
        begin = time.process_time()
        with _streams(case.stdin) as (output, errors):
            code, failure = self._call(case.command)
        seconds, megabytes = time.process_time() - begin, peak_megabytes()
        self.output, self.errors = _text_of(output), _NO_ROOM.sub("", _text_of(errors))
        outcome = self._judge(case, code, failure)
        if not outcome.failed and self._noise is not None:
            outcome = self._listen(outcome, noise_before)
        if not outcome.failed and seconds > MOST_SECONDS:
            outcome.kind = "slow"
        if not outcome.failed and megabytes > MOST_MEGABYTES:
            outcome.kind = "memory"
        outcome.seconds, outcome.megabytes = seconds, megabytes
        return outcome

    def _call(self, arguments: tuple[str, ...]) -> tuple[int, BaseException | None]:
        """The exit code, and what was raised."""
        try:
            if arguments[0].startswith("@"):
                FUNCTIONS[arguments[0]](*arguments[1:])
            else:
                self._command(list(arguments))
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            return code, stop
        except BaseException as error:
            from throughtime.errors import ThroughtimeError

            if arguments[0].startswith("@") and isinstance(error, ThroughtimeError):
                print(f"error: {error}", file=sys.stderr)
                return 2, error
            return -1, error
        return 0, None

    def _judge(self, case: Case, code: int, failure: BaseException | None) -> Outcome:
        errors, where, name = self.errors, _innermost(failure), ""
        found = _ours(failure)
        if found is not None:
            name = type(found).__name__
        message = errors[-600:].strip()
        if code == -1:
            assert failure is not None
            return Outcome("traceback", type(failure).__name__, where, str(failure)[:600])
        if "Traceback (most" in errors:
            return Outcome("traceback", name, where, message)
        if warned := _WARNING.search(errors):
            return Outcome("warning", warned[1], warned[0][-120:], message)
        if code == 2:
            if errors.startswith("Usage: "):
                return Outcome(REFUSED, "Usage", "", message)
            _, mark, line = errors.rpartition("error: ")
            whole = errors[errors.find("error: ") :] if mark else errors
            if not mark or not line.strip() or "\n" in whole.rstrip("\n"):
                return Outcome("not one line", name, where, whole[:600])
            if len(line) > _LONGEST_MESSAGE:
                return Outcome("endless message", name, where, line[:300])
            return Outcome(REFUSED, name, where, line.strip())
        if code:
            return Outcome(f"exit code {code}", name, where, message)
        if len(remark := max(errors.splitlines(), key=len, default="")) > 2 * _LONGEST_MESSAGE:
            return Outcome("endless message", "remark", case.command[0], remark[:300])
        if "--json" in case.command and (fault := _fault_of_json(self.output)):
            return Outcome("bad JSON", fault, case.command[0], self.output[-300:])
        return Outcome(ACCEPTED)

    def _listen(self, outcome: Outcome, before: int) -> Outcome:
        """Whether a C library printed something behind Python's back."""
        assert self._noise is not None
        if os.fstat(self._noise).st_size == before:
            return outcome
        said = os.pread(self._noise, 300, before).decode("utf-8", "replace")
        return Outcome("noise", re.sub(r"\d+|0x\w+", "N", said)[:60], outcome.where, said)


def scratch_folder() -> str | None:
    """Where files are in memory, if there is such a place: inputs are written and removed all the time."""
    shared = "/dev/shm"
    try:
        return shared if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30 else None
    except OSError:
        return None


def write_files(folder: Path, case: Case) -> None:
    """The files of an input, as the command finds them."""
    folder.mkdir(parents=True)
    for path in {os.path.dirname(path) for path in case.files}:
        os.makedirs(folder / path, exist_ok=True)
    for path, content in case.files.items():
        (folder / path).write_bytes(content)


def limit_memory() -> None:
    """Let no input take the machine's memory: what asks for more than this gets a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limit = pages * resource.getpagesize() + _SPARE_ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def forget_peak() -> None:
    """Let the system measure the most memory from here on, where it can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_megabytes() -> float:
    """The most memory that this process has had, since `forget_peak` where that works."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def resident_megabytes() -> float:
    """The memory that this process has now; 0 where nobody says."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return 0.0


@contextmanager
def _streams(stdin: bytes) -> Any:
    """Standard streams as `throughtime.cli.main` sets them up for pipes, kept in memory."""
    before = sys.stdin, sys.stdout, sys.stderr
    output, errors = io.BytesIO(), io.BytesIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(one, "utf-8", "replace", write_through=True) for one in (output, errors)
    )
    kept = sys.stdin, sys.stdout, sys.stderr
    try:
        with warnings.catch_warnings():
            # Or a file that an input before this one left open would be warned of while there is no filter.
            gc.disable()
            # What Python shows by default, every time and not only the first.
            warnings.resetwarnings()
            for unseen in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", unseen)
            warnings.simplefilter("always", append=True)
            warnings.showwarning = _show_warning
            gc.enable()
            yield output, errors
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in kept:
            if stream is not None and not stream.closed:
                stream.detach()


def _show_warning(message: Warning | str, category: type[Warning], file: str, line: int, *_: Any) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, file, line))


def _text_of(stream: io.BytesIO) -> str:
    return "" if stream.closed else stream.getvalue().decode("utf-8", "replace")


def import_everything() -> None:
    """Before there are processes, and in one thread: what a fork inherits costs nothing again.

    But onnxruntime: it starts a thread, and a fork that ends as programs do would wait for that.
    """
    import av  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import onnx  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import soundfile  # noqa: F401
    import torch
    import torch._dynamo  # noqa: F401 - which an optimiser takes seconds to import
    from PIL import Image

    import throughtime.inspection  # noqa: F401
    from throughtime.cli import app

    app.build(set(app.COMMANDS))
    Image.init()


@cache
def program() -> Callable[[list[str]], Any]:
    """`throughtime` by its own entry, which finds the application made already, with all its commands."""
    import typer.main

    from throughtime.cli import app

    command = typer.main.get_command(app.build(set(app.COMMANDS)))
    setattr(app, "build", lambda wanted: lambda: command.main(sys.argv[1:], "throughtime"))  # noqa: B010

    def call(arguments: list[str]) -> None:
        sys.argv = ["throughtime", *arguments]
        app.run()

    return call


def _ours(failure: BaseException | None) -> BaseException | None:
    """The error of ours that became an exit code, where there is one."""
    from throughtime.errors import ThroughtimeError

    while failure is not None and not isinstance(failure, ThroughtimeError):
        failure = failure.__context__
    return failure


def _innermost(failure: BaseException | None) -> str:
    """The last line of Throughtime's own on the way to an exception."""
    found = _ours(failure) or failure
    frames = [] if found is None else traceback.extract_tb(found.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in frame.filename and "fuzzing" not in frame.filename]
    if not ours:
        return ""
    return f"{ours[-1].filename.rpartition(_PACKAGE)[2]}:{ours[-1].lineno} {ours[-1].name}"


def _fault_of_json(text: str) -> str:
    """Why it is not one JSON document, or one a line; "" where it is."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
        return ""
    except ValueError:
        pass
    try:
        for line in text.split("\n"):
            if line.strip():
                json.loads(line, parse_constant=refuse)
    except ValueError as error:
        return str(error).split(":")[0][:40]
    return ""


# ---- what has no command


def _restore(folder: str, snapshot: str) -> None:
    """Go on with a session whose snapshot is damaged."""
    from throughtime.run import Run

    run: Any = Run.open(folder, threads=1)
    session = run.restore_session(Path(snapshot).read_bytes())
    if hasattr(session, "forecast"):
        session.forecast([{"holiday": 0, "kind": "sale"}] * 3)
        session.snapshot()
        return
    with session:
        session.write(4)
        session.snapshot()


def _engine(folder: str) -> None:
    """The runtime by itself, which reads config.toml and the weights in its own way."""
    from throughtime.runtime import Engine

    engine = Engine.load(folder, threads=1)
    engine.step(engine.open(2), [0, engine.vocabulary_size - 1])


def _draw_loss(folder: str) -> None:
    """The picture that a resumed training ends with."""
    from throughtime.training.log import draw_loss

    draw_loss(Path(folder))


FUNCTIONS: dict[str, Callable[..., None]] = {"@restore": _restore, "@engine": _engine, "@loss": _draw_loss}


def _capture_once() -> None:
    """Networks of the same modules and sizes have one program: tracing one takes as long as ten inputs."""
    from throughtime.capture import network

    capture, known = network.capture_network, {}

    def capture_network(model: Any, options: Any = None) -> Any:
        shapes = [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
        key = repr((options, model, shapes))
        if key not in known:
            known[key] = capture(model, options)
        return known[key]

    setattr(network, "capture_network", capture_network)  # noqa: B010


def shorten_trainings() -> None:
    """A new training ends before its first step, when the data is read; a resumed one after its first."""
    from throughtime.training.trainer import Trainer

    def train(self: Any) -> None:
        try:
            if self.position.step and not self.position.finished:
                self._model.train()
                if not self._step((0, 0)):
                    self._end_epoch()
                self._log_window()
                self._checkpoint()
        finally:
            self.close()
        raise SystemExit(0)

    setattr(Trainer, "train", train)  # noqa: B010 - it returns nothing, as it never returns
    _capture_once()
    # What the disk takes to be safe is not what is measured here.
    os.fsync = lambda descriptor: None
