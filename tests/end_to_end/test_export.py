"""Export as a user types it, and the exported files without Throughtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.test_commands import SMALL, TEXT, throughtime
from tests.interchange.runs import make_run

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# What whoever gets the files writes: onnxruntime, tokenizers and NumPy, no Throughtime.
PROGRAM = """
import sys
import numpy as np, onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("run/onnx/tokenizer.json")
session = onnxruntime.InferenceSession("run/onnx/step.onnx")
names = [port.name for port in session.get_inputs()[1:]]
state = {port.name: np.zeros([d if isinstance(d, int) else 1 for d in port.shape], np.float32)
         for port in session.get_inputs()[1:]}
text, ids = "", tokenizer.encode("To be").ids
for _ in range(30 + len(ids)):
    logits, *new = session.run(None, {"token": np.array([ids[0]]), **state})
    state = dict(zip(names, new))
    text += tokenizer.id_to_token(ids[0])
    ids = ids[1:] or [int(logits[0].argmax())]
assert not {"torch", "throughtime"} & set(sys.modules)
print(text, end="")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run made by the command."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "text.txt").write_text(TEXT)
    result = throughtime("train", "text.txt", "--out", "run", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_files_write_what_the_run_writes(trained: Path) -> None:
    result = throughtime("export", "run", "--onnx", folder=trained)
    assert result.returncode == 0, result.stderr
    for shown in ("step.onnx", "sequence.onnx", "new_h", "(2, B, 12)", "logits"):
        assert shown in result.stdout
    assert "Opset 17, in run/onnx; beside it tokenizer.json and export.json" in result.stderr
    program = subprocess.run([sys.executable, "-c", PROGRAM], cwd=trained, capture_output=True, text=True)
    assert program.returncode == 0, program.stderr
    arguments = ["--prompt", "To be", "--length", "30", "--greedy", "--json"]
    sample = throughtime("sample", "run", *arguments, folder=trained)
    assert sample.returncode == 0, sample.stderr
    assert program.stdout == "To be" + json.loads(sample.stdout)["texts"][0]


def test_json_has_the_description_and_the_differences(trained: Path) -> None:
    result = throughtime("export", "run", "--onnx", "--out", "there", "--json", folder=trained)
    found = json.loads(result.stdout)
    assert found["folder"] == "there" and found["opset"] == 17
    assert set(found["sizes"]) == {path.name for path in (trained / "there").iterdir()}
    assert 0 <= max(one["relative"] for one in found["differences"]) < 1e-5


def test_building_the_files_needs_no_torch(trained: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "sys.argv = ['throughtime', 'export', 'run', '--onnx', '--out', 'light', '--no-check']\n"
        "from throughtime.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=trained, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Not compared with the run's own model: --no-check" in result.stderr
    assert (trained / "light" / "step.onnx").stat().st_size > 1000


def test_a_users_mistakes_are_one_line_each(trained: Path) -> None:
    for arguments, message in [
        (["export", "none", "--onnx"], "none: no such run folder"),
        (["export", "text.txt", "--onnx"], "text.txt is a file"),
        (["export", "run"], "throughtime export run --onnx"),
    ]:
        result = throughtime(*arguments, folder=trained)
        assert result.returncode == 2
        assert message in result.stderr and "Traceback" not in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_bidirectional_tagger_has_no_step_and_says_so(tmp_path: Path) -> None:
    make_run(tmp_path / "run", "tagger", hidden=5, bidirectional=True)
    result = throughtime("export", "run", "--onnx", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "No step.onnx: a bidirectional tagger needs the frames that come after" in result.stderr
    assert {path.name for path in (tmp_path / "run" / "onnx").glob("*.onnx")} == {"sequence.onnx"}
