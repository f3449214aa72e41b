"""The timeline: a picture of the segments, with an axis in the right unit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from throughtime.errors import OptionError
from throughtime.tasks.tagger.timeline import COLOURS, draw_timeline

NAMES = [f"action {number}" for number in range(11)]


def drawn(path: Path) -> str:
    """The picture's SVG; matplotlib writes each text as a comment beside its glyphs."""
    return path.read_text()


def texts(svg: str) -> list[str]:
    return re.findall(r"<!-- (.+?) -->", svg)


def test_each_segment_is_one_bar_in_its_labels_colour(tmp_path: Path) -> None:
    predicted = np.array([0, 0, 1, 1, 1, 0, 10])
    svg = drawn(draw_timeline(tmp_path / "a.svg", NAMES, predicted, title="clip.mp4"))
    # one for each segment, and one in the legend
    assert svg.count(f"fill: {COLOURS[0].lower()}") == 2 + 1
    assert svg.count(f"fill: {COLOURS[1].lower()}") == 1 + 1
    # action 10 has the colour of action 2, with a pattern
    assert svg.count("url(#") >= 2
    assert {"action 0", "action 1", "action 10", "predicted", "frame", "clip.mp4"} <= set(texts(svg))
    assert "truth" not in texts(svg) and "action 2" not in texts(svg) and "no label" not in texts(svg)


def test_the_truth_stands_beside_and_time_is_in_seconds_where_the_rate_is_known(tmp_path: Path) -> None:
    predicted = np.repeat([0, 1], 50)
    truth = np.repeat([0, -1], 50)
    svg = drawn(draw_timeline(tmp_path / "a.svg", NAMES, predicted, truth, frame_rate=25))
    assert {"truth", "predicted", "time (seconds)", "no label", "4.0"} <= set(texts(svg))
    assert "100" not in texts(svg)


def test_pictures_are_written_whole_or_refused(tmp_path: Path) -> None:
    path = draw_timeline(tmp_path / "a.png", NAMES, np.zeros(5, dtype=np.int64))
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OptionError, match=r"a\.xyz: pictures are written as \.png, \.svg, \.pdf"):
        draw_timeline(tmp_path / "a.xyz", NAMES, np.zeros(5, dtype=np.int64))


def test_labels_and_titles_are_no_formulas(tmp_path: Path) -> None:
    names = [r"$\x$", "costs $5 and $6"]
    svg = draw_timeline(tmp_path / "a.svg", names, np.array([0, 1]), title=r"$\frac$.npy").read_text()
    assert {r"$\x$", "costs $5 and $6", r"$\frac$.npy"} <= set(texts(svg))
