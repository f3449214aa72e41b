"""The demo of word tagging: names that only the words around them tell apart."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from throughtime.config import resolve
from throughtime.data.tables import BadRows
from throughtime.demos import demo_named, names
from throughtime.recognition import recognise
from throughtime.tasks.word_tagger.conll import Sentence, read_conll
from throughtime.tasks.word_tagger.entities import find_entities


def sentences(path: Path) -> list[Sentence]:
    return list(read_conll(path, BadRows()))


def names_in(found: list[Sentence]) -> dict[str, set[str]]:
    """The types under which each name occurs."""
    types: dict[str, set[str]] = defaultdict(set)
    for one in found:
        for entity in find_entities(one.tags or ()):
            for word in one.words[entity.start : entity.end]:
                types[word].add(entity.type)
    return types


def test_the_data_is_in_the_format_of_the_task(tmp_path: Path) -> None:
    source = names.write(tmp_path / "a", 1)
    assert demo_named("words") is names
    assert recognise(source).task == "word-tagger"
    assert resolve(names.OPTIONS, {"source": str(source)}).task == "word-tagger"
    assert names.write(tmp_path / "b", 1).read_bytes() == source.read_bytes()
    assert names.write(tmp_path / "c", 2).read_bytes() != source.read_bytes()


def test_no_name_is_on_both_sides(tmp_path: Path) -> None:
    training = sentences(names.write(tmp_path, 1))
    unseen = sentences(tmp_path / names.UNSEEN)
    assert (len(training), len(unseen)) == (1500, 300)
    assert not names_in(training).keys() & names_in(unseen).keys()


def test_most_names_occur_as_more_than_one_type(tmp_path: Path) -> None:
    types = names_in(sentences(names.write(tmp_path, 1)))
    several = [name for name, found in types.items() if len(found) > 1]
    assert len(several) > len(types) / 2
