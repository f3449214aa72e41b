"""Small language models, and servers of them on a free port of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from throughtime.run import Run

pytest.importorskip("fastapi", reason="the server's libraries are not installed")

import uvicorn

from throughtime.server.app import make_app, make_serving
from throughtime.server.scheduler import Limits
from throughtime.server.serving import Serving
from throughtime.server.state_tokens import StateTokens
from throughtime.server.store import open_store

TEXT = "héllo wörld 안녕 🙂\nagain and again, or not at all?\n" * 60
NAMES = "".join(f"{a}{b}{c}\n" for a in "mnk" for b in "aeiou" for c in ("ra", "l", "nn", "to"))


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of bytes: characters are cut by the ends of calls."""
    return _trained(tmp_path_factory, TEXT, "bytes", tokenizer="byte", hidden=16, chunk=16, batch=4)


@pytest.fixture(scope="session")
def lines_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes whole lines."""
    return _trained(tmp_path_factory, NAMES, "names", lines=True, hidden=16, batch=8)


def _trained(factory: pytest.TempPathFactory, text: str, name: str, **options: Any) -> Path:
    import throughtime as tt

    folder = factory.mktemp(name)
    (folder / "text.txt").write_text(text, "utf-8")
    out = folder / name
    tt.train(folder / "text.txt", out=out, epochs=1, seed=1, threads=1, **options)
    # What a model has hardly learned depends hardly on its state: larger weights make every token count.
    path = out / "model.safetensors"
    with safe_open(path, "numpy") as file:
        tensors = {name: 4 * file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, path, metadata)
    return out


class Server:
    """A server in a thread of this process."""

    def __init__(
        self,
        runs: Mapping[str, Path],
        store: str,
        limits: Limits | None = None,
        tokens: tuple[str, ...] = (),
        most_bytes: int = 2**20,
    ) -> None:
        self.store = open_store(store, False)
        opened = {name: Run.open(folder) for name, folder in runs.items()}
        self.serving: Serving = make_serving(opened, self.store, limits or Limits())
        self.serving.states = StateTokens(b"k" * 32, 60)
        app = make_app(self.serving, [token.encode() for token in tokens], most_bytes)
        config = uvicorn.Config(
            app,
            port=0,
            log_config=None,
            access_log=False,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """What a call is answered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.http.post(path, json=body or {}, headers=named)
        assert answer.status_code == status, answer.text
        return answer.json()

    def stop(self) -> None:
        """End it as SIGTERM would."""
        self.http.close()
        self._server.should_exit = True
        self._thread.join(20)
        self.store.close()


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests."""
    with running_redis(tmp_path_factory.mktemp("redis")) as port:
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running_redis(folder: Path, *options: str, port: int = 0) -> Iterator[int]:
    """A redis-server on a free port, or on one that another one had."""
    pytest.importorskip("redis", reason="redis-py is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = port or free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        try:
            yield port
        finally:
            process.kill()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def store_kind() -> str:
    """Where servers keep their sessions; files of tests may say another one."""
    return "sqlite"


def _store(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return f"sqlite:///{folder}"
    return f"{request.getfixturevalue('redis_address')}?prefix={'-'.join(folder.parts[-2:])}"


@pytest.fixture
def start(tmp_path: Path, store_kind: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Starts servers, which end with the test. Those with a store of one name share it."""
    started: list[Server] = []

    def begin(runs: Mapping[str, Path], store: str = "store.db", **options: Any) -> Server:
        started.append(Server(runs, _store(store_kind, tmp_path / store, request), **options))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(
    text_run: Path,
    lines_run: Path,
    store_kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    """One for the tests of a file."""
    store = _store(store_kind, tmp_path_factory.mktemp("store") / "store.db", request)
    one = Server({"bytes": text_run, "names": lines_run}, store)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def other_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny run of every other task; what they say matters to nobody, only that they always say it."""
    import throughtime as tt

    folder = tmp_path_factory.mktemp("others")
    generator = np.random.default_rng(0)
    small: dict[str, Any] = {"epochs": 1, "seed": 1, "threads": 1, "hidden": 8, "tensorboard": False}
    texts = [
        (f"{word} film {k}", "good" if word == "fine" else "bad")
        for k in range(20)
        for word in ("fine", "dull")
    ]
    pairs = [
        (" ".join(map(str, row)), " ".join("abcde"[k] for k in row))
        for row in generator.integers(5, size=(30, 3))
    ]
    sentences = [
        (["Ana", "lives", "in", town], ["B-person", "O", "O", "B-place"]) for town in ("Bonn", "Cork") * 12
    ]
    clips = [(generator.normal(size=(20 + k, 2)), ["up" if k % 2 else "down"] * (20 + k)) for k in range(8)]
    load = [
        {"time": f"2024-05-{day:02} {hour:02}:00", "load": hour + day}
        for day in range(1, 8)
        for hour in range(24)
    ]
    strokes = [(generator.normal(size=(30 + k, 3)), "ab c"[k % 3 :]) for k in range(8)]
    data: dict[str, tuple[Any, dict[str, Any]]] = {
        "reviews": (texts, {"task": "classifier"}),
        "letters": (pairs, {"task": "translator", "tokenizer": "word", "embedding": 8}),
        "names": (sentences, {"task": "word-tagger", "embedding": 6}),
        "moves": (clips, {"task": "tagger", "chunk": 16}),
        "both": (clips, {"task": "tagger", "bidirectional": True}),
        "strokes": (strokes, {"task": "transcriber", "batch": 4, "validation_fraction": 0.0}),
        "photos": (_photos(folder / "pictures"), {"image_size": 16, "image_embedding": 8, "embedding": 6}),
        "load": (load, {"task": "forecaster", "horizon": 4, "lookback": 24}),
    }
    runs = {}
    for name, (examples, options) in data.items():
        tt.train(examples, out=folder / name, **{**small, **options})
        runs[name] = folder / name
    return runs


def _photos(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir()
    lines = ["file_name,caption"]
    for number in range(8):
        Image.new("RGB", (20, 20), (30 * number, 0, 255)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,a picture that is {'dark' if number < 4 else 'bright'}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def others(other_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of them."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    one = Server(other_runs, store)
    yield one
    one.stop()
