import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.drift import ALPHA, MIN_ROWS, NUMERIC_COLUMNS, assess_drift, holm, mmd_p_value, with_notice
from brain_core.labels import NOTICE


def predictions(rows: int, seed: int, shift: float = 0.0, shifted: str = "brightness") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.normal(0, 1, rows) for name in NUMERIC_COLUMNS})
    table[shifted] += shift
    table["predicted_class"] = rng.choice(["glioma", "notumor"], rows)
    table["embedding"] = list(rng.normal(0, 1, (rows, 8)).astype(np.float32))
    return table


def test_too_few_rows_are_not_assessed():
    found = assess_drift(predictions(100, 0), predictions(MIN_ROWS - 1, 1, shift=9))
    assert (found.is_assessed, found.is_drifted, found.drifted_share, found.html) == (False, None, None, None)
    assert found.summary["columns"] == []


def test_no_rows_at_all_are_not_assessed():
    assert not assess_drift(predictions(100, 0), predictions(0, 1)).is_assessed


def test_a_shifted_descriptor_is_found_and_named_with_a_report():
    found = assess_drift(predictions(200, 0), predictions(100, 2, shift=3.0))
    assert found.is_drifted
    drifted = [column["column"] for column in found.summary["columns"] if column["is_drifted"]]
    assert drifted == ["brightness"]
    assert found.drifted_share == pytest.approx(1 / 9)
    assert json.loads(json.dumps(found.summary)) == found.summary
    assert found.html is not None
    assert b"brightness" in found.html
    assert re.search(rb"<body>\s*<p[^>]*>" + re.escape(NOTICE.encode()), found.html)


@pytest.mark.parametrize("body", ["<body>", '<body class="wide">', ""])
def test_the_notice_stands_above_everything_on_the_page(body):
    page = with_notice(f"<!DOCTYPE html>{body}<h1>Größe</h1>").decode()
    assert page.count(NOTICE) == 1
    assert page.index(body) <= page.index(NOTICE) < page.index("<h1>Größe</h1>")


def test_the_class_mix_is_looked_at():
    recent = predictions(100, 1).assign(predicted_class="glioma")
    columns = {c["column"]: c for c in assess_drift(predictions(200, 0), recent).summary["columns"]}
    assert columns["predicted_class"]["is_drifted"]


def test_false_alarms_stay_rare(monkeypatch):
    monkeypatch.setattr("brain_assets.ml.drift._evidently_report", lambda *_: "")
    alarms = [assess_drift(predictions(150, 2 * n), predictions(60, 2 * n + 1)).is_drifted for n in range(40)]
    assert sum(alarms) <= 6


def test_mmd_finds_a_shift_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (2, 100, 16)).astype(np.float32)
    assert mmd_p_value(x, y + 1) < 0.01
    assert mmd_p_value(x, y) > ALPHA


def test_mmd_of_equal_rows_is_no_drift():
    same = np.ones((10, 4), np.float32)
    assert mmd_p_value(same, same) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= np.asarray(p_values) - 1e-12).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= -1e-12).all()


def test_holm_is_the_textbooks():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
