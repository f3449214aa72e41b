"""The fuzz itself: the same number is the same input, and nothing that goes wrong is overlooked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from fuzzing import execution, workers
from fuzzing.damage import FORMATS, Damage, damage
from fuzzing.damage_archives import checkpoint_with_checksum, snapshot_with_checksum
from fuzzing.execution import FUNCTIONS, Executor, Outcome
from fuzzing.report import Report
from fuzzing.seeds import Seeds
from fuzzing.target import Case, Target
from fuzzing.workers import Pool

from throughtime.errors import CheckpointError, DataError
from throughtime.runtime import Engine, Stream
from throughtime.training.checkpoint import Checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzz forks, and reads /proc")

WEIGHTS = {
    "recurrent.cells.0.weight_ih": (3, 4),
    "recurrent.cells.0.weight_hh": (3, 3),
    "output.weight": (4, 3),
    "output.bias": (4,),
}
SEEDS = Seeds({"a.csv": b"text,label\ngood,1\nbad,0\n", "b.csv": b"x,y\n1,2\n"})


def raise_error() -> None:
    raise ValueError("a bug")


def refuse() -> None:
    raise DataError("a.csv line 2: not a number")


def refuse_in_lines() -> None:
    raise DataError("a.csv line 2:\nnot a number")


def remark_at_length() -> None:
    print("left out: " + "x" * 5000, file=sys.stderr)


def warn() -> None:
    import warnings

    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def speak_as_a_library() -> None:
    os.write(2, b"libsomething: warning\n")


def take_memory(megabytes: int) -> None:
    """Take memory in a worker that may take 150 MB."""
    # Counted from what the worker has: it shares less with a large process than that one's own memory.
    execution.MOST_MEGABYTES = execution.resident_megabytes() + 150
    bytearray(b"x") * (megabytes << 20)  # written to: memory that is only asked for is not taken


def loop() -> None:
    while True:
        pass


def outcome_of(function: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What a worker makes of it: between two inputs that are fine."""
    monkeypatch.setitem(FUNCTIONS, "@fine", lambda: None)
    monkeypatch.setitem(FUNCTIONS, "@tried", function)
    fine = Target("fine", "test", "a.csv", (), ("@fine",))
    tried = Target("tried", "test", "a.csv", (), ("@tried",))
    names = {0: fine, 1: tried, 2: fine}
    monkeypatch.setattr(workers, "draw", lambda number, seed, targets: (Random(number), names[number]))
    found = {number: outcome for number, _, outcome in Pool(SEEDS, [fine, tried], 0, 1).run(range(3))}
    assert [found[number].kind for number in (0, 2)] == ["accepted", "accepted"]
    return found[1]


def collect(error: type[Exception]) -> None:
    """Let garbage raise an error, of which Python's own hook tells and not pytest's."""

    class Garbage:
        def __del__(self) -> None:
            raise error("while it was collected")

    sys.unraisablehook = sys.__unraisablehook__
    Garbage()


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda: None, "accepted"),
        (lambda: collect(RecursionError), "accepted"),
        (lambda: collect(KeyError), "traceback"),
        (refuse, "refused"),
        (refuse_in_lines, "not one line"),
        (raise_error, "traceback"),
        (remark_at_length, "endless message"),
        (warn, "warning"),
        (speak_as_a_library, "noise"),
        (os.abort, "crash"),
        (lambda: sys.exit(1), "exit code 1"),
    ],
)
def test_what_goes_wrong_is_seen(
    function: Callable[[], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome_of(function, monkeypatch).kind == kind


def test_an_input_that_cannot_be_made_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def case(self: Target, random: Random, seeds: Seeds) -> Case:
        if self.name == "tried":
            raise NotImplementedError("a fault of the fuzz")
        return make(self, random, seeds)

    make = Target.case
    monkeypatch.setattr(Target, "case", case)
    outcome = outcome_of(lambda: None, monkeypatch)
    assert (outcome.kind, outcome.error) == ("crash", "exit 1")
    assert "a fault of the fuzz" in outcome.message


def test_a_worker_that_cannot_begin_ends_the_fuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    def shorten_trainings() -> None:
        raise RuntimeError("no such trainer")

    monkeypatch.setattr(workers, "shorten_trainings", shorten_trainings)
    with pytest.raises(SystemExit, match="before its first input: [^$]*no such trainer"):
        outcome_of(lambda: None, monkeypatch)


def test_an_input_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MOST_SECONDS", 0.5)
    assert outcome_of(loop, monkeypatch).kind == "hang"


def test_too_much_memory_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome_of(lambda: take_memory(400), monkeypatch).kind == "memory"
    assert outcome_of(lambda: take_memory(20), monkeypatch).kind == "accepted"


def test_nan_in_json_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(FUNCTIONS, "@json", lambda option: print('{"probability": NaN}'))
    outcome = Executor(tmp_path / "input").run(Case({"a": b""}, ("@json", "--json")))
    assert (outcome.kind, outcome.error) == ("bad JSON", "NaN")


def test_a_cause_is_reported_once_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("table", "tables", "a.csv", ("b.csv",), ("predict run a.csv",))
    report = Report(7, SEEDS.digest, tmp_path)
    failed = Outcome("traceback", "ValueError", "data/tables.py:1 read")
    assert report.add(3, target, failed)
    assert not report.add(4, target, failed)
    assert not report.add(5, target, Outcome("refused"))
    report.save(3, SEEDS, [target])
    assert (tmp_path / "3" / "b.csv").read_bytes() == SEEDS.files["b.csv"]
    command = (tmp_path / "3" / "command.sh").read_text()
    assert "throughtime predict run a.csv" in command and "--seed 7 --only 3" in command
    assert report.total.failures == {"traceback": 2}
    assert "2 traceback" in report.table()


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_the_same_number_is_the_same_damage(format: str) -> None:
    """Also of content that is of another format, as after other damage."""
    for content in (*SEEDS.files.values(), b"", bytes(range(256)) * 3):
        for number in range(60):
            first, second = (damage(Random(number), format, content, [b"other"]) for _ in range(2))
            assert first == second


def test_no_file_grows_beyond_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    grow: Damage = lambda random, data, others: data * 1000  # noqa: E731
    monkeypatch.setitem(FORMATS, "bytes", (grow,))
    lengths = [len(damage(Random(number), "bytes", b"x" * 100_000, [])) for number in range(20)]
    assert max(lengths) == 1 << 21


def nothing(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data


def test_checksums_are_right_again(tmp_path: Path) -> None:
    """Or damage would be refused for its checksum, and never reach the checks behind it."""
    path = tmp_path / "last.safetensors"
    tensors = {"model.a": torch.ones(2, 3), "random.cpu": torch.zeros(5, dtype=torch.uint8)}
    Checkpoint({"position": {"step": 3}}, tensors).save(path)
    content = path.read_bytes()
    moved = content.replace(b": 3}", b": 4}")
    path.write_bytes(moved)
    with pytest.raises(CheckpointError, match="checksum"):
        Checkpoint.load(path)
    path.write_bytes(checkpoint_with_checksum(nothing)(Random(0), moved, []))
    assert Checkpoint.load(path).state == {"position": {"step": 4}}
    path.write_bytes(checkpoint_with_checksum(nothing)(Random(0), content[:-5] + b"\1" * 5, []))
    assert Checkpoint.load(path).tensors["random.cpu"].tolist() == [1] * 5

    weights = {name: np.ones(shape, np.float32) for name, shape in WEIGHTS.items()}
    engine = Engine.from_tensors({"cell": "rnn", "layers": 1, "embedding": 0}, weights)
    with Stream(engine, seed=1) as stream:
        stream.read([1])
        snapshot = stream.snapshot()
    moved = snapshot.replace(b'\\"position\\": 1', b'\\"position\\": 7')
    assert moved != snapshot
    with pytest.raises(CheckpointError, match="checksum"):
        Stream.restore(engine, moved)
    assert Stream.restore(engine, snapshot_with_checksum(nothing)(Random(0), moved, [])).position == 7


def test_the_program_explains_itself() -> None:
    program = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--only" in done.stdout
