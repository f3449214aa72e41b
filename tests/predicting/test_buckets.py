"""A bucket behind a connection that is cut and a server that asks to slow down, with the real client."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.predicting.conftest import predict, rows_of, texts
from throughtime.errors import DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("s3fs", reason="s3fs reads buckets, and is not installed")
moto = pytest.importorskip("moto.server", reason="moto plays the server, and is not installed")


class BadLine:
    """A proxy that passes requests to read on, one for each connection, and breaks a quarter of the answers.

    Args:
        port: of the server behind it.
    """

    def __init__(self, port: int) -> None:
        self.behind = port
        self._random = random.Random(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_bad = False
        self.broken = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(1 << 16)
                if not part:
                    return
                head += part
            way = self._random.choice([*["well"] * 6, "busy", "cut"]) if self.is_bad else "well"
            self.broken += way != "well"
            if way == "busy":
                client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.behind), timeout=20) as server:
                lines, _, body = head.partition(b"\r\n\r\n")
                kept = [one for one in lines.split(b"\r\n") if not one.lower().startswith(b"connection")]
                server.sendall(b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + body)
                answer = b""
                while part := server.recv(1 << 16):
                    answer += part
            client.sendall(answer[: len(answer) // 2] if way == "cut" else answer)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadLine]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    line = BadLine(server.get_host_and_port()[1])
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    from s3fs import S3FileSystem

    monkeypatch.setattr("throughtime.data.sources._PAUSES", (0.05,) * 8)
    S3FileSystem.clear_instance_cache()
    yield line
    S3FileSystem.clear_instance_cache()
    line.close()
    server.stop()


def test_a_bucket_behind_a_bad_line_gives_the_same_rows(run: Path, tmp_path: Path, line: BadLine) -> None:
    from s3fs import S3FileSystem

    rows = texts(600, seed=8)
    bucket = S3FileSystem(endpoint_url=f"http://127.0.0.1:{line.behind}")
    bucket.mkdir("reviews")
    parquet.write_table(pa.table({"text": rows[:400]}), tmp_path / "a.parquet", row_group_size=90)
    (tmp_path / "b.csv").write_text("text\n" + "\n".join(rows[400:]) + "\n")
    for name in ("a.parquet", "b.csv"):
        bucket.put(str(tmp_path / name), f"reviews/2024/{name}")
    predict(run, [str(tmp_path / "a.parquet"), str(tmp_path / "b.csv")], tmp_path / "near", part_rows=150)
    line.is_bad = True
    state = predict(run, ["s3://reviews/**/*"], tmp_path / "far", part_rows=150)
    assert line.broken > 3
    assert (state.files, state.rows) == (2, 600)
    near, far = rows_of(tmp_path / "near"), rows_of(tmp_path / "far")
    assert [one.replace(str(tmp_path), "s3://reviews/2024") for one in near] == far

    line.is_bad = False
    bucket.put(str(tmp_path / "a.parquet"), "reviews/2024/b.csv")
    with pytest.raises(DataError, match=r"s3://reviews/2024/b.csv"):
        predict(run, ["s3://reviews/2024/b.csv"], tmp_path / "other")
    bucket.pipe("reviews/2024/b.csv", b"text\ngood\n")
    with pytest.raises(Exception, match=r"s3://reviews/2024/b.csv has changed since"):
        predict(run, ["s3://reviews/**/*"], tmp_path / "far", part_rows=150)
