"""The pages against the real API, PostgreSQL and bucket."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from brain_core.settings import Settings
from brain_core.storage import LocalBucket
from brain_core.tables import DriftRunRow, FeedbackRow, PredictionRow
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_dashboard import alerts, open_page, said
from tests.fixtures_serving import running_api

__all__ = ["open_page"]

REPORT = "reports/drift/20261120.html"


@pytest.fixture
def database(database_url: str):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def rows(engine: Engine, table: Any) -> list[Any]:
    with Session(engine) as session:
        return list(session.query(table))


def press(app, label: str):
    return next(button for button in app.button if button.label == label).click().run()


def upload(app, data: bytes):
    app.checkbox[0].check().run()
    return app.file_uploader[0].set_value([("slice.jpg", data, "image/jpeg")]).run()


def test_reader_predicts_corrects_and_erases(open_page, api_url, database, images):
    app = upload(open_page("predict", BRAIN_DASHBOARD__API_URL=api_url), slice_jpeg("glioma"))
    assert not app.exception
    assert "Glioma" in [str(heading.value) for heading in app.subheader]
    assert len(app.image) == 2

    press(app, "No, it is wrong")
    press(app, "Pituitary tumour")
    assert any("Your correction to **Pituitary tumour**" in text for text in alerts(app))
    (feedback,) = rows(database, FeedbackRow)
    assert feedback.corrected_class == "pituitary"
    (prediction,) = rows(database, PredictionRow)
    assert images.exists(prediction.image_key)

    press(app, "Yes, erase it")
    assert any("Erased" in text for text in alerts(app))
    assert not images.exists(prediction.image_key)
    assert rows(database, PredictionRow)[0].deleted_at is not None


def test_photograph_is_refused_with_the_reason_of_the_gate(open_page, api_url, database):
    app = upload(open_page("predict", BRAIN_DASHBOARD__API_URL=api_url), photograph_jpeg())

    assert "This image was not read" in said(app)
    assert "The image is in colour; a brain MRI slice is grey." in alerts(app)
    assert [row.is_valid for row in rows(database, PredictionRow)] == [False]


def test_renamed_text_and_empty_file_are_told_and_not_kept(open_page, api_url, database):
    app = upload(open_page("predict", BRAIN_DASHBOARD__API_URL=api_url), b"Not an image at all.")
    assert any("neither JPEG nor PNG" in text for text in alerts(app))

    app.file_uploader[0].set_value(("empty.jpg", b"", "image/jpeg")).run()

    assert not app.exception
    assert any("empty" in text for text in alerts(app))
    assert rows(database, PredictionRow) == []


def test_platform_without_a_model_says_to_wait(open_page, serving_settings: Settings):
    with running_api(serving_settings) as url:
        app = upload(open_page("predict", BRAIN_DASHBOARD__API_URL=url), slice_jpeg())

    assert any("There is no model yet" in text for text in alerts(app))


def test_two_sessions_do_not_see_each_other(open_page, api_url):
    upload(open_page("predict", BRAIN_DASHBOARD__API_URL=api_url), slice_jpeg())

    other = open_page("predict", BRAIN_DASHBOARD__API_URL=api_url)

    assert len(other.image) == 0
    assert len(other.code) == 0


def test_monitoring_shows_what_was_asked_and_answered(open_page, api_url, database_url):
    asked = upload(open_page("predict", BRAIN_DASHBOARD__API_URL=api_url), slice_jpeg("glioma"))
    press(press(asked, "No, it is wrong"), "No tumour")
    asked.file_uploader[0].set_value(("photo.jpg", photograph_jpeg(), "image/jpeg")).run()

    app = open_page("monitoring", BRAIN_DATABASE__URL=database_url, BRAIN_FEEDBACK__THRESHOLD="3")

    assert not app.exception
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Inferences"] == "1"
    assert shown["Valid"] == "50%"
    assert shown["Agreement"] == "0%"
    assert shown["Latency"].endswith(" ms")
    (progress,) = app.get("progress")
    assert progress.text == "**1 of more than 3** corrected images wait for the next retraining"
    assert progress.value == 25
    latencies = app.dataframe[0].value.set_index("Class")
    assert latencies.loc["Glioma", "count"] == 1
    assert latencies.loc["Glioma", "p95_ms"] > 0
    assert len(app.get("vega_lite_chart")) == 6


@pytest.mark.parametrize("period", ["24 hours", "7 days", "30 days", "All"])
def test_monitoring_of_an_empty_database_has_every_panel(open_page, database_url, period):
    app = open_page("monitoring", BRAIN_DATABASE__URL=database_url)

    app.get("button_group")[0].set_value(period).run()

    assert not app.exception
    assert any("No predictions in this period" in text for text in alerts(app))
    assert len(app.get("vega_lite_chart")) == 6


def add_runs(engine: Engine, *runs: dict[str, Any]) -> None:
    with Session(engine) as session, session.begin():
        for age_h, run in enumerate(runs):
            values = {"model_version": "3", "row_count": 80, "is_assessed": True, "is_drifted": False, "summary": {}}
            created_at = datetime(2026, 11, 20, tzinfo=UTC) - timedelta(hours=age_h)
            session.add(DriftRunRow(**{"id": uuid4(), "created_at": created_at, **values, **run}))


def drifted(report_key: str | None = REPORT) -> dict[str, Any]:
    column = {"column": "brightness", "test": "KS", "p_value": 0.001, "adjusted_p_value": 0.01, "is_drifted": True}
    summary = {"alpha": 0.05, "reference_rows": 500, "recent_rows": 80, "columns": [column]}
    return {"is_drifted": True, "drifted_share": 1.0, "summary": summary, "report_key": report_key}


@pytest.fixture
def drift_page(open_page, database_url, bucket: LocalBucket):
    def run():
        return open_page("drift", BRAIN_DATABASE__URL=database_url, BRAIN_BUCKET__URI=str(bucket.root))

    return run


def test_drift_without_runs_says_how_to_have_one(drift_page):
    app = drift_page()

    assert any("There is no drift report yet" in text for text in alerts(app))


def test_drift_shows_the_newest_run_column_by_column(drift_page, database):
    add_runs(database, drifted(), {})

    app = drift_page()

    assert {metric.label: metric.value for metric in app.metric} == {
        "Finding": "Drift",
        "Uploads compared": "80",
        "Drifted columns": "100%",
        "Model version": "3",
    }
    columns, runs = (table.value for table in app.dataframe)
    assert list(columns["column"]) == ["brightness"]
    assert list(runs["finding"]) == ["drift", "no drift"]
    assert "80 uploads against 500 test images" in said(app)


def test_drift_run_of_before_can_be_chosen(drift_page, database):
    add_runs(database, drifted(), {"is_assessed": False, "is_drifted": None, "row_count": 4})
    app = drift_page()

    app.selectbox[0].select_index(1).run()

    assert next(metric.value for metric in app.metric if metric.label == "Finding") == "Not assessed"
    assert any("too few recent uploads" in text for text in alerts(app))
    assert "This run made no report." in said(app)


def test_drift_report_is_fetched_only_when_it_is_wanted(drift_page, database, bucket: LocalBucket):
    add_runs(database, drifted())
    bucket.write(REPORT, b"<h1>Report</h1>")
    app = drift_page()
    assert len(app.get("iframe")) == 0

    app.toggle[0].set_value(True).run()

    (frame,) = app.get("iframe")
    assert "&lt;h1&gt;Report&lt;/h1&gt;" in frame.proto.srcdoc


def test_drift_report_that_is_gone_is_told_and_the_page_goes_on(drift_page, database, bucket: LocalBucket):
    add_runs(database, drifted())
    app = drift_page()

    app.toggle[0].set_value(True).run()

    assert not app.exception
    assert any(REPORT in text for text in alerts(app))
    assert len(app.dataframe) == 2
