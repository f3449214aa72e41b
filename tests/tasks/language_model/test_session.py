"""A session that stops and goes on writes what it would have written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data import Tokenizer
from throughtime.errors import CheckpointError, UnknownTokenError
from throughtime.runtime import Engine
from throughtime.runtime.sampling import SamplingOptions
from throughtime.tasks.language_model.session import Session

TEXT = "héllo wörld 안녕 🙂\nagain and again\n"
H = 12


def model(kind: str, folder: Path) -> tuple[Engine, Tokenizer]:
    (folder / "t.txt").write_text(TEXT)
    tokenizer = Tokenizer.train(kind, folder / "t.txt")  # type: ignore[arg-type]
    V, random = tokenizer.vocabulary_size, np.random.default_rng(0)
    shapes = {
        "output.weight": (V, H),
        "output.bias": (V,),
        "recurrent.cells.0.weight_ih": (3 * H, V),
        "recurrent.cells.0.weight_hh": (3 * H, H),
    }
    tensors = {name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return Engine.from_tensors({"cell": "gru", "layers": 1}, tensors), tokenizer


@pytest.mark.parametrize("kind", ["character", "byte", "word"])
def test_stopping_anywhere_changes_nothing(kind: str, tmp_path: Path) -> None:
    engine, tokenizer = model(kind, tmp_path)
    options = SamplingOptions(temperature=0.8)

    def begun() -> Session:
        session = Session(engine, tokenizer, options, seed=3)
        session.read("again")
        return session

    wanted = begun().write(40)
    session, written = begun(), ""
    for _ in range(40):
        # With bytes, many of these stops fall inside a character.
        written += session.write(1)
        session = Session.restore(engine, tokenizer, session.snapshot())
    assert written == wanted
    assert session.position == begun().position + 40


def test_it_begins_after_a_lines_end_and_reading_nothing_changes_nothing(tmp_path: Path) -> None:
    engine, tokenizer = model("character", tmp_path)
    one, other = (Session(engine, tokenizer, seed=1) for _ in range(2))
    one.read("")
    other.read("\n")
    assert one.write(20) == other.write(20)
    with pytest.raises(UnknownTokenError, match="'Q'"):
        one.read("Q")
    with one.fork() as fork:
        assert fork.write(5) == one.write(5)


def test_a_snapshot_of_another_model_or_with_odd_text_is_refused(tmp_path: Path) -> None:
    engine, tokenizer = model("byte", tmp_path)
    other, _ = model("character", tmp_path)
    session = Session(engine, tokenizer)
    session.read("a")
    with pytest.raises(CheckpointError, match="another model"):
        Session.restore(other, tokenizer, session.snapshot())
    for begun, fits in [
        ("", True),
        ("c3", True),
        ("f09f98", True),
        ("zz", False),
        ("41", False),
        ("ff", False),
    ]:
        session._stream.pending = {"bytes": begun, "at_line_start": True}
        if fits:
            Session.restore(engine, tokenizer, session._stream.snapshot()).close()
        else:
            with pytest.raises(
                CheckpointError, match=f"state: bytes is '{begun}', expected the beginning of"
            ):
                Session.restore(engine, tokenizer, session._stream.snapshot())
    session._stream.pending = {}
    with pytest.raises(CheckpointError, match="lacks bytes"):
        Session.restore(engine, tokenizer, session._stream.snapshot())
