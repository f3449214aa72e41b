"""Several processes train what one does: the same losses, with groups the same bits; and what ends them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._C._distributed_c10d import HashStore

from tests.training.every_task import TEXT, write_every
from tests.training.process_worker import carry_out
from throughtime.cli.processes import check_processes, wait_for, without_processes
from throughtime.errors import OptionError, ProcessError, RunError
from throughtime.places import Place, check_alone, place_here, unused_processes
from throughtime.run.history import read_metrics
from throughtime.training import Interrupted, resume, train
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
from throughtime.training.processes import Processes, joined
from throughtime.training.shares import Share
from throughtime.training.sharing import Sharing

ROOT = Path(__file__).parents[2]
TASKS = ("text", "lines", "labels", "pairs", "captions", "frames", "recordings", "words", "numbers")
# All the others share out examples in the same way; these draw the most beside them.
IN_GROUPS = ("text", "frames", "pairs")
# Those with a state that is carried from step to step go on in other numbers of processes.
HOPS = (("hop", 0, "text"), ("hop-groups", 4, "text"), ("hop-groups", 4, "frames"))

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this PyTorch has no gloo, by which processes on CPUs reach each other",
)


def train_together(count: int, plan: list[Any], folder: Path) -> None:
    """Carry out a plan in so many processes."""
    path = folder / f"plan-{count}.json"
    path.write_text(json.dumps(plan, default=str))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": 1,
        "GLOO_SOCKET_IFNAME": "lo",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.process_worker", str(path)],
            cwd=ROOT,
            env={**os.environ, **{name: str(value) for name, value in {**common, "RANK": rank}.items()}},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * count, "\n".join(said)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs of every task by one process, two and four; one/, two/, one-groups/, four-groups/, hop/..."""
    folder = tmp_path_factory.mktemp("processes")
    threads = torch.get_num_threads()
    tasks = write_every(folder / "data")
    assert set(tasks) == set(TASKS)

    def begin(name: str, groups: int, task: str, stop_at: int | None = None) -> list[Any]:
        source, options = tasks[task]
        return [source, folder / name / task, {**options, "groups": groups}, stop_at]

    def go_on(stop_at: int | None) -> list[Any]:
        return [[None, folder / name / task, {}, stop_at] for name, _, task in HOPS]

    carry_out([begin("one", 0, task) for task in TASKS])
    carry_out([begin("one-groups", 4, task) for task in IN_GROUPS])
    begun = [begin(name, groups, task, stop_at=3) for name, groups, task in HOPS]
    missing = [folder / "nothing.txt", folder / "missing", {}, None]
    train_together(2, [missing] + [begin("two", 0, task) for task in TASKS] + begun, folder)
    carry_out(go_on(stop_at=6))
    hopped = {task for _, groups, task in HOPS if groups}
    others = [begin("four-groups", 4, task) for task in IN_GROUPS if task not in hopped]
    train_together(4, others + go_on(stop_at=None), folder)
    yield folder
    torch.set_num_threads(threads)


def assert_close(one: Path, other: Path) -> None:
    """The losses of every step and evaluation, and the gradients' norms."""
    mine, others = read_metrics(one), read_metrics(other)
    assert [entry["step"] for entry in mine] == [entry["step"] for entry in others]
    for a, b in zip(mine, others, strict=True):
        assert a.keys() == b.keys() and a["tokens"] == b["tokens"]
        for name in set(a) - {"seconds", "tokens_per_second"}:
            assert a[name] == pytest.approx(b[name], rel=1e-5, abs=1e-9), (name, a["step"])


def assert_same(one: Path, other: Path) -> None:
    """All that is kept, bit for bit."""
    mine, others = Checkpoint.load(one / CHECKPOINT).tensors, Checkpoint.load(other / CHECKPOINT).tensors
    names = {name for name in {*mine, *others} if not name.startswith("random.")}
    for name in sorted(names):
        assert torch.equal(mine[name], others[name]), name
    times = ("seconds", "tokens_per_second")
    rows = [
        [{name: entry[name] for name in entry if name not in times} for entry in read_metrics(folder)]
        for folder in (one, other)
    ]
    assert rows[0] == rows[1]
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_have_the_losses_of_one(trained: Path, task: str) -> None:
    assert_close(trained / "one" / task, trained / "two" / task)


def test_groups_give_the_same_bits_in_one_process_and_in_four(trained: Path) -> None:
    assert_same(trained / "one-groups" / "pairs", trained / "four-groups" / "pairs")


@pytest.mark.parametrize(("name", "groups", "task"), HOPS)
def test_a_training_goes_on_in_any_number_of_processes(
    trained: Path, name: str, groups: int, task: str
) -> None:
    """From two to one to four."""
    if groups:
        assert_same(trained / "one-groups" / task, trained / name / task)
    else:
        assert_close(trained / "one" / task, trained / name / task)


LONG: dict[str, Any] = {
    "hidden": 8,
    "embedding": 6,
    "batch": 4,
    "chunk": 10,
    "epochs": 12,
    "groups": 2,
    "log_every": 5,
    "threads": 1,
    "checkpoint_seconds": 0.1,
    "tensorboard": False,
}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks for the processes in /proc")
def test_a_killed_process_ends_the_others_and_costs_no_bit(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    train(tmp_path / "text.txt", out=tmp_path / "whole", **LONG)
    options = [
        part
        for name, value in LONG.items()
        for part in (["--no-tensorboard"] if value is False else [f"--{name.replace('_', '-')}", str(value)])
    ]
    folder = tmp_path / "run"
    command = ["train", tmp_path / "text.txt", "--out", folder, *options, "--processes", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "throughtime", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as parent:
        until = time.monotonic() + 120
        while not read_some_metrics(folder) and time.monotonic() < until:
            time.sleep(0.02)
        (victim,) = (pid for pid in children_of(parent.pid) if variables_of(pid)["RANK"] == "1")
        others = children_of(parent.pid)
        os.kill(victim, signal.SIGKILL)
        said = parent.communicate(timeout=60)[1]
    assert parent.returncode == 128 + signal.SIGKILL
    errors = [line for line in said.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and f"rank 1 (process {victim} on" in errors[0], said
    assert "Traceback" not in said
    assert not [pid for pid in others if Path(f"/proc/{pid}").exists()]
    assert read_metrics(folder)[-1]["step"] < read_metrics(tmp_path / "whole")[-1]["step"]
    resume(folder)
    assert_same(tmp_path / "whole", folder)


def test_one_process_says_which_has_ended_whoever_notices_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: torch.Tensor) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "all_reduce", cut)
    monkeypatch.setattr("throughtime.training.processes._BEAT", 0.05)
    store = HashStore()
    everyone = [Processes(Place(rank, 3), store) for rank in range(3)]
    for processes in everyone:
        processes.meet()
    everyone[1].stop_beating()
    for rank in (2, 0):  # the other one is gone before the first notices
        with pytest.raises(ProcessError) as found:
            everyone[rank].sum(torch.zeros(1))
        assert found.value.said_elsewhere == (rank == 2)
        everyone[rank].leave(found.value)
    assert re.match(r"rank 1 \(process \d+ on .*\) has ended, so the others stop", str(found.value))


def test_a_process_that_is_killed_before_the_training_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("throughtime.cli.processes._FAREWELL", 0.2)
    commands = ("import time; time.sleep(60)", "import os; os.kill(os.getpid(), 9)")
    children = [subprocess.Popen([sys.executable, "-c", command]) for command in commands]
    assert wait_for(children, []) == 128 + signal.SIGKILL
    said = capfd.readouterr().err
    assert said.startswith(f"error: rank 1 (process {children[1].pid}) has ended with SIGKILL"), said


def test_who_saves_after_an_interruption_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throughtime.cli.processes._FAREWELL", 0.05)
    monkeypatch.setattr("throughtime.cli.processes._TERMINATION", 0.05)
    programs = ("import time; time.sleep(1.5)", "raise SystemExit(130)")
    children = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    assert wait_for(children, [signal.SIGINT]) == 130
    assert children[0].returncode == 0


def read_some_metrics(folder: Path) -> bool:
    return (folder / "metrics.jsonl").exists() and bool((folder / "metrics.jsonl").read_bytes())


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def variables_of(process: int) -> dict[str, str]:
    pairs = Path(f"/proc/{process}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_shares_are_equal_and_contiguous_and_the_first_is_never_empty() -> None:
    assert [Share(part, 4).rows(8) for part in range(4)] == [slice(n, n + 2) for n in (0, 2, 4, 6)]
    rest = [Share(part, 4).rows(6) for part in range(4)]
    assert rest == [slice(0, 2), slice(2, 4), slice(4, 5), slice(5, 6)]
    assert [Share(part, 4).rows(1) for part in range(2)] == [slice(0, 1), slice(1, 1)]


def test_what_does_not_divide_is_refused() -> None:
    with pytest.raises(OptionError, match=r"2 processes do not divide --groups 3 evenly"):
        Sharing(Processes(Place(0, 2)), 3)
    with pytest.raises(OptionError, match=r"--groups 4 does not divide --batch 6 evenly"):
        Sharing(Processes(Place(0, 2)), 4).check_batch(6)
    with pytest.raises(OptionError, match=r"3 processes do not divide --batch 32 evenly: .* multiple of 3"):
        Sharing(Processes(Place(0, 3))).check_batch(32)


def test_groups_that_do_not_divide_the_batch_leave_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(OptionError, match="--groups 3 does not divide --batch 4"):
        train(tmp_path / "text.txt", out=tmp_path / "run", **{**LONG, "groups": 3})
    assert not (tmp_path / "run").exists()


def test_a_place_is_read_from_what_launchers_set() -> None:
    assert place_here({}) == Place()
    variables = {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
    }
    assert place_here(variables) == Place(3, 4, 1, 2)
    with pytest.raises(OptionError, match="WORLD_SIZE is 'x' in the environment"):
        place_here({**variables, "WORLD_SIZE": "x"})
    with pytest.raises(OptionError, match="RANK is '999"):
        place_here({**variables, "RANK": "9" * 5000})
    with pytest.raises(OptionError, match="RANK is 4 of WORLD_SIZE 4"):
        place_here({**variables, "RANK": "4"})


def test_a_place_where_nobody_can_meet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
        where = rf"rank 0 of 2 cannot meet the others at 127\.0\.0\.1:{port}: .*address already in use"
        with pytest.raises(ProcessError, match=where), joined(pytest.fail):
            pass


def test_a_command_that_is_given_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    options = {**LONG, "epochs": 2}
    given = tmp_path / "text.txt", tmp_path / "run"
    stopped = {**options, "on_step": lambda event: os.kill(os.getpid(), signal.SIGTERM)}
    with pytest.raises(Interrupted):
        train(*given, **stopped)
    with pytest.raises(RunError, match="exists already"):
        train(*given, **options)
    variables = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "MASTER_ADDR": "a"}
    restarted = {"TORCHELASTIC_RESTART_COUNT": 1, "TORCHELASTIC_MAX_RESTARTS": 3}
    for name, value in {**variables, **restarted}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(RunError, match="was trained with hidden 8, not 12: choose another --out"):
        train(*given, **{**options, "hidden": 12})
    with pytest.raises(OptionError, match="--max-restarts gives the same command again.* name it with --out"):
        train(given[0], **options)
    train(*given, **options)
    train(tmp_path / "text.txt", tmp_path / "whole", **options)
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_processes_that_a_scheduler_started_apart_are_told() -> None:
    assert "SLURM_NTASKS is 4" in unused_processes({"SLURM_NTASKS": "4"})
    assert "WORLD_SIZE is 2" in unused_processes({"WORLD_SIZE": "2"})
    assert unused_processes({"SLURM_NTASKS": "1"}) == unused_processes({}) == ""


def test_processes_that_cannot_be_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="--processes must be from 1 to 1024, not 0"):
        check_processes(0, {})
    with pytest.raises(OptionError, match="--find-lr trains in processes of its own"):
        check_processes(2, {"--find-lr": True})
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="torchrun has started 2 processes already"):
        check_processes(2, {"--sweep": []})
    with pytest.raises(OptionError, match="throughtime demo is for one process"):
        check_alone("throughtime demo")


def test_a_scalar_loss_of_ones_own_is_refused_where_a_batch_is_cut(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)

    def mean(outputs: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    with pytest.raises(OptionError, match="the loss mean gives a scalar.* one value for each place"):
        train(tmp_path / "text.txt", out=tmp_path / "run", loss=mean, **{**LONG, "epochs": 1})


def test_the_children_get_the_command_without_their_number() -> None:
    given = ["train", "a.txt", "--processes", "2", "--hidden", "8", "--processes=4"]
    assert without_processes(given) == ["train", "a.txt", "--hidden", "8"]
