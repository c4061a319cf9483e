import json

import altair as alt
import pandas as pd
import pytest

from brain_core.labels import CLASSES
from dashboard import charts


@pytest.fixture
def drawn(monkeypatch):
    """What was given to Streamlit: (chart's specification, alternative text)."""
    found = []
    monkeypatch.setattr(charts.st, "altair_chart", lambda chart, width, alt: found.append((chart.to_dict(), alt)))
    return found


def test_bars_tell_every_number_to_those_who_do_not_see_them(drawn):
    frame = pd.DataFrame({"count": [3, 0, 12345, 1]}, index=list(CLASSES))

    charts.bars(frame, "count", "predictions", ",.0f")

    ((_, text),) = drawn
    assert "Glioma 3, Meningioma 0, No tumour 12,345, Pituitary tumour 1" in text


def test_bars_without_numbers_say_so(drawn):
    frame = pd.DataFrame({"mean": [None] * 4}, index=list(CLASSES), dtype=float)

    charts.bars(frame, "mean", "mean", ".1%")

    assert "nothing yet" in drawn[0][1]


@pytest.mark.parametrize(("counts", "end"), [([0, 0, 0, 0], 1), ([3, 0, 8, 1], 8)])
def test_bars_begin_at_zero_also_when_all_are_nothing(drawn, counts, end):
    charts.bars(pd.DataFrame({"count": counts}, index=list(CLASSES)), "count", "predictions", ",.0f")
    assert drawn[0][0]["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, end]


def test_stacked_bars_reach_to_the_largest_sum(drawn):
    frame = pd.DataFrame({"name": ["Glioma", "Glioma"], "answer": ["right", "wrong"], "count": [5, 2]})
    charts.stacked(frame, "answer", {"right": "#000", "wrong": "#fff"}, "answers")
    assert drawn[0][0]["encoding"]["x"]["scale"]["domain"] == [0, 7]


def test_stacked_bars_tell_both_parts(drawn):
    frame = pd.DataFrame({"name": ["Glioma", "Glioma"], "answer": ["right", "wrong"], "count": [5, 2]})

    charts.stacked(frame, "answer", {"right": "#000", "wrong": "#fff"}, "answers")

    assert "Glioma right 5, Glioma wrong 2" in drawn[0][1]


def test_columns_tell_the_sums_and_keep_their_colours(drawn):
    frame = pd.DataFrame({"x": [1, 2], "name": ["accepted", "accepted"], "count": [4, 3]})

    charts.columns(frame, alt.X("x:Q"), {"accepted": "#123456"}, "uploads")

    specification, text = drawn[0]
    assert "accepted 7 in all" in text
    assert "#123456" in json.dumps(specification["encoding"]["color"])
