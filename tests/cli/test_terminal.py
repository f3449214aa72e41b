"""What commands print: controls are shown and not obeyed, names are no markup, JSON is JSON."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.table import Table
from rich.text import Text

from throughtime.cli.console import PlainConsole
from throughtime.cli.terminal import (
    error_console,
    json_text,
    print_json,
    print_table,
    result_console,
    user_errors,
    visible,
    write,
)
from throughtime.errors import DataError

EVIL = "a\x1b[2J\x07\r\x9b31mb\x7f\tc\nd é"
SHOWN = r"a\x1b[2J\x07\x0d\x9b31mb\x7f" + "\tc\nd é"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_controls_are_shown_but_for_tab_and_newline() -> None:
    assert visible(EVIL) == SHOWN
    assert visible(visible(EVIL)) == SHOWN


@pytest.mark.parametrize(
    ("output", "raw", "expected"),
    [(Terminal, False, SHOWN), (Terminal, True, EVIL), (io.StringIO, False, EVIL)],
)
def test_a_terminal_gets_visible_text_and_a_pipe_the_text(
    monkeypatch: pytest.MonkeyPatch, output: type[io.StringIO], raw: bool, expected: str
) -> None:
    monkeypatch.setattr(sys, "stdout", output())
    write(EVIL, newline=False, raw=raw)
    assert sys.stdout.getvalue() == expected  # type: ignore[attr-defined]


def test_tables_show_controls_and_do_not_read_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_table([("run", "x[/b]y[red]\x1b]0;title")])
    table = Table("lr[lr=0.1]")
    table.add_row(Text("\x1b[2J"))
    result_console().print(table)
    shown = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert r"x[/b]y[red]\x1b]0;title" in shown and "lr[lr=0.1]" in shown and r"\x1b[2J" in shown
    assert "\x1b[2J" not in shown and "\x1b]0" not in shown
    monkeypatch.setattr(sys, "stdout", Terminal())
    result_console(raw=True).print(Text("\x1b]0;title"))
    assert "\x1b]0;title" in sys.stdout.getvalue()  # type: ignore[attr-defined]


def test_remarks_print_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    error_console().print("Saved in runs/lr[lr=0.1] and x[/b]y \x1b[2J", soft_wrap=True)
    with error_console().status(Text("measuring x[/b]y")):
        pass
    assert capsys.readouterr().err.startswith(r"Saved in runs/lr[lr=0.1] and x[/b]y \x1b[2J")
    assert isinstance(error_console(), PlainConsole)


def test_an_error_shows_the_controls_of_what_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, user_errors():
        raise DataError("label \x1b[2J is unknown")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "error: label \\x1b[2J is unknown\n"


def test_json_has_no_nan_and_no_controls(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_text({"text": EVIL}) == r'{"text": "a\u001b[2J\u0007\r\u009b31mb\u007f\tc\nd é"}'
    assert json.loads(json_text({"text": EVIL})) == {"text": EVIL}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"probability": float("nan")})
    print_json({"a": [float("nan"), 1.5], "b": {"c": float("-inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": {"c": None}}


def test_an_error_is_one_line_and_not_longer_than_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), user_errors():
        raise DataError(f"a.csv line 2:\n{'9' * 100_000} is no\nnumber: mend it")
    said = capsys.readouterr().err
    assert said.startswith("error: a.csv line 2: 999") and said.endswith("999 is no number: mend it\n")
    assert " [...] " in said and said.count("\n") == 1 and len(said) < 1100
    with pytest.raises(typer.Exit), user_errors():
        raise DataError(f"no such file: {chr(0) * 900}")  # four characters each, as a terminal gets them
    assert len(capsys.readouterr().err) < 1100


def test_an_interruption_while_torch_is_imported_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)\n")
    program = "from throughtime.cli.terminal import import_torch; import_torch()"
    # A shell has what it runs in the background ignore the signal.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {program}"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
