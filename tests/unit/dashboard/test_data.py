from datetime import UTC, datetime

import pytest

from brain_core.data_versions import INDEX_KEY, DataVersion, report_key, write_finding
from brain_core.storage import LocalBucket, write_json
from dashboard.views.data import _framed
from tests.fixtures_dashboard import alerts, open_page, said

__all__ = ["open_page"]

VERSION = DataVersion(
    version="abcdef0123456789",
    created_at=datetime(2026, 11, 20, tzinfo=UTC),
    source="public",
    images=7,
    images_by_class={"glioma": 4, "notumor": 3},
    unreadable_images=1,
)


@pytest.fixture
def data_page(open_page, bucket: LocalBucket):
    return lambda: open_page("data", BRAIN_BUCKET__URI=str(bucket.root))


def keep(bucket: LocalBucket) -> None:
    write_json(bucket, INDEX_KEY, {"versions": [VERSION.model_dump(mode="json")]})


def test_without_data_the_page_says_how_to_have_some(data_page):
    assert any("No data was built yet" in text for text in alerts(data_page()))


def test_a_version_shows_its_classes_before_anything_was_found_out(data_page, bucket):
    keep(bucket)
    app = data_page()
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric} == {
        "Glioma": "4", "Meningioma": "0", "No tumour": "3", "Pituitary tumour": "0", "Unreadable, left out": "1",
    }  # fmt: skip
    assert "Not audited yet" in said(app)
    assert "nothing to leak" in said(app)


def test_leakage_splits_and_shortcuts_are_shown(data_page, bucket):
    keep(bucket)
    write_finding(bucket, VERSION.version, "splits", [{"part": "test", "label": "glioma", "images": 2, "groups": 1}])
    write_finding(bucket, VERSION.version, "leakage", [{"label": "all", "testing_images": 4, "leaked_share": 0.75}])
    write_finding(bucket, VERSION.version, "shortcuts", [{"shortcut": "image size", "balanced_accuracy": 0.5}])
    bucket.write(report_key(VERSION.version, "leakage.html"), b"<h1>Pairs</h1>")
    app = data_page()
    assert not app.exception
    assert "75.0%" in [metric.value for metric in app.metric]
    assert len(app.dataframe) == 3
    app.toggle[0].set_value(True).run()
    assert not app.exception
    assert len(app.get("iframe")) == 1


def test_tables_read_from_left_to_right_and_parts_in_the_order_of_a_model_s_life(data_page, bucket):
    keep(bucket)
    rows = [{"components": 1, "groups": 2, "images": 3, "label": "glioma", "part": part} for part in ("test", "train")]
    write_finding(bucket, VERSION.version, "splits", rows)
    (table,) = [frame.value for frame in data_page().dataframe]
    assert list(table.columns) == ["part", "label", "images", "groups", "components"]
    assert table["part"].tolist() == ["Training", "Test"]
    assert table["label"].tolist() == ["Glioma", "Glioma"]


def test_the_page_does_not_promise_more_than_is_known_of_patients(data_page, bucket):
    keep(bucket)
    write_finding(bucket, VERSION.version, "splits", [{"part": "test", "label": "glioma", "images": 2}])
    assert "without a known patient" in said(data_page())


def test_a_missing_report_is_a_sentence(data_page, bucket):
    keep(bucket)
    write_finding(bucket, VERSION.version, "leakage", [{"label": "all", "leaked_share": 0.75}])
    app = data_page()
    app.toggle[0].set_value(True).run()
    assert not app.exception
    assert len(app.error) == 1


def test_a_report_can_run_nothing():
    framed = _framed(b'<script>alert("x")</script>')
    assert 'sandbox=""' in framed
    assert "<script" not in framed
