"""Token files: round trips, damage, and the split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from throughtime.data import TokenFile, Tokenizer, split, write_tokens
from throughtime.errors import DataError, OptionError, RunError


@pytest.mark.parametrize(("vocabulary_size", "dtype"), [(256, "u1"), (257, "<u2"), (65_537, "<u4")])
def test_tokens_come_back_in_the_narrowest_type(tmp_path: Path, vocabulary_size: int, dtype: str) -> None:
    blocks = [np.array([0, vocabulary_size - 1]), np.array([], dtype=np.int64), np.array([1, 2, 3])]
    write_tokens(tmp_path / "tokens.bin", blocks, vocabulary_size)
    file = TokenFile.open(tmp_path / "tokens.bin")
    file.verify()
    assert file.tokens.dtype == np.dtype(dtype)
    assert file.tokens.tolist() == [0, vocabulary_size - 1, 1, 2, 3]
    assert (file.count, file.vocabulary_size) == (5, vocabulary_size)


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    write_tokens(path, [np.array([1, 2])], 10)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        write_tokens(path, [np.array([3]), np.array([10])], 10)
    with pytest.raises(DataError, match="no tokens"):
        write_tokens(path, [], 10)
    assert TokenFile.open(path).tokens.tolist() == [1, 2]
    TokenFile.open(path).verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokens.bin", "tokens.bin.json"]


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    write_tokens(path, [np.arange(100)], 100)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(RunError, match="99 bytes, expected 100"):
        TokenFile.open(path)
    path.write_bytes(b"\x05" + content[1:])
    with pytest.raises(RunError, match="checksum"):
        TokenFile.open(path).verify()
    description = tmp_path / "tokens.bin.json"
    for broken in ("{", "{}", json.dumps({"version": 9})):
        description.write_text(broken)
        with pytest.raises(RunError, match=r"damaged|version 9"):
            TokenFile.open(path)
    description.unlink()
    with pytest.raises(RunError, match="is missing"):
        TokenFile.open(path)


def test_split_is_a_view_and_refuses_other_fractions() -> None:
    tokens = np.arange(10, dtype=np.uint8)
    train, validation = split(tokens, 0.25)
    assert (train.tolist(), validation.tolist()) == ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])
    assert np.shares_memory(train, tokens)
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(OptionError):
            split(tokens, wrong)


def test_tiny_shakespeare_splits_where_the_literature_does(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "tinyshakespeare" / "input.txt"
    tokenizer = Tokenizer.train("character", path)
    assert tokenizer.vocabulary_size == 65
    file = write_tokens(tmp_path / "tokens.bin", tokenizer.encode_file(path), tokenizer.vocabulary_size)
    train, validation = split(file.tokens, 0.1)
    assert (len(train), len(validation)) == (1_003_854, 111_540)
