import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_assets.ml.leakage import published_split_leakage
from brain_assets.ml.leakage_page import (
    REPORT_FILE,
    LeakedPair,
    complete_report,
    leakage_report_html,
    pair_gallery,
    shown_pairs,
    with_split,
)
from brain_core.data_versions import report_key
from brain_core.imaging import encode_png
from brain_core.labels import NOTICE
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_pixels


class Tags(HTMLParser):
    """Tags that are open, and those that were closed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def leakage(patients: pd.DataFrame | None = None) -> pd.DataFrame:
    rows = [("a", "glioma", "Training", 0), ("b", "glioma", "Testing", 0), ("c", "glioma", "Testing", 1)]
    rows += [("d", "notumor", "Testing", 2), ("e", "notumor", "Testing", 3)]
    table = pd.DataFrame(rows, columns=["key", "label", "published_split", "group"])
    return published_split_leakage(
        table.drop(columns="group"), table[["key", "group"]].assign(upright_group=range(5)), patients
    )


def pair(name: str = "Te-gl_1.jpg", orientation: str = "mirrored") -> LeakedPair:
    picture = np.zeros((160, 324), np.uint8)
    picture[:, :160] = 200
    return LeakedPair("glioma", name, "Tr-gl_2.jpg", orientation, picture)


def some_splits() -> pd.DataFrame:
    return pd.DataFrame({"group": [0, 0, 1, 2], "component": [0, 0, 1, 2], "part": ["train", "train", "test", "train"]})


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_page_states_the_figures_the_notice_and_the_pairs():
    page = leakage_report_html(leakage(), [pair()], data_version="abc")
    text = text_of(page)
    assert "Of the 4 images to test with, 1 are also there to train with." in text
    assert "25.0 % of the Testing images are copies" in text
    assert NOTICE in text
    assert "Te-gl_1.jpg &larr; Tr-gl_2.jpg glioma, mirrored" in text
    assert "abc" in text
    assert "known patient" in text
    assert "patient also in Training" not in text


def test_page_stands_alone_and_is_well_formed():
    page = leakage_report_html(leakage(), [pair()])
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.wrong) == ([], [])
    assert not {"script", "link", "iframe"} & set(tags.seen)
    assert re.findall(r"""(?:src|href)="(?!data:image/png;base64,)""", page) == []
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "$" not in page


def test_page_adds_patients_where_they_are_known():
    patients = pd.DataFrame({"key": ["a", "c"], "patient": ["p", "p"]})
    text = text_of(leakage_report_html(leakage(patients), []))
    assert "50.0 % are copies, or show a patient who is also in Training" in text
    assert "not known" in text
    assert "No copy was found." in text


def test_a_split_takes_its_place_in_the_page_and_a_later_one_replaces_it():
    page = leakage_report_html(leakage(), [pair()])
    assert "different slices" not in page
    first = with_split(page, some_splits()[:2])
    last = with_split(first, some_splits())
    assert last == with_split(page, some_splits())
    text = text_of(last)
    assert "4 images are 3 different slices in 3 components: 2 for train, 0 for validation, 1 for test." in text
    assert "Components that cross: 0." in text
    tags = Tags()
    tags.feed(last)
    assert (tags.open, tags.wrong) == ([], [])


def test_the_kept_report_is_completed_and_none_is_made_where_there_is_none(bucket: LocalBucket):
    key = report_key("abc", REPORT_FILE)
    bucket.write(key, leakage_report_html(leakage(), []).encode())
    for version in ("abc", "other"):
        complete_report(bucket, version, some_splits())
    assert "4 images are 3 different slices" in bucket.read(key).decode()
    assert not bucket.exists(report_key("other", REPORT_FILE))


def test_page_says_what_else_is_to_be_known_about_the_images():
    assert f"{NOTICE} Drawn &amp; not real." in leakage_report_html(leakage(), [], note="Drawn & not real.")


def test_page_says_so_when_nothing_was_published_for_testing():
    assert "nothing that could leak" in text_of(leakage_report_html(leakage()[:0], []))


def test_names_are_escaped():
    page = leakage_report_html(leakage(), [pair("<b>&.jpg")])
    assert "&lt;b&gt;&amp;.jpg" in page


@pytest.mark.parametrize("count", [0, 1, 6])
def test_gallery_has_a_cell_for_each_pair(count: int):
    gallery = Image.open(io.BytesIO(pair_gallery([pair()] * count, columns=4)))
    cells = (max(1, min(4, count)), max(1, -(-count // 4)))
    assert gallery.size == (cells[0] * 332, cells[1] * 204)
    grey = np.asarray(gallery.convert("L"))
    assert (grey[80, 80] > 150) == (count > 0)
    assert grey[80, 250] < 50


def test_shown_pairs_take_each_class_and_one_of_each_orientation_first(bucket: LocalBucket):
    turns = ["mirrored"] * 3 + ["same"] + ["turned 180"]
    rows = [(f"Testing/{n}.png", f"Training/{n}.png", "glioma", turn, 1.0) for n, turn in enumerate(turns)]
    rows.append(("Testing/9.png", "Training/9.png", "notumor", "same", 1.0))
    pairs = pd.DataFrame(rows, columns=["key", "training_key", "label", "orientation", "correlation"])
    for key in [*pairs["key"], *pairs["training_key"]]:
        bucket.write(key, encode_png(distinct_pixels(len(key))))
    shown = shown_pairs(pairs.sample(frac=1, random_state=0), bucket, pairs_by_class=3)
    assert [(item.label, item.orientation) for item in shown] == [
        ("glioma", "mirrored"),
        ("glioma", "same"),
        ("glioma", "turned 180"),
        ("notumor", "same"),
    ]
    assert shown[0].testing_name == "0.png"
    assert shown[0].picture.shape == (160, 324)
