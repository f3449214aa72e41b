"""Every tokeniser: round trips, block edges, saved form, unknown characters, real data."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data import Tokenizer, TokenizerKind
from throughtime.data import text as text_module
from throughtime.errors import DataError, OptionError, RunError, ThroughtimeError, UnknownTokenError

TEXT = (
    "First Citizen:\r\nBefore we proceed  any further,\n\n\thear me speak.   \n"
    "한국어 문장입니다. 漢字かな e\u0301 👩‍👩‍👧 it's they'll 12345 x1\u3000y\n" * 3
)
KINDS: list[TokenizerKind] = ["character", "byte", "bpe", "word"]
LOSSLESS: list[TokenizerKind] = ["character", "byte", "bpe"]


def make(folder: Path, kind: TokenizerKind, text: str = TEXT, size: int | None = None) -> Tokenizer:
    path = folder / "train.txt"
    path.write_bytes(text.encode())
    return Tokenizer.train(kind, path, vocabulary_size=300 if kind == "bpe" else size)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_decode_undoes_encode(tmp_path: Path, kind: TokenizerKind) -> None:
    tokenizer = make(tmp_path, kind)
    tokens = tokenizer.encode(TEXT)
    assert tokens.dtype == np.int64
    assert tokenizer.decode(tokens) == TEXT
    assert tokenizer.decode(tokenizer.encode("")) == ""


@given(text=st.text())
def test_any_text_round_trips_through_bytes_and_bpe(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("tokenizer")
    for kind in ("byte", "bpe"):
        tokenizer = make(folder, kind)
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=st.text(min_size=1))
def test_any_text_round_trips_through_its_own_characters(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    # A byte order mark at the start is the encoding's, not the text's.
    text = "x" + text
    tokenizer = make(tmp_path_factory.mktemp("tokenizer"), "character", text)
    assert tokenizer.vocabulary_size == len(set(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block_bytes", [1, 5, 64, 1 << 20])
def test_a_file_gives_the_tokens_of_its_whole_text(
    tmp_path: Path, kind: TokenizerKind, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make(tmp_path, kind)
    read = functools.partial(text_module.read_blocks, block_bytes=block_bytes)
    monkeypatch.setattr("throughtime.data.tokenizer.read_blocks", read)
    blocks = list(tokenizer.encode_file(tmp_path / "train.txt"))
    np.testing.assert_array_equal(np.concatenate(blocks), tokenizer.encode(TEXT))


def test_long_texts_are_cut_into_pieces_without_a_trace(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "bpe")
    text = TEXT * 1000 + "x" * 200_000
    whole = tokenizer._library.encode(text, add_special_tokens=False).ids
    np.testing.assert_array_equal(tokenizer.encode(text), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_file_is_a_plain_library_tokenizer(tmp_path: Path, kind: TokenizerKind) -> None:
    tokenizer = make(tmp_path, kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.kind, loaded.vocabulary_size) == (kind, tokenizer.vocabulary_size)
    np.testing.assert_array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode(TEXT).ids == tokenizer.encode(TEXT).tolist()
    if kind in LOSSLESS:
        assert library.decode(tokenizer.encode(TEXT).tolist()) == TEXT


def test_characters_are_in_code_point_order(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "character", "banana\n한")
    assert [tokenizer.token_text(token) for token in range(tokenizer.vocabulary_size)] == list("\nabn한")


def test_an_unknown_character_is_named_with_its_place(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "character", "abc\n ")
    with pytest.raises(UnknownTokenError, match=r"the prompt, line 2, column 3: .*'é' \(U\+00E9, LATIN"):
        tokenizer.encode("ab\nabé", name="the prompt")
    path = tmp_path / "other.txt"
    path.write_text("abc\nab c\nabz")
    with pytest.raises(UnknownTokenError, match=r"other.txt, line 3, column 3"):
        list(tokenizer.encode_file(path))


def test_byte_tokens_are_byte_values_even_of_invalid_text(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)))
    tokenizer = Tokenizer.train("byte", path)
    np.testing.assert_array_equal(np.concatenate(list(tokenizer.encode_file(path))), np.arange(256))
    assert tokenizer.vocabulary_size == 256
    assert tokenizer.encode("한").tolist() == list("한".encode())


def test_a_word_of_any_length_trains_quickly() -> None:
    """One of 300,000 letters took a minute: each merge looked through all of it."""
    random = np.random.default_rng(0)
    text = "a short text " + "".join(random.choice(list("abcdefghij"), 300_000)) + " " * 300_000 + "ends"
    begin = time.process_time()
    tokenizer = Tokenizer.train_on_texts("bpe", [text])
    assert time.process_time() - begin < 5
    assert tokenizer.vocabulary_size == 4096
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_all_of_a_long_word_counts() -> None:
    begin, middle, end = ("ab" * 700, "cd" * 700, "ef" * 700)
    tokenizer = Tokenizer.train_on_texts("bpe", [f"{begin}{middle}{end}"])
    assert {len(tokenizer.encode(text)) for text in ("ab" * 32, "cd" * 32, "ef" * 32)} == {1}


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_streaming_never_emits_half_a_character(tmp_path: Path, kind: TokenizerKind) -> None:
    tokenizer = make(tmp_path, kind, "ab")
    decoder = tokenizer.stream_decoder()
    pieces = [decoder.push(int(token)) for token in tokenizer.encode("a한👍")]
    assert "".join(pieces) == "a한👍"
    assert "\ufffd" not in "".join(pieces)
    assert decoder.push(int(tokenizer.encode("한")[0])) == ""
    assert decoder.flush() == "\ufffd"


def test_words_keep_lines_and_replace_rare_ones(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "word", "the cat sat\nthe cat ran\nthe end\n", size=4)
    tokens = tokenizer.encode("the cat\nthe dog")
    assert [tokenizer.token_text(token) for token in tokens] == ["the", "cat", "<eos>", "the", "<unk>"]
    assert tokenizer.decode(tokens) == "the cat\nthe <unk>"
    assert tokenizer.vocabulary_size == 4


def test_tokens_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    tokenizer = make(tmp_path, "character", "ab")
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="outside the vocabulary"):
            tokenizer.decode([wrong])
        with pytest.raises(ValueError, match="outside the vocabulary"):
            tokenizer.token_text(wrong)


def test_options_and_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(" \n\n")
    calls: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (OptionError, "unknown: use character, byte", lambda: Tokenizer.train("letters", path)),  # type: ignore
        (OptionError, "does not apply", lambda: Tokenizer.train("character", path, 100)),
        (OptionError, "256", lambda: Tokenizer.train("bpe", path, 100)),
        (OptionError, "3 or above", lambda: Tokenizer.train("word", path, 2)),
        (DataError, "no such file", lambda: Tokenizer.train("byte", tmp_path / "none")),
    ]
    for error, message, call in calls:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"model": {}}', '{"version":"1.0","model":{"type":"Unigram","vocab":[]}}']
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(RunError, match="tokenizer.json is damaged"):
        Tokenizer.load(path)
    with pytest.raises(RunError, match="is missing"):
        Tokenizer.load(tmp_path / "none.json")


def test_penn_treebank_has_its_published_size(shared_data: Path) -> None:
    train = shared_data / "ptb" / "ptb.train.txt"
    tokenizer = Tokenizer.train("word", train)
    assert tokenizer.vocabulary_size == 10_000
    assert sum(len(block) for block in tokenizer.encode_file(train)) == 929_589
    for name, count in (("valid", 73_760), ("test", 82_430)):
        path = shared_data / "ptb" / f"ptb.{name}.txt"
        assert sum(len(block) for block in tokenizer.encode_file(path)) == count


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_half_a_surrogate_pair_is_an_error_and_not_a_fault(kind: TokenizerKind) -> None:
    tokenizer = Tokenizer.train_on_texts(kind, ["one two three\n"] * 20)
    with pytest.raises(DataError, match=r"the caption, line 7.*(U\+D83D)"):
        tokenizer.encode("one \ud83d", "the caption", 7)
    if kind != "byte":
        with pytest.raises(DataError, match=r"U\+D83D is half of a surrogate pair"):
            Tokenizer.train_on_texts(kind, ["one", "two \ud83d"])


def test_bytes_of_a_command_line_are_bytes_to_a_byte_tokenizer() -> None:
    tokenizer = Tokenizer.train_on_texts("byte", [])
    assert tokenizer.encode("a\udcff").tolist() == [97, 255]


def test_a_tokenizer_that_the_library_cannot_read_is_refused_when_it_is_needed(tmp_path: Path) -> None:
    Tokenizer.train_on_texts("character", ["abc"]).save(tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content.replace('"added_tokens": []', '"added_tokens": [[]]'))
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.encode("cab").tolist() == [2, 0, 1]
    with pytest.raises(RunError, match="tokenizer.json is damaged or not a tokenizer"):
        tokenizer.save(tmp_path / "other.json")


def test_a_vocabulary_that_lacks_its_own_unknown_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two three one two\n" * 3)
    tokenizer = Tokenizer.train("word", tmp_path / "text.txt", 3)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(path.read_text().replace('"unk_token":', '"unk_token": "gone", "unused":'))
    with pytest.raises(ThroughtimeError, match="cannot encode|damaged"):
        Tokenizer.load(path).encode("four")


def test_characters_and_bytes_need_no_library_and_no_kind_needs_its_hub_client(tmp_path: Path) -> None:
    """Where a module may not be imported, whatever asks for it."""
    for kind in ("character", "byte", "word", "bpe"):
        Tokenizer.train_on_texts(kind, ["a good film"], None).save(tmp_path / f"{kind}.json")
    code = """
import sys

sys.modules.update(dict.fromkeys(sys.argv[2:]))
from throughtime.data.tokenizer import Tokenizer

for path in sys.argv[1].split():
    tokenizer = Tokenizer.load(path)
    print(tokenizer.decode(tokenizer.encode("a good film")).strip())
"""

    def read(kinds: list[str], *missing: str) -> list[str]:
        paths = " ".join(f"{kind}.json" for kind in kinds)
        command = [sys.executable, "-c", code, paths, *missing]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert read(["character", "byte"], "tokenizers", "huggingface_hub") == ["a good film"] * 2
    assert read(["word", "bpe"], "huggingface_hub") == ["a good film"] * 2
