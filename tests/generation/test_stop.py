"""Stop strings in streaming text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.errors import OptionError
from throughtime.generation import StopStrings

# Two letters, so that stop strings overlap themselves, each other and the cuts.
short_texts = st.text(alphabet="ab", max_size=30)
stop_lists = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)


def stream(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    """All that comes out of the pieces, and whether a stop string was met."""
    watcher = StopStrings(stops)
    emitted = ""
    for piece in pieces:
        text, stopped = watcher.push(piece)
        emitted += text
        if stopped:
            return emitted, True
    return emitted + watcher.flush(), False


def cut_at_first_complete_stop(stops: list[str], text: str) -> tuple[str, bool]:
    """The definition: the shortest beginning that ends in a stop string, without the longest such."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(stop_lists, st.lists(st.text(alphabet="ab", max_size=5), max_size=10))
def test_what_comes_out_does_not_depend_on_how_the_text_is_cut(stops, pieces):
    assert stream(stops, pieces) == cut_at_first_complete_stop(stops, "".join(pieces))


@given(stop_lists, short_texts)
def test_character_by_character_gives_the_same_as_all_at_once(stops, text):
    assert stream(stops, list(text)) == stream(stops, [text])


@given(stop_lists, short_texts)
def test_no_more_is_held_back_than_the_beginning_of_a_stop_string(stops, text):
    watcher = StopStrings(stops)
    emitted, stopped = watcher.push(text)
    if not stopped:
        held = text[len(emitted) :]
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)


def test_a_partial_match_is_held_back_and_let_go_when_it_fails():
    watcher = StopStrings(["END"])
    assert watcher.push("the E") == ("the ", False)
    assert watcher.push("N") == ("", False)
    assert watcher.push("T") == ("ENT", False)


def test_the_stop_string_and_all_that_follows_never_come_out():
    watcher = StopStrings(["END"])
    assert watcher.push("a EN") == ("a ", False)
    assert watcher.push("D and more") == ("", True)
    assert watcher.push("still more") == ("", True)
    assert watcher.flush() == ""
    assert watcher.stopped


def test_a_stop_that_overlaps_itself_is_found():
    assert stream(["aab"], ["a", "a", "a", "b"]) == ("a", True)


def test_flush_returns_what_was_held_back_once():
    watcher = StopStrings(["\n\n"])
    assert watcher.push("done\n") == ("done", False)
    assert watcher.flush() == "\n"
    assert watcher.flush() == ""


def test_without_stop_strings_everything_passes_at_once():
    assert StopStrings([]).push("text") == ("text", False)


def test_an_empty_stop_string_is_refused():
    with pytest.raises(OptionError, match="must not be empty"):
        StopStrings(["a", ""])


def test_one_string_in_place_of_a_list_is_refused():
    with pytest.raises(OptionError, match=r"write \['END'\]"):
        StopStrings("END")
