"""The demo of dates: the data that it writes, and that it learns."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.demos import dates
from throughtime.tasks.translator.parallel import read_pairs


def test_the_same_seed_writes_the_same_dates_and_no_unseen_day_is_in_the_training_data(tmp_path):
    assert dates.write(tmp_path / "a", 1) == tmp_path / "a" / "dates.tsv"
    dates.write(tmp_path / "b", 1)
    dates.write(tmp_path / "c", 2)
    content = {name: (tmp_path / name / "dates.tsv").read_text() for name in "abc"}
    assert content["a"] == content["b"] != content["c"]
    training = {pair.target for pair in read_pairs(tmp_path / "a" / "dates.tsv", None, BadRows())}
    unseen = {pair.target for pair in read_pairs(tmp_path / "a" / "dates-unseen.tsv", None, BadRows())}
    assert (len(training), len(unseen)) == (dates.TRAINING_DATES, dates.UNSEEN_DATES)
    assert not training & unseen
    assert all(datetime.date.fromisoformat(day) for day in training | unseen)


def test_the_forms_of_a_date_by_hand():
    date = datetime.date(1998, 3, 3)
    generator = np.random.default_rng(0)
    forms = {dates.written(date, generator) for _ in range(2000)}
    assert {
        "Tuesday, 3 March 1998",
        "3.3.98",
        "03.03.1998",
        "March 3rd, 1998",
        "3 Mar '98",
        "03-Mar-98",
        "3/3/1998",
        "the 3rd of March 1998",
        "1998 MARCH 3",
    } <= forms


@pytest.mark.parametrize(
    ("day", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (22, "22nd")],
)
def test_ordinals(day, text):
    assert dates.ordinal(day) == text


def test_no_form_means_two_dates():
    # Slashes are month first, dots day first: whatever is written, another day is written otherwise.
    days = [datetime.date(2003, 1, 1) + datetime.timedelta(days=n) for n in range(400)]
    seen: dict[str, datetime.date] = {}
    for form in dates.FORMS:
        for day in days:
            assert seen.setdefault(dates.in_form(form, day), day) == day


@pytest.mark.slow  # trains for half a minute: a demo that does not learn is a failure
def test_the_demo_learns_to_read_dates_that_it_has_not_seen(tmp_path):
    from throughtime.training import train

    run = train(dates.write(tmp_path, 1), tmp_path / "run", **{**dates.OPTIONS, "seed": 1})
    lines = "".join(dates.show(run, tmp_path)).splitlines()
    right = int(next(line for line in lines if "exactly right" in line).split()[0])
    assert right >= 0.95 * dates.UNSEEN_DATES
