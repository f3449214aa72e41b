"""The processes of one training: who they are, what they say to each other, and what happens if one ends.

Any launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT starts them: torchrun, its like on a
cluster, or `throughtime train --processes`. The first process, rank 0, decides: it reads the user's data and
writes the run folder. The others wait to hear what to train, and hold the same weights.

They meet at a key-value store, where waiting costs nothing and never times out, and share out steps by
collectives (gloo on the CPU, nccl on GPUs), which fail as soon as a process ends.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from throughtime.errors import ProcessError, ThroughtimeError
from throughtime.places import Place, place_here, unused_processes
from throughtime.training.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from throughtime.cells import State

# A collective waits so long for a process that does not answer and has not ended either. One writes
# checkpoints and pictures while the others wait, which takes seconds, on a slow network file system minutes.
_PATIENCE = datetime.timedelta(minutes=15)
_MEETING = datetime.timedelta(minutes=10)
_BEAT = 1.0
# A process that has not given a sign of life for so many beats has ended.
_SILENT_BEATS = 3
_POLL = 0.05
# How long the first process waits for the others to leave in the end, and after an error.
_GOODBYE, _HURRY = 30.0, 2.0

# What the first process tells when nothing more is to be trained.
END = {"kind": "end"}

_ERROR, _LEFT, _MESSAGE, _BEATS, _NAME = "error", "left", "message", "beat", "name"


class Processes:
    """All processes of a training, as one of them sees them. Alone it is the only one, and nothing is sent.

    Args:
        place: whose view it is.
        store: where they meet, a `torch.distributed.Store`; None for one that is alone.
    Attributes:
        rank: this one's number; 0 writes and speaks.
        count: W.
        seconds: that this process has spent in collectives.
    """

    def __init__(self, place: Place | None = None, store: Any = None) -> None:
        self.place = place or Place()
        self.rank, self.count = self.place.rank, self.place.count
        self._store = store
        self._heart: _Heart | None = None
        self._messages = 0
        self._is_open = False

    @property
    def is_first(self) -> bool:
        """Whether this is the one that reads the data, writes the folder and speaks to the user."""
        return self.rank == 0

    # ---- before and after a training

    def tell(self, message: dict[str, Any]) -> None:
        """Let the others, who `hear`, know what comes next."""
        if self._store is not None:
            self._store.set(f"{_MESSAGE}/{self._messages}", json.dumps(message))
            self._messages += 1

    def hear(self) -> dict[str, Any]:
        """Wait for what the first process tells, as long as it takes.

        Raises:
            ProcessError: it has ended.
        """
        key = f"{_MESSAGE}/{self._messages}"
        while not self._has(key):
            if self._has(f"{_ERROR}/0"):
                raise said_elsewhere("the first process has stopped")
            time.sleep(_POLL)
        self._messages += 1
        assert self._store is not None
        return json.loads(self._store.get(key))

    def open(self, device: torch.device) -> None:
        """Get ready for collectives over tensors of this device; all processes call it."""
        if self.count == 1 or self._is_open:
            return
        import torch.distributed as dist
        from torch._C._distributed_c10d import PrefixStore

        assert self._store is not None
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with self._failing():
            dist.init_process_group(
                backend,
                store=PrefixStore("collectives", self._store),
                rank=self.rank,
                world_size=self.count,
                timeout=_PATIENCE,
            )
            self._is_open = True
            dist.barrier()

    def meet(self) -> None:
        """Say that this process is there."""
        assert self._store is not None
        self._store.set(f"{_NAME}/{self.rank}", f"{os.getpid()} on {socket.gethostname()}")
        self._heart = _Heart(self._store, self.rank)
        self._heart.start()

    def stop_beating(self) -> None:
        """Give no more signs of life."""
        if self._heart is not None:
            self._heart.stop()

    def leave(self, error: BaseException | None) -> None:
        """Close what is open. Where all went well the first process leaves last: it may hold the store."""
        if self._store is None:
            return
        import torch.distributed as dist

        with contextlib.suppress(RuntimeError):  # the store may be gone with the process that held it
            if error is None and self.is_first:
                self.tell(END)
            if error is not None:
                # Nothing, where another process tells the user: whoever reads it must not rely on this one.
                said = "" if getattr(error, "said_elsewhere", False) else str(error) or type(error).__name__
                self._store.set(f"{_ERROR}/{self.rank}", said)
            self._store.add(_LEFT, 1)
            # Who waits to hear something, and not in a collective, leaves at once.
            patience = _GOODBYE if error is None else 0.0 if self._is_open else _HURRY
            until = time.monotonic() + patience
            while self.is_first and time.monotonic() < until:
                if self._store.add(_LEFT, 0) >= self.count:
                    break
                time.sleep(_POLL)
        self.stop_beating()
        if self._is_open and error is None:
            dist.destroy_process_group()
        elif self._is_open:
            # Those who are left may still wait in a collective: ending it is the quickest word to them.
            with contextlib.suppress(Exception):
                dist.destroy_process_group()
        self._is_open = False

    def is_said_by_first(self, text: str) -> bool:
        """Whether the first process has ended with the same error, and so tells the user."""
        until = time.monotonic() + _SILENT_BEATS * _BEAT
        while time.monotonic() < until:
            if self._has(f"{_ERROR}/0"):
                assert self._store is not None
                return self._store.get(f"{_ERROR}/0").decode(errors="replace") == text
            time.sleep(_POLL)
        return False

    # ---- in a training: every process calls each of these, in the same order

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (K, N) on the CPU of each process, below each other in their order."""
        if self.count == 1:
            return rows
        joint = rows.new_empty(self.count * rows.shape[0], *rows.shape[1:])
        with self._failing():
            _gather(joint, rows.contiguous())
        return joint

    def sum(self, flat: Tensor) -> Tensor:
        """The sum over all processes, in place, with the same bits in each."""
        if self.count > 1:
            import torch.distributed as dist

            with self._failing():
                dist.all_reduce(flat)
        return flat

    def exchange(self, rows: Tensor) -> Tensor:
        """Give every process its piece of each of this one's rows.

        Args:
            rows: (K, N), W divides N.
        Returns:
            (W * K, N / W): this process's piece of the rows of all.
        """
        import torch.distributed as dist

        piece = rows.shape[1] // self.count
        outgoing = rows.view(rows.shape[0], self.count, piece).transpose(0, 1).contiguous()
        incoming = torch.empty_like(outgoing)
        with self._failing():
            dist.all_to_all_single(incoming.view(-1), outgoing.view(-1))
        return incoming.flatten(0, 1)

    def join_pieces(self, piece: Tensor) -> Tensor:
        """The pieces (N / W,) of all processes behind each other."""
        joint = piece.new_empty(self.count * len(piece))
        with self._failing():
            _gather(joint, piece)
        return joint

    def gather_bytes(self, data: bytes) -> list[bytes]:
        """The bytes that each process gives."""
        if self.count == 1:
            return [data]
        lengths = self.gather(torch.tensor([[len(data)]])).flatten().tolist()
        padded = torch.zeros(1, max(*lengths, 1), dtype=torch.uint8)
        if data:
            padded[0, : len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        joint = self.gather(padded)
        return [row[:length].numpy().tobytes() for row, length in zip(joint, lengths, strict=True)]

    def gather_tensors(self, own: Sequence[State]) -> list[State]:
        """Tuples of tensors of each process, on the CPU, behind each other in their order."""
        counts = torch.tensor([len(state) for state in own])
        data = pack([counts, *(part for state in own for part in state)])
        found: list[State] = []
        for packed in self.gather_bytes(data):
            sizes, *parts = unpack(packed)
            for size in sizes.tolist():
                found.append(tuple(parts[:size]))
                parts = parts[size:]
        return found

    def from_first(self, value: Any) -> Any:
        """What the first process has, as JSON can hold it."""
        if self.count == 1:
            return value
        data = json.dumps(value).encode() if self.is_first else b""
        return json.loads(self.gather_bytes(data)[0])

    def take_over(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors the values that they have in the first process."""
        if self.count == 1:
            return
        import torch.distributed as dist

        with self._failing():
            for tensor in tensors:
                dense = tensor.detach().contiguous()
                dist.broadcast(dense, 0)
                if dense.data_ptr() != tensor.data_ptr():
                    tensor.detach().copy_(dense)

    def in_turns(
        self, items: Sequence[Any], compute: Callable[[Any], Sequence[NDArray[Any]]]
    ) -> Iterator[Sequence[NDArray[Any]]]:
        """What a function gives for each item, in their order, in every process; each computes every W-th.

        Args:
            items: the same in every process.
            compute: gives arrays, and the same ones wherever it is called.
        """
        if self.count == 1:
            yield from map(compute, items)
            return
        for start in range(0, len(items), self.count):
            own = start + self.rank
            arrays = compute(items[own]) if own < len(items) else ()
            found = pack([torch.from_numpy(np.require(one, requirements=["C", "W"])) for one in arrays])
            for packed in self.gather_bytes(found)[: len(items) - start]:
                yield [one.numpy() for one in unpack(packed)]

    # ---- when one ends

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn a collective's failure into the reason: which process has ended."""
        try:
            yield
        except RuntimeError as error:  # also that of torch.distributed
            raise self._reason(error) from error

    def _reason(self, error: RuntimeError) -> ProcessError:
        missing = self._silent()
        if missing is None:
            text = "the processes' meeting place is gone, with the first process or with what started them"
            return ProcessError(text)
        errors = self._errors()
        if said := [rank for rank, text in errors.items() if text]:
            return said_elsewhere(f"process {said[0]} has stopped")
        missing = [rank for rank in missing if rank not in errors]
        living = [rank for rank in range(self.count) if rank not in missing]
        if not missing:
            return ProcessError(f"the processes cannot reach each other: {str(error).splitlines()[0]}")
        if living and living[0] != self.rank:
            return said_elsewhere(f"process {missing[0]} has ended")
        assert self._store is not None
        names = [f"rank {rank} (process {self._name(rank)})" for rank in missing]
        verb = "has" if len(names) == 1 else "have"
        return ProcessError(f"{' and '.join(names)} {verb} ended, so the others stop")

    def _silent(self) -> list[int] | None:
        """The processes that give no sign of life; None where the store is gone."""
        before = self._beats()
        until = time.monotonic() + _SILENT_BEATS * _BEAT
        while True:
            now = self._beats()
            if before is None or now is None:
                return None
            silent = [
                rank
                for rank, (old, new) in enumerate(zip(before, now, strict=True))
                if old == new and rank != self.rank
            ]
            if not silent or any(self._errors().values()) or time.monotonic() >= until:
                return silent
            time.sleep(_POLL)

    def _errors(self) -> dict[int, str]:
        """What ended other processes, by their ranks; "" for one that another has ended."""
        assert self._store is not None
        ranks = [rank for rank in range(self.count) if rank != self.rank and self._has(f"{_ERROR}/{rank}")]
        return {rank: self._store.get(f"{_ERROR}/{rank}").decode(errors="replace") for rank in ranks}

    def _beats(self) -> list[int] | None:
        assert self._store is not None
        try:
            return [self._store.add(f"{_BEATS}/{rank}", 0) for rank in range(self.count)]
        except RuntimeError:
            return None

    def _name(self, rank: int) -> str:
        assert self._store is not None
        key = f"{_NAME}/{rank}"
        return self._store.get(key).decode(errors="replace") if self._has(key) else "never seen"

    def _has(self, key: str) -> bool:
        assert self._store is not None
        try:
            return self._store.check([key])
        except RuntimeError:
            raise ProcessError(
                "the processes' meeting place is gone, with the first process or with what started them"
            ) from None


def _gather(joint: Tensor, own: Tensor) -> None:
    import torch.distributed as dist

    # Newer versions of torch have it by another name, and warn of this one.
    name = "all_gather_single" if hasattr(dist, "all_gather_single") else "all_gather_into_tensor"
    getattr(dist, name)(joint, own)


ALONE = Processes()

_joined: Processes | None = None
_meetings = 0
# Made once: where the first process holds it, the others could meet again at one that is about to close.
_place_to_meet: Any = None


@contextmanager
def joined(remark: Callable[[str], None]) -> Iterator[Processes]:
    """The processes that train together, for as long as a training lasts; within another such context, its.

    Args:
        remark: called with a warning where a scheduler has started several and this one is alone.
    """
    global _joined, _meetings, _place_to_meet
    if _joined is not None:
        yield _joined
        return
    place = place_here()
    if place.count == 1:
        if warning := unused_processes():
            remark(warning)
        yield Processes(place)  # which may have been started again
        return
    from torch._C._distributed_c10d import PrefixStore

    if _place_to_meet is None:
        _place_to_meet = _found_place(place)
    _meetings += 1
    # An agent's store outlives the processes that it starts again, and all that they have said.
    meeting = f"throughtime/{place.restarts}/{_meetings}"
    processes = Processes(place, PrefixStore(meeting, _place_to_meet))
    processes.meet()
    _joined = processes
    try:
        yield processes
    except BaseException as error:
        processes.leave(error)
        if not processes.is_first and isinstance(error, (ThroughtimeError, OSError)):
            _say_once(processes, error)
        raise
    else:
        processes.leave(None)
    finally:
        _joined = None


def _found_place(place: Place) -> Any:
    """The store at which the processes meet.

    Raises:
        ProcessError: it cannot be made or reached.
    """
    from torch.distributed.rendezvous import rendezvous

    try:
        return next(rendezvous("env://", place.rank, place.count, timeout=_MEETING))[0]
    except (RuntimeError, ValueError) as error:  # also that of torch.distributed, of a socket or a variable
        where = ":".join(
            os.environ.get(name, f"({name} is not set)") for name in ("MASTER_ADDR", "MASTER_PORT")
        )
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ProcessError(
            f"rank {place.rank} of {place.count} cannot meet the others at {where}: {reason}"
        ) from error


def _say_once(processes: Processes, error: ThroughtimeError | OSError) -> None:
    """Keep an error of all processes for the first one to say; name the process where it is this one's."""
    if isinstance(error, ProcessError):
        return
    if processes.is_said_by_first(str(error)):
        raise said_elsewhere(str(error)) from error
    raise ProcessError(f"rank {processes.rank} on {socket.gethostname()}: {error}") from error


def said_elsewhere(text: str) -> ProcessError:
    """What ends this process, where another one tells the user."""
    error = ProcessError(text)
    error.said_elsewhere = True
    return error


class _Heart(threading.Thread):
    """Says every second that this process lives; ends it where what started it has ended."""

    def __init__(self, store: Any, rank: int) -> None:
        super().__init__(daemon=True)
        # Older versions of torch have no clone; then both threads take turns, and neither waits in the store.
        self._store = store.clone() if hasattr(store, "clone") else store
        self._key = f"{_BEATS}/{rank}"
        self._stopped = threading.Event()
        # Not who that is now: it may have ended before this process could ask. On Windows who started a
        # process is never another, and may be the launcher of a virtual environment.
        parent = os.environ.get(PARENT) if os.name == "posix" else None
        self._parent = int(parent) if parent else None

    def stop(self) -> None:
        """Stop, and wait for that: a thread in the store must not outlive it."""
        self._stopped.set()
        self.join(5 * _BEAT)

    def run(self) -> None:
        while not self._stopped.is_set():
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(1)  # nobody is left who could stop this process
            with contextlib.suppress(RuntimeError):
                self._store.add(self._key, 1)
            self._stopped.wait(_BEAT / 2)


# Set by `throughtime train --processes`, for its children.
PARENT = "THROUGHTIME_PARENT"
