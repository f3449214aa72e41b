"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import throughtime

TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 12
SMALL = ["--hidden", "12", "--embedding", "6", "--batch", "3", "--chunk", "10", "--epochs", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text.txt and a run folder made by the command."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "text.txt").write_text(TEXT)
    result = throughtime("train", "text.txt", "--out", "run", "--json", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["run"] == "run"
    assert summary["epochs"] == 2
    assert 0 < summary["best_val_loss"] < 4
    assert "validation" in result.stderr
    return folder


def test_help_shows_every_command_and_needs_nothing_heavy(tmp_path: Path) -> None:
    result = throughtime("--help", folder=tmp_path)
    assert result.returncode == 0
    for command in ("train", "sample", "eval", "info", "demo"):
        assert command in result.stdout
    code = (
        "import sys; sys.argv = ['throughtime', '--help']\n"
        "from throughtime.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'tokenizers', 'matplotlib'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("command", ["train", "sample", "eval", "info", "demo"])
def test_each_command_has_help_with_examples(command: str, tmp_path: Path) -> None:
    result = throughtime(command, "--help", folder=tmp_path)
    assert result.returncode == 0
    assert f"throughtime {command}" in result.stdout
    assert "Examples" in result.stdout


def test_importing_throughtime_does_not_import_torch() -> None:
    code = "import sys, throughtime; dir(throughtime); print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_the_parts_are_there_when_asked_for() -> None:
    import throughtime as tt

    for name in tt.__all__:
        assert getattr(tt, name) is not None
    assert callable(tt.inspection.gradient_flow)
    with pytest.raises(AttributeError, match="no attribute 'inspektion'"):
        tt.inspektion  # noqa: B018


def test_sample_writes_after_the_prompt_and_repeats_with_its_seed(trained: Path) -> None:
    results = [
        throughtime("sample", "run", "--prompt", "To be", "--length", "40", "--seed", "3", folder=trained)
        for _ in range(2)
    ]
    assert results[0].returncode == 0, results[0].stderr
    assert results[0].stdout == results[1].stdout
    assert results[0].stdout.startswith("To be")
    assert len(results[0].stdout.rstrip("\n")) <= len("To be") + 40
    assert results[0].stderr == ""
    unseeded = throughtime("sample", "run", "--length", "5", folder=trained)
    assert "seed " in unseeded.stderr


def test_sample_options(trained: Path) -> None:
    several = throughtime("sample", "run", "--samples", "3", "--length", "9", "--json", folder=trained)
    assert [len(text) for text in json.loads(several.stdout)["texts"]] == [9, 9, 9]
    greedy = throughtime("sample", "run", "-p", "To", "-n", "20", "--greedy", folder=trained)
    beam = throughtime("sample", "run", "-p", "To", "-n", "20", "--beam", "3", "--json", folder=trained)
    one = throughtime("sample", "run", "-p", "To", "-n", "20", "--beam", "1", folder=trained)
    assert greedy.stdout == one.stdout
    found = json.loads(beam.stdout)["beam"]
    assert len(found) == 3
    assert found[0]["log_probability"] >= found[1]["log_probability"]
    stopped = throughtime("sample", "run", "--stop", r"\n", "--stop", "e", "--seed", "1", folder=trained)
    assert "e" not in stopped.stdout


def test_eval_prints_a_table_or_json(trained: Path) -> None:
    table = throughtime("eval", "run", "text.txt", folder=trained)
    assert "nats per character" in table.stdout
    result = throughtime("eval", "run", "text.txt", "--json", folder=trained)
    figures = json.loads(result.stdout)
    assert figures["predictions"] == len(TEXT) - 1
    assert figures["bits_per_character"] == pytest.approx(figures["nats_per_token"] / 0.6931471805599453)


def test_info_describes_the_run_without_torch(trained: Path) -> None:
    result = throughtime("info", "run", folder=trained)
    assert "LSTM, 2 x 12" in result.stdout
    facts = json.loads(throughtime("info", "run", "--json", folder=trained).stdout)
    assert facts["finished"] is True
    assert facts["parameters"] == 23 * 6 + 48 * (6 + 12 + 2) + 48 * (12 + 12 + 2) + 23 * 12 + 23
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['throughtime', 'info', 'run']\n"
        "from throughtime.cli import main; main()"
    )
    blocked = subprocess.run([sys.executable, "-c", code], cwd=trained, capture_output=True, text=True)
    assert blocked.returncode == 0, blocked.stderr


def test_without_torch_the_error_says_what_to_install(trained: Path) -> None:
    for arguments in (["train", "text.txt"], ["sample", "run", "--backend", "torch"]):
        code = (
            f"import sys; sys.modules['torch'] = None; sys.argv = ['throughtime', *{arguments}]\n"
            "from throughtime.cli import main; main()"
        )
        result = subprocess.run([sys.executable, "-c", code], cwd=trained, capture_output=True, text=True)
        assert result.returncode == 2
        assert re.search(r"-m pip install 'torch[<>=0-9.,]+' 'tensorboard", result.stderr)
        assert "Traceback" not in result.stderr


def test_options_come_from_a_file_and_flags_win(trained: Path) -> None:
    (trained / "options.toml").write_text("[model]\ncell = 'gru'\nhidden = 9\n[training]\nepochs = 1\n")
    result = throughtime(
        "train", "text.txt", "--config", "options.toml", "--hidden", "10", "--out", "from_file", "--batch",
        "3", "--chunk", "10", "--no-tensorboard", "-q", folder=trained,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    model = json.loads(throughtime("info", "from_file", "--json", folder=trained).stdout)["config"]["model"]
    assert (model["cell"], model["hidden"]) == ("gru", 10)


def test_the_default_run_folder_is_named_after_the_text(trained: Path) -> None:
    result = throughtime("train", "text.txt", "--json", "-q", *SMALL, "--no-tensorboard", folder=trained)
    run = json.loads(result.stdout)["run"]
    assert run.startswith(os.path.join("runs", "text-"))
    assert (trained / run / "model.safetensors").exists()


def test_text_in_any_script(tmp_path: Path) -> None:
    text = "한국어 문장입니다. e\u0301 👩‍👩‍👧\r\n" * 40
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    for tokenizer in ("character", "byte", "bpe", "word"):
        result = throughtime(
            "train", "text.txt", "--out", tokenizer, "--tokenizer", tokenizer, *SMALL, "--batch", "2",
            "--no-tensorboard", folder=tmp_path,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        sample = throughtime(
            "sample", tokenizer, "--prompt", "한국어", "--length", "9", "--seed", "1", folder=tmp_path
        )
        assert sample.returncode == 0, sample.stderr
        assert sample.stdout.startswith("한국어")


USER_ERRORS = [
    (["train"], "name the training data"),
    (["train", "none.txt"], "none.txt: no such file"),
    (["train", "empty.txt"], "empty.txt is empty"),
    (["train", "."], "name one file"),
    (["train", "short.txt"], "fewer than one chunk of 64 steps in 32 streams"),
    (["train", "latin1.txt"], "byte 0xe9 at offset 3 (line 1) is not UTF-8"),
    (["train", "text.txt", "--hidden", "0"], "--hidden: input should be greater than or equal to 1"),
    (["train", "text.txt", "--cell", "ltsm"], "cell 'ltsm' is unknown: use rnn, lstm, gru"),
    (["train", "text.txt", "--preset", "fast"], "preset 'fast' is unknown: use quick"),
    (["train", "text.txt", "--config", "none.toml"], "none.toml: no such file"),
    (["train", "text.txt", "--out", "run"], "run exists already"),
    (["train", "--resume", "none"], "is not a run folder"),
    (["train", "--resume", "run", "--hidden", "3"], "--hidden cannot be given with --resume"),
    (
        ["train", "text.txt", "--kernel", "cuda"],
        "--kernel: input should be 'auto', 'native', 'torch' or 'reference'",
    ),
    (["sample", "none"], "no such run folder"),
    (["sample", "text.txt"], "is a file"),
    (["sample", "."], "is not a run folder"),
    (["sample", "run", "--prompt", "ÿ"], "character 'ÿ' (U+00FF, LATIN SMALL LETTER Y WITH DIAERESIS)"),
    (["sample", "run", "--temperature", "-1"], "temperature must be 0"),
    (["sample", "run", "--top-p", "0"], "top_p must be above 0"),
    (["sample", "run", "--seed", "-1"], "seed must be"),
    (["sample", "run", "--beam", "2", "--samples", "2"], "leave out --samples"),
    (["sample", "truncated"], "model.safetensors is damaged"),
    (["info", "truncated"], "model.safetensors is damaged"),
    (["eval", "run", "none.txt"], "no such file"),
    (["eval", "run", "other.txt"], "other.txt, line 2, column 3"),
    (["eval", "run", "text.txt", "--errors", "ignore"], "strict or replace"),
]


@pytest.mark.parametrize(("arguments", "message"), USER_ERRORS)
def test_a_users_mistake_is_one_clear_line_and_exit_code_2(
    trained: Path, arguments: list[str], message: str
) -> None:
    (trained / "empty.txt").write_text("")
    (trained / "short.txt").write_text("too short")
    (trained / "latin1.txt").write_bytes("café\n".encode("latin-1") * 500)
    (trained / "other.txt").write_text("To be\nTo# be")
    truncated = trained / "truncated"
    truncated.mkdir(exist_ok=True)
    for name in ("config.toml", "tokenizer.json", "model.safetensors"):
        content = (trained / "run" / name).read_bytes()
        (truncated / name).write_bytes(content[:-10] if name == "model.safetensors" else content)
    before = sorted(path.name for path in trained.iterdir())
    result = throughtime(*arguments, folder=trained)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(path.name for path in trained.iterdir()) == before


def test_divergence_is_an_error_that_says_what_to_do(trained: Path) -> None:
    result = throughtime(
        "train", "text.txt", "--out", "diverged", *SMALL, "--optimizer", "sgd", "--learning-rate", "1e6",
        "--clip-norm", "0", "--warmup", "0", folder=trained,
    )  # fmt: skip
    assert result.returncode == 2
    assert "error: training diverged at step" in result.stderr
    assert "lower --learning-rate" in result.stderr
    assert "Traceback" not in result.stderr
    assert (trained / "diverged" / "checkpoints" / "last.safetensors").exists()


def test_no_color_is_respected_and_results_go_to_standard_output_only(trained: Path) -> None:
    result = throughtime("info", "run", folder=trained, NO_COLOR="1", FORCE_COLOR="")
    assert "\x1b[3" not in result.stdout
    assert result.stderr == ""


@pytest.mark.slow  # trains a small model on the standard library
def test_the_demo_ends_with_a_sample(tmp_path: Path) -> None:
    result = throughtime("demo", "--bytes", "60000", "--out", "demo", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("A sample, at temperature 0.7:\n\ndef ")
    assert (tmp_path / "demo" / "loss.png").exists()


def test_names_with_brackets_are_printed_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "x[").mkdir()
    (tmp_path / "x[/b]y.txt").write_text(TEXT)
    options = [*SMALL, "--epochs", "1", "--no-tensorboard"]
    result = throughtime("train", "x[/b]y.txt", "--out", "lr[lr=0.1]x[/b]y", *options, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Saved in lr[lr=0.1]x[/b]y." in result.stderr
    assert "lr[lr=0.1]x[/b]y" in throughtime("info", "lr[lr=0.1]x[/b]y", folder=tmp_path).stdout
    missing = throughtime("info", "no[/b]thing", folder=tmp_path)
    assert missing.returncode == 2 and "no[/b]thing" in missing.stderr and "Traceback" not in missing.stderr


def test_options_beyond_all_numbers_are_one_line(trained: Path) -> None:
    for options in (["--top-k", "1" + "0" * 30], ["--samples", "1" + "0" * 12], ["--top-k", str(2**63)]):
        result = throughtime("sample", "run", *options, folder=trained)
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("error: ")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_a_model_that_writes_escapes_does_not_command_the_terminal(tmp_path: Path) -> None:
    import pty

    (tmp_path / "text.txt").write_text("\x1b[2J\x1b]0;a title\x07\x9b31m\n" * 60)
    arguments = ["text.txt", "--out", "run", *SMALL, "--no-tensorboard", "--quiet"]
    assert throughtime("train", *arguments, folder=tmp_path).returncode == 0
    command = [sys.executable, "-c", "from throughtime.cli import main; main()", "sample", "run"]
    command += ["--length", "60", "--seed", "1", "--prompt", "\x1b["]
    shown = {}
    for raw in (False, True):
        ours, theirs = pty.openpty()
        subprocess.run(
            [*command, *(["--raw"] if raw else [])], cwd=tmp_path, stdout=theirs, check=True, timeout=60
        )
        os.close(theirs)
        shown[raw] = os.read(ours, 10_000)
        os.close(ours)
    assert shown[False].startswith(b"\\x1b[") and b"\x1b" not in shown[False]
    assert shown[True].startswith(b"\x1b[")
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert piped.stdout.startswith(b"\x1b[")


def test_standard_input_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    rows = "".join(f"a {'good' if n % 2 else 'bad'} film,{n % 2}\n" for n in range(40))
    (tmp_path / "reviews.csv").write_text("text,label\n" + rows)
    options = ["--epochs", "1", "--hidden", "8", "--embedding", "8", "--no-tensorboard", "--quiet"]
    assert throughtime("train", "reviews.csv", "--out", "run", *options, folder=tmp_path).returncode == 0
    command = [sys.executable, "-c", "from throughtime.cli import main; main()", "predict", "run", "--json"]
    content = b"a good film\na g\xffod film\na bad film\n"
    result = subprocess.run(command, cwd=tmp_path, input=content, capture_output=True, timeout=60)
    assert result.returncode == 2
    expected = (
        b"error: standard input line 2: byte 0xff is not UTF-8 (pass --skip-bad to leave such examples out)"
    )
    assert result.stderr.strip() == expected
    result = subprocess.run(
        [*command, "--skip-bad"], cwd=tmp_path, input=content, capture_output=True, timeout=60
    )
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 2
