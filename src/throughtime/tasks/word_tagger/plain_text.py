"""Plain text to words: where they begin and end, by a few rules that a person can follow."""

from __future__ import annotations

import re

# In this order: an address, a number with its marks, a clitic of English, a word with its hyphens and dots
# between letters, several equal marks, any other mark.
_WORD = re.compile(
    r"""
    (?:https?://|www\.)\S+
    | [#@]\w+
    | \d+(?:[.,:/]\d+)*%?(?!\w)
    | (?:[^\W\d_]\.){2,}
    | \w+?(?=n['’]t\b)
    | n['’]t\b
    | ['’](?:s|m|d|re|ve|ll)\b
    | \w+(?:-\w+)*
    | \.{2,} | -{2,} | !{2,} | \?{2,}
    | [^\w\s]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def words_of(text: str) -> list[str]:
    """The words and marks of a text, in order; every character that is no white space is in one of them.

    Spaces part words. A mark of punctuation is a word of its own, but for those inside a number (3.14), an
    address, an abbreviation of single letters (U.S.) and a hyphenated word. English "n't", "'s", "'re" and so
    on are words, as the treebanks have them.
    """
    return _WORD.findall(text)
