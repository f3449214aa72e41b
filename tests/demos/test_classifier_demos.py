"""The demos of classifiers: data that no shortcut solves, and the same for the same seed."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from throughtime.config import resolve
from throughtime.demos import demo_named, sentences, vectors
from throughtime.recognition import recognise

DEMOS = [("sentiment", sentences, "text"), ("vectors", vectors, "vectors")]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "module", "kind"), DEMOS)
def test_the_data_is_in_the_format_of_the_task(
    tmp_path: Path, name: str, module: ModuleType, kind: str
) -> None:
    source = module.write(tmp_path / "a", 1)
    assert demo_named(name) is module
    found = recognise(source)
    assert (found.task, found.options["input"]) == ("classifier", kind)
    assert resolve(module.OPTIONS, {"source": str(source)}).task == "classifier"
    assert module.write(tmp_path / "b", 1).read_bytes() == source.read_bytes()
    assert module.write(tmp_path / "c", 2).read_bytes() != source.read_bytes()


def test_no_remark_is_on_both_sides(tmp_path: Path) -> None:
    source = sentences.write(tmp_path, 1)
    training, unseen = (
        {row["text"] for row in rows(tmp_path / name)} for name in (source.name, sentences.TEST)
    )
    assert (len(training), len(unseen)) == (3000, 500)
    assert not training & unseen


def test_no_word_gives_a_remark_away(tmp_path: Path) -> None:
    counts: dict[str, Counter[str]] = {label: Counter() for label in sentences.LABELS}
    for row in rows(sentences.write(tmp_path, 1)):
        counts[row["label"]].update(row["text"].replace(",", "").split())
    common = [word for word in counts["positive"] if counts["positive"][word] > 50]
    assert len(common) > 30
    for word in common:
        ratio = counts["positive"][word] / counts["negative"][word]
        assert 0.7 < ratio < 1.4, word


def test_the_meaning_of_a_remark_follows_from_its_grammar() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        text, label = sentences.compose(generator)
        if ", but " in text:
            text = text.split(", but ")[1]
        elif text.startswith("although "):
            text = text.split(", ")[1]
        elif ", even though " in text:
            text = text.split(", even though ")[0]
        negated = any(word in text.split() for word in ("not", "never", "nobody", "but"))
        praise = text.split()[-1] in sentences._GOOD
        assert label == sentences.LABELS[praise != negated], text


def test_measurements_are_those_of_the_shape() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        (width, height, area, outline, corners), shape = vectors.measure(generator)
        assert 0 <= corners <= 4
        if shape == "circle":
            assert area == pytest.approx(outline**2 / (4 * np.pi), rel=0.5)
        if shape == "square":
            assert area == pytest.approx(width * height, rel=0.5)


@pytest.mark.slow  # trains both demos
@pytest.mark.parametrize(("name", "module", "kind"), DEMOS)
def test_a_demo_learns_and_shows_it(tmp_path: Path, name: str, module: ModuleType, kind: str) -> None:
    from throughtime.training import train

    source = module.write(tmp_path / "data", 1)
    run = train(source, out=tmp_path / "run", tensorboard=False, **module.OPTIONS)
    lines = "".join(module.show(run, tmp_path / "data"))
    assert "of 500 unseen examples are right" in lines
    assert run.evaluate(tmp_path / "data" / module.TEST)["accuracy"] > 0.93
