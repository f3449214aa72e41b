"""A server under load, against the bare engine on the same core and against what a user would write.

    python benchmarks/serve.py --json serve.json
    python benchmarks/serve.py --precision int8 --skip peer idle

The server has one core and the load the other (--cores). What the engine alone does on the server's core is
measured in turns with it. Texts that come back are compared with what `run.sample` writes for their seeds;
one that differs ends the program. Prints the share of the engine's tokens that the clients got, the times
between events and to the first one, the peer's tokens a second, and what 100,000 idle sessions cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.load import Reply, arrive, keep_busy

HERE = Path(__file__).parent
PROMPT, TOKENS = "the ", 256
STREAMS = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a run folder; without, a 2 x 512 LSTM is made")
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="the server's and the load's")
    parser.add_argument("--idle", type=int, default=100_000, help="sessions that do nothing")
    parser.add_argument("--skip", nargs="+", default=[], choices=["peer", "arrivals", "idle", "bulk"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.cores[1]})
    found: dict[str, Any] = {"cores": arguments.cores}
    with tempfile.TemporaryDirectory() as name:
        run = arguments.run or make_run(Path(name))
        for precision in arguments.precision:
            found[precision] = measure(run, precision, arguments, Path(name))
        if "peer" not in arguments.skip:
            found["peer"] = peer(run, arguments)
            for precision in arguments.precision:
                ratio = found[precision]["tokens_per_second"] / found["peer"]["tokens_per_second"]
                print(f"{precision}: {ratio:.1f} times the peer's tokens")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def make_run(folder: Path) -> Path:
    """A 2 x 512 LSTM of characters, trained for a few steps: speed does not depend on what it has learned."""
    import throughtime as tt

    text = folder / "text.txt"
    text.write_text("".join(path.read_text("utf-8") for path in sorted(HERE.glob("*.py")))[:20_000])
    out = folder / "lstm"
    tt.train(text, out=out, hidden=512, layers=2, batch=64, chunk=64, epochs=1, seed=0, threads=1)
    return out


@contextmanager
def server(command: list[str], core: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server's process on a core, once it takes requests."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def measure(run: Path, precision: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    core, port = arguments.cores[0], 8765
    store = folder / f"{precision}.db"
    command = [sys.executable, "-m", "throughtime", "serve", f"lstm={run}", "--port", str(port)]
    command += ["--precision", precision, "--threads", "1", "--store", f"sqlite:///{store}"]
    command += ["--no-access-log", "--max-body", str(2**26)]
    found: dict[str, Any] = {}
    with server(command, core, port) as process:
        shares, rates, bares, gaps = [], [], [], []
        texts = Texts(run, precision)
        for _ in range(arguments.turns):
            bare = bare_engine(run, precision, STREAMS, arguments, core)["drawn"]
            begin, used = time.perf_counter(), time.process_time()
            replies = asyncio.run(keep_busy(port, "/v1/completions", body, STREAMS, arguments.seconds))
            passed, used = time.perf_counter() - begin, time.process_time() - used
            # Whole texts over the whole time: the last ones end one after the other.
            rate = len(replies) * TOKENS / passed
            texts.check(replies)
            gaps += intervals(replies)
            shares.append(rate / bare)
            rates.append(rate)
            bares.append(bare)
        gaps.sort()
        found |= {"share": statistics.median(shares), "tokens_per_second": statistics.median(rates)}
        found |= {"bare": statistics.median(bares), "load_core_share": used / passed}
        found |= {"gap_p50_ms": 1e3 * at(gaps, 0.5), "gap_p99_ms": 1e3 * at(gaps, 0.99)}
        print(
            f"{precision}: {STREAMS} streams get {found['tokens_per_second']:,.0f} tokens/s, "
            f"{100 * found['share']:.0f} % of the bare engine's {found['bare']:,.0f}; between events "
            f"{found['gap_p50_ms']:.1f} ms (p50), {found['gap_p99_ms']:.1f} ms (p99); load's core "
            f"{100 * found['load_core_share']:.0f} % busy",
            flush=True,
        )
        if "arrivals" not in arguments.skip:
            found |= arrivals(port, found["tokens_per_second"], texts, arguments)
        if "bulk" not in arguments.skip:
            found |= bulk(port, run, precision, arguments, core)
        if "idle" not in arguments.skip:
            found |= idle(port, process.pid, arguments)
    if "idle" not in arguments.skip:
        begin = time.perf_counter()
        with server(command, core, port):
            found["restart_seconds"] = time.perf_counter() - begin
            print(f"{precision}: ready again after {found['restart_seconds']:.2f} s, its start included")
    return found


def body(seed: int) -> dict[str, Any]:
    return {"model": "lstm", "prompt": PROMPT, "max_tokens": TOKENS, "seed": seed, "stream": True}


class Texts:
    """What each seed's text has to be."""

    def __init__(self, run: Path, precision: str) -> None:
        from throughtime.run import Run

        self._run = Run.open(run, "native", precision, 1)
        self._known: dict[int, str] = {}

    def check(self, replies: list[Reply], least: int = 200) -> None:
        """Compare texts; of many, `least` that are drawn from them."""
        chosen = random.Random(0).sample(replies, min(least, len(replies)))
        for reply in chosen:
            if reply.seed not in self._known:
                text = self._run.sample(PROMPT, TOKENS, seed=reply.seed)  # type: ignore[attr-defined]
                self._known[reply.seed] = text[len(PROMPT) :]
            got = "".join(text for _, text in reply.events())
            if got != self._known[reply.seed]:
                raise SystemExit(f"seed {reply.seed}: the server wrote another text than sample does")


def bare_engine(run: Path, precision: str, slots: int, arguments: Any, core: int) -> dict[str, float]:
    """The engine alone, on the server's core while the server has nothing to do."""
    command = [sys.executable, str(HERE / "serving" / "bare.py"), str(run), precision, str(slots)]
    command.append(str(arguments.seconds / 2))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return json.loads(done.stdout)


def intervals(replies: list[Reply]) -> list[float]:
    """Seconds between the events of each stream."""
    gaps = []
    for reply in replies:
        times = [when for when, _ in reply.events()]
        gaps += [late - early for early, late in zip(times, times[1:], strict=False) if late > early]
    return gaps


def at(values: list[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)]


def arrivals(port: int, most: float, texts: Texts, arguments: argparse.Namespace) -> dict[str, Any]:
    """Streams that arrive at random, at 70 % of what the server does."""
    rate = 0.7 * most / TOKENS
    replies = asyncio.run(arrive(port, "/v1/completions", body, rate, 2 * arguments.seconds))
    texts.check(replies)
    first = sorted(reply.events()[0][0] - reply.asked for reply in replies)
    found = {"first_p50_ms": 1e3 * at(first, 0.5), "first_p99_ms": 1e3 * at(first, 0.99)}
    print(
        f"  {rate:.0f} streams arrive a second: the first event after {found['first_p50_ms']:.1f} ms (p50), "
        f"{found['first_p99_ms']:.1f} ms (p99), {len(replies)} streams",
        flush=True,
    )
    return found


def call(port: int, path: str, body: Any, method: str = "POST") -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def bulk(port: int, run: Path, precision: str, arguments: Any, core: int) -> dict[str, Any]:
    """Steps of 10,000 sessions in one body."""
    count = 10_000
    root = call(port, "/v1/sessions", {"model": "lstm", "seed": 1})
    ids = []
    while len(ids) < count:
        made = call(port, f"/v1/sessions/{root['id']}/fork", {"count": 1000})
        ids += [one["id"] for one in made["forks"]]
    steps = {"steps": [{"id": id, "tokens": [k % 30]} for k, id in enumerate(ids)]}
    call(port, "/v1/sessions:step", steps)
    rates, bares = [], []
    for _ in range(arguments.turns):
        bares.append(bare_engine(run, precision, count, arguments, core)["read"])
        begin, rounds = time.perf_counter(), 0
        while time.perf_counter() - begin < arguments.seconds:
            call(port, "/v1/sessions:step", steps)
            rounds += 1
        rates.append(rounds * count / (time.perf_counter() - begin))
    share = statistics.median(a / b for a, b in zip(rates, bares, strict=True))
    print(
        f"  steps of {count:,} sessions in a body: {statistics.median(rates):,.0f} steps/s, "
        f"{100 * share:.0f} % of the bare engine's {statistics.median(bares):,.0f}",
        flush=True,
    )
    return {"bulk_share": share, "bulk_steps_per_second": statistics.median(rates)}


def idle(port: int, process: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Sessions that have read a prompt and do nothing; then a step of one, at random."""
    ids: list[str] = []
    root = call(port, "/v1/sessions", {"model": "lstm", "seed": 1, "prompt": PROMPT})
    while len(ids) < arguments.idle:
        made = call(port, f"/v1/sessions/{root['id']}/fork", {"count": 1000})
        ids += [one["id"] for one in made["forks"]]
    resident = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    chance, times = random.Random(1), []
    for _ in range(500):
        begin = time.perf_counter()
        call(port, f"/v1/sessions/{chance.choice(ids)}/step", {"tokens": [1], "top": 1})
        times.append(time.perf_counter() - begin)
    times.sort()
    print(
        f"  {len(ids):,} idle sessions: {resident / 2**20:,.0f} MiB resident; the next step of one after "
        f"{1e3 * at(times, 0.5):.1f} ms (p50), {1e3 * at(times, 0.99):.1f} ms (p99)",
        flush=True,
    )
    return {"idle_mib": resident / 2**20, "idle_step_p99_ms": 1e3 * at(times, 0.99)}


def peer(run: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """FastAPI around torch.nn.LSTM."""
    port = 8766
    command = [sys.executable, str(HERE / "serving" / "peer.py"), str(run), str(port)]
    with server(command, arguments.cores[0], port):
        begin = time.perf_counter()
        replies = asyncio.run(keep_busy(port, "/v1/completions", body, STREAMS, arguments.seconds))
        rate = len(replies) * TOKENS / (time.perf_counter() - begin)
    print(f"FastAPI and torch.nn.LSTM: {rate:,.0f} tokens/s to {STREAMS} streams", flush=True)
    return {"tokens_per_second": rate}


if __name__ == "__main__":
    main()
