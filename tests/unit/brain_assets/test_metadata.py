import logging

import numpy as np
import pandas as pd
import pytest

from brain_assets.metadata import (
    SYNTHETIC,
    figures,
    picture,
    progress_log,
    source_in,
    source_note,
    synthetic_note,
    table,
)
from brain_core.labels import NOTICE


def test_a_table_keeps_types_and_says_none_for_missing_values():
    frame = pd.DataFrame({"n": [1, 2], "v": [0.123456, np.nan], "ok": [True, False], "t": ["a", None]})
    value = table(frame)
    assert [column.type for column in value.schema.columns] == ["int", "float", "bool", "string"]
    assert value.records[0].data == {"n": 1, "v": 0.1235, "ok": True, "t": "a"}
    assert value.records[1].data["v"] is None


def test_an_empty_table_shows_its_columns():
    value = table(pd.DataFrame(columns=["a", "b"]))
    assert [column.name for column in value.schema.columns] == ["a", "b"]


def test_a_long_table_is_cut():
    assert len(table(pd.DataFrame({"n": range(500)})).records) == 50


def test_a_picture_is_inside_the_page():
    assert picture(b"png").value.startswith("![picture](data:image/png;base64,cG5n")


def test_what_was_not_computed_says_so():
    assert figures({"share": None, "rows": 3}) == {"share": "not assessed", "rows": 3}


@pytest.mark.parametrize(("source", "words"), [("sample", "Synthetic"), ("public", "Public"), ("own", "Images of")])
def test_every_source_is_named_with_the_notice(source, words):
    assert source_note(source).startswith(words)
    assert source_note(source).endswith(NOTICE)


def test_where_only_some_images_are_synthetic_it_is_said_too():
    source = source_in(pd.DataFrame({"source": ["sample", "own", "sample"]}))
    assert source == "own, sample"
    assert SYNTHETIC in source_note(source)
    assert "Images of this installation." in source_note(source)


@pytest.mark.parametrize(("source", "note"), [("sample", SYNTHETIC), ("own, sample", SYNTHETIC), ("public", "")])
def test_only_synthetic_images_have_a_note_outside_dagit(source, note):
    assert synthetic_note(source) == note


@pytest.mark.parametrize(("step", "lines"), [(1, 10), (8, 10), (512, 2)])
def test_progress_is_about_ten_lines_however_many_images(caplog, step, lines):
    class Context:
        log = logging.getLogger("progress")

    with caplog.at_level(logging.INFO, logger="progress"):
        log = progress_log(Context(), "images")
        for done in [*range(step, 1000, step), 1000]:
            log(done, 1000)
    assert len(caplog.messages) == lines
    assert caplog.messages[-1] == "images: 1000 of 1000"
