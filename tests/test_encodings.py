"""Names of encodings, as --encoding takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data.delimited import read_delimited
from throughtime.data.tables import BadRows
from throughtime.encodings import check_encoding, guess_encoding
from throughtime.errors import DataError, OptionError


@pytest.mark.parametrize("name", ["utf-8", "cp949", "latin-1", "UTF_16"])
def test_what_python_knows_is_taken(name: str) -> None:
    assert check_encoding(name) == name


@pytest.mark.parametrize("name", ["", "hex", "zlib", "٣", "no such", "utf-8\0", "idna", "punycode"])
def test_others_are_named(name: str) -> None:
    with pytest.raises(OptionError, match="--encoding .* is unknown: use utf-8"):
        check_encoding(name)


def test_french_with_many_accents_is_not_taken_for_russian() -> None:
    french = "Où est le café ? Ça été très gâché, là où j'ai goûté. " * 4
    russian = "Где кафе? Всё было очень хорошо. " * 4
    assert guess_encoding(french.encode("latin-1")) == (
        "cp1252",
        "Western European (Windows-1252 or Latin-1)",
    )
    assert guess_encoding(russian.encode("cp1251")) == ("cp1251", "Cyrillic (Windows-1251)")


def test_a_table_to_predict_says_what_it_looks_like_and_how_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes(("text\n" + "나쁜 영화는 정말 나쁘다\n" * 3).encode("cp949"))
    with pytest.raises(DataError, match=r"Korean .*`iconv -f cp949 -t utf-8 new\.csv > NEW`"):
        list(read_delimited(path))
    bad = BadRows(skip=True)
    rows = list(read_delimited(path, lambda line, fault: bad.report(path, line, fault)))
    assert rows == [(1, ["text"])] and bad.count == 3


def test_a_spanish_word_among_many_is_not_taken_for_chinese() -> None:
    lines = "".join(f"contraseña{number}\npassword\n" for number in range(20))
    assert guess_encoding(lines.encode("latin-1")) == ("cp1252", "Western European (Windows-1252 or Latin-1)")
    for encoding, text in (("cp949", "암호 password\n"), ("shift_jis", "パス\n")):
        found = guess_encoding((text * 20).encode(encoding))
        assert found is not None and found[0] == encoding
