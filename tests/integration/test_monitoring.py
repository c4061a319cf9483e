from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from brain_assets.ml.drift import DriftAssessment
from brain_assets.ml.monitoring import newest_drift_run, recent_predictions, save_drift_run
from brain_core.descriptors import DESCRIPTOR_NAMES
from brain_core.tables import PredictionRow

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def prediction(**changes) -> PredictionRow:
    values = {
        "created_at": NOW, "access_token_sha256": b"x", "width": 1, "height": 1, "consent_version": "1",
        "consent_at": NOW, "is_valid": True, "histogram_correlation": 1.0, "gate_score": 1.0, "model_version": "1",
        "predicted_class": "glioma", "confidence": 0.9, "embedding": [1.0, 2.0], "timings_ms": {},
        "descriptors": dict.fromkeys(DESCRIPTOR_NAMES, 0.5),
    }  # fmt: skip
    return PredictionRow(**(values | changes))


def test_only_recent_accepted_unerased_predictions_are_read(engine):
    with Session(engine) as session, session.begin():
        session.add_all(
            [
                prediction(),
                prediction(created_at=NOW - timedelta(days=9)),
                prediction(is_valid=False, predicted_class=None, descriptors=None),
                prediction(deleted_at=NOW, descriptors=None),
            ]
        )
    rows = recent_predictions(engine, since=NOW - timedelta(days=1))
    assert len(rows) == 1
    assert rows.loc[0, "brightness"] == 0.5
    assert list(rows.loc[0, "embedding"]) == [1.0, 2.0]


def test_no_predictions_are_an_empty_table_with_all_columns(engine):
    rows = recent_predictions(engine, since=NOW)
    assert len(rows) == 0
    assert {"confidence", "embedding", *DESCRIPTOR_NAMES} <= set(rows.columns)


def test_the_newest_drift_run_is_the_last_one_saved(engine):
    for count in (1, 2):
        save_drift_run(engine, "1", DriftAssessment(count, False, None, None, {"columns": []}, None), None)
    newest = newest_drift_run(engine)
    assert (newest.row_count, newest.is_assessed, newest.report_key) == (2, False, None)
