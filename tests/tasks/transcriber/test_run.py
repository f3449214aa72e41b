"""A transcriber from its files to its texts, whatever runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from throughtime.cli.app import build
from throughtime.errors import DataError, OptionError, RunError
from throughtime.run import Run
from throughtime.tasks.transcriber.run import TranscriberRun
from throughtime.training import train

from .runs import SMALL, strokes, trained, write_folder


def command(*arguments: object, typed: str | None = None) -> str:
    """What a command prints."""
    said = CliRunner().invoke(build({str(arguments[0])}), list(map(str, arguments)), input=typed)
    assert said.exit_code == 0, said.output
    return said.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TranscriberRun:
    return trained(tmp_path_factory.mktemp("strokes"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TranscriberRun:
    return trained(tmp_path_factory.mktemp("causal"), bidirectional=False)


def test_unseen_recordings_are_written_down(run: TranscriberRun, tmp_path: Path) -> None:
    unseen = write_folder(tmp_path / "unseen", 20, seed=7)
    for beam in (1, 4):
        figures = run.evaluate(unseen, beam=beam)
        assert figures["cer"] < 0.05 and figures["loss"] < 0.3
    assert (figures["recordings"], figures["left_out"]) == (20, 0)
    found = list(run.predict([unseen]))
    assert np.mean([one["text"] == one["truth"] for one in found]) > 0.8
    alone = next(iter(run.predict([unseen / found[0]["input"]], words=True)))
    assert alone["text"] == found[0]["text"] and "truth" not in alone
    assert [one["word"] for one in alone["words"]] == alone["text"].split()
    (unseen / "metadata.csv").rename(unseen / "recordings.csv")
    assert run.evaluate(unseen / "recordings.csv", progress=lambda share: None)["recordings"] == 20
    (unseen / "recordings.csv").unlink()
    assert len(list(run.predict([unseen]))) == 20


def test_commands_speak_json(run: TranscriberRun, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", strokes("ab c", np.random.default_rng(3)))
    said = command("predict", run.folder, tmp_path / "a.npy", "--json", "--beam", 4)
    found = json.loads(said)
    assert found["text"] == "ab c" and 0 < found["confidence"] <= 1
    assert [one["word"] for one in found["words"]] == ["ab", "c"]
    assert found["words"][0]["step"] < found["words"][1]["step"]
    names = f"{tmp_path / 'a.npy'}\n\n"
    said = command("predict", run.folder, "-", "--csv", typed=names)
    assert said.splitlines()[1].startswith("ab c,") and said.splitlines()[2] == ",,"


def test_every_backend_and_precision_writes_the_same(run: TranscriberRun) -> None:
    recordings = [strokes(text, np.random.default_rng(5)) for text in ("abc ab", "cc a", "b")]
    expected = run.transcribe(recordings)
    assert [one["text"] for one in expected] == ["abc ab", "cc a", "b"]
    for backend, precision in (("torch", None), ("native", "bf16"), ("native", "int8")):
        other = Run.open(run.folder, backend, precision)
        assert isinstance(other, TranscriberRun)
        found = other.transcribe(recordings)
        assert [one["text"] for one in found] == [one["text"] for one in expected]
        likely = [one["confidence"] for one in found]
        np.testing.assert_allclose(
            likely, [one["confidence"] for one in expected], atol=1e-3 if backend == "torch" else 0.1
        )


def test_a_stream_is_written_as_the_whole_recording_is(causal: TranscriberRun) -> None:
    recording = strokes("ab ca", np.random.default_rng(9))
    (expected,) = causal.transcribe([recording])
    for size in (1, 5, 100):
        session = causal.session()
        added = [session.feed(recording[start : start + size]) for start in range(0, len(recording), size)]
        assert "".join(added) + session.finish() == session.text == expected["text"]
    with pytest.raises(DataError, match=r"a chunk of float32 \(3,\), expected numbers \(N, 4\)"):
        causal.session().feed(np.zeros(3, np.float32))


def test_a_run_that_reads_both_ways_has_no_session(run: TranscriberRun) -> None:
    with pytest.raises(OptionError, match="--no-bidirectional"):
        run.session()


def test_a_text_longer_than_its_recording_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", 12)
    table = (folder / "metadata.csv").read_text().splitlines()
    table[3] = table[3].split(",")[0] + "," + "aab" * 20
    (folder / "metadata.csv").write_text("\n".join(table) + "\n")
    expected = (
        r"metadata\.csv line 4: 002\.npy has \d+ steps \(\d+ frames, --stack 2\), and its text of 60 "
        r"characters \(20 of them like the one before\) needs 80: use a smaller --stack \(pass --skip-bad"
    )
    with pytest.raises(DataError, match=expected):
        train(folder, out=tmp_path / "run", **SMALL)
    found = train(folder, out=tmp_path / "other", skip_bad=True, **{**SMALL, "epochs": 1})
    assert found.evaluate(folder, skip_bad=True)["loss"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["000.npy,ab", "001.npy,"], r"line 3: text is empty"),
        (["../a.npy,ab"], r"line 2: file '\.\./a\.npy' lies outside"),
        (["none.npy,ab"], r"line 2: .*none\.npy: no such file"),
        (["000.npy,ab", "001.wav,ab"], r"line 3: .*001\.wav: no such file"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, rows: list[str], message: str) -> None:
    folder = write_folder(tmp_path / "data", 2)
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *rows]) + "\n")
    with pytest.raises(DataError, match=message):
        train(folder, out=tmp_path / "run", task="transcriber", **SMALL)


def test_splits_of_the_table_are_kept(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", 12)
    table = (folder / "metadata.csv").read_text().splitlines()
    parts = ["split", *["train"] * 8, *["dev"] * 2, *["test"] * 2]
    lines = [f"{line},{part}" for line, part in zip(table, parts, strict=True)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    run = train(folder, out=tmp_path / "run", **{**SMALL, "epochs": 1})
    assert np.load(run.folder / "data" / "held_out.npy").tolist() == [False] * 8 + [True] * 2
    assert run.evaluate(folder)["recordings"] == 2


def test_damaged_files_of_a_run_are_named(run: TranscriberRun, tmp_path: Path) -> None:
    import shutil

    for name, content, message in (
        ("alphabet.json", '["a", "a"]', "alphabet.json is damaged"),
        ("alphabet.json", '["a"]', "alphabet|scores of score has"),
        ("features.json", "{}", "features.json"),
    ):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(run.folder, tmp_path / "run")
        (tmp_path / "run" / name).write_text(content)
        with pytest.raises(RunError, match=message):
            _ = Run.open(tmp_path / "run").network


def test_graphs_of_onnx_say_the_same(run: TranscriberRun, causal: TranscriberRun, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for one, names in ((run, {"sequence.onnx"}), (causal, {"sequence.onnx", "step.onnx"})):
        out = tmp_path / one.folder.parent.name
        command("export", one.folder, "--onnx", "--out", out)
        assert names <= {path.name for path in out.iterdir()}
