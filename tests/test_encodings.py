"""Names of encodings, as --encoding takes them."""

from __future__ import annotations

import pytest

from throughtime.encodings import check_encoding
from throughtime.errors import OptionError


@pytest.mark.parametrize("name", ["utf-8", "cp949", "latin-1", "UTF_16"])
def test_what_python_knows_is_taken(name: str) -> None:
    assert check_encoding(name) == name


@pytest.mark.parametrize("name", ["", "hex", "zlib", "٣", "no such", "utf-8\0"])
def test_others_are_named(name: str) -> None:
    with pytest.raises(OptionError, match="--encoding .* is unknown: use utf-8"):
        check_encoding(name)
