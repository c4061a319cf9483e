"""The figures of the pages, from a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import InternalError
from sqlalchemy.orm import Session

from brain_core.database import open_engine
from brain_core.errors import DatabaseError
from brain_core.labels import CLASSES
from brain_core.tables import Base, DriftRunRow, FeedbackRow, PredictionRow
from dashboard import queries

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url, read_only=True)
    yield engine
    engine.dispose()


def add(database_url: str, *rows: Base) -> None:
    writer = open_engine(database_url)
    with Session(writer, expire_on_commit=False) as session, session.begin():
        for row in rows:
            session.add(row)
            session.flush()
    writer.dispose()


def prediction(**values: Any) -> PredictionRow:
    """An accepted, confident glioma that took 20 ms, except for `values`."""
    row = {
        "id": uuid4(),
        "created_at": NOW,
        "access_token_sha256": b"",
        "width": 1,
        "height": 1,
        "consent_version": "1",
        "consent_at": NOW,
        "is_valid": True,
        "histogram_correlation": 0.93,
        "gate_score": 0.9,
        "predicted_class": "glioma",
        "confidence": 0.8,
        "is_uncertain": False,
        "model_version": "1",
        "timings_ms": {"decode": 5.0, "predict": 15.0},
    }
    return PredictionRow(**{**row, **values})


def refused(**values: Any) -> PredictionRow:
    nothing = {"predicted_class": None, "confidence": None, "is_uncertain": None}
    return prediction(is_valid=False, **{**nothing, "histogram_correlation": 0.12, **values})


def erased(**values: Any) -> PredictionRow:
    return prediction(deleted_at=NOW, predicted_class=None, confidence=None, timings_ms={}, **values)


def test_totals_count_each_upload_once_whatever_became_of_it(database_url: str, engine: Engine) -> None:
    right, wrong = prediction(), prediction(is_uncertain=True)
    add(database_url, right, wrong, prediction(), refused(), erased(), erased())
    add(
        database_url,
        FeedbackRow(prediction_id=right.id, agrees=True),
        FeedbackRow(prediction_id=wrong.id, agrees=False, corrected_class="notumor"),
    )

    found = queries.totals(engine).to_dict()

    counts = {"answered": 3, "refused": 1, "erased": 2, "uncertain": 1, "agreed": 1, "disagreed": 1}
    assert found == {**counts, "p50_ms": 20.0, "p95_ms": 20.0}


def test_totals_have_no_latency_without_predictions(engine: Engine) -> None:
    found = queries.totals(engine)

    assert found["answered"] == 0
    assert found["p50_ms"] is None


def test_totals_leave_out_what_is_older_than_the_period(database_url: str, engine: Engine) -> None:
    add(database_url, prediction(), prediction(created_at=NOW - timedelta(days=2)))

    assert queries.totals(engine, NOW - timedelta(days=1))["answered"] == 1


def test_class_figures_have_every_class_in_order_and_leave_out_erased_rows(database_url: str, engine: Engine) -> None:
    judged = prediction(confidence=0.6, timings_ms={"decode": 40.0})
    add(database_url, judged, prediction(), erased(is_uncertain=False), prediction(predicted_class="pituitary"))
    add(database_url, FeedbackRow(prediction_id=judged.id, agrees=False, corrected_class="notumor"))

    frame = queries.by_class(engine)

    assert list(frame.index) == list(CLASSES)
    assert list(frame["count"]) == [2, 0, 0, 1]
    glioma = frame.loc["glioma"]
    assert glioma["mean_probability"] == pytest.approx(0.7)
    assert (glioma["agreed"], glioma["disagreed"]) == (0, 1)
    assert (glioma["p50_ms"], glioma["p95_ms"]) == (pytest.approx(30.0), pytest.approx(39.0))
    assert pd.isna(frame.loc["notumor", "mean_probability"])


def test_uploads_over_time_are_counted_by_step_and_outcome(database_url: str, engine: Engine) -> None:
    add(database_url, prediction(), prediction(created_at=NOW - timedelta(minutes=20)), refused(), erased())

    frame = queries.over_time(engine, step="hour")

    assert set(frame.itertuples(index=False, name=None)) == {
        (pd.Timestamp("2026-11-20T12:00Z"), "glioma", 2),
        (pd.Timestamp("2026-11-20T12:00Z"), "refused", 1),
    }


@pytest.mark.parametrize(("correlation", "low"), [(1.0, 0.95), (0.951, 0.95), (0.0, 0.0), (-0.01, -0.05), (-1.0, -1.0)])
def test_correlation_falls_into_its_bin(database_url: str, engine: Engine, correlation: float, low: float) -> None:
    add(database_url, prediction(histogram_correlation=correlation), erased())

    frame = queries.correlations(engine)

    assert list(frame["low"]) == [pytest.approx(low)]
    assert list(frame["high"]) == [pytest.approx(low + 0.05)]
    assert list(frame["count"]) == [1]


def test_correlations_of_refused_uploads_stand_apart(database_url: str, engine: Engine) -> None:
    add(database_url, prediction(), refused(histogram_correlation=0.93))

    assert list(queries.correlations(engine).sort_values("is_valid")["is_valid"]) == [False, True]


def drift_run(**values: Any) -> DriftRunRow:
    columns = {"columns": [{"column": "brightness", "p_value": 0.5}]}
    run = {"model_version": "1", "row_count": 60, "is_assessed": True, "is_drifted": False, "summary": columns}
    return DriftRunRow(**{**run, "created_at": NOW, **values})


def test_drift_runs_come_newest_first_with_their_finding(database_url: str, engine: Engine) -> None:
    later, latest = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    add(database_url, drift_run(), drift_run(created_at=later, is_drifted=True))
    add(database_url, drift_run(created_at=latest, is_assessed=False, is_drifted=None))

    frame = queries.drift_runs(engine)

    assert list(frame["finding"]) == ["not assessed", "drift", "no drift"]
    assert "summary" not in frame


def test_drift_summary_is_the_one_of_the_run(database_url: str, engine: Engine) -> None:
    run = drift_run()
    run_id = run.id = uuid4()
    add(database_url, run, drift_run(summary={}))

    assert queries.drift_summary(engine, run_id) == {"columns": [{"column": "brightness", "p_value": 0.5}]}
    assert queries.drift_summary(engine, uuid4()) == {}


def test_the_pages_connection_cannot_write(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(InternalError, match="read-only"):
        connection.execute(text("DELETE FROM feedback"))


def test_missing_tables_are_a_database_error_that_says_what_to_do(postgres_url: str) -> None:
    engine = open_engine(postgres_url.replace("postgresql://", "postgresql+psycopg2://"))
    with pytest.raises(DatabaseError, match="brain up"):
        queries.totals(engine)
    engine.dispose()


def test_away_postgresql_is_a_database_error() -> None:
    engine = open_engine("postgresql+psycopg2://nobody@127.0.0.1:9/brain", read_only=True)
    with pytest.raises(DatabaseError, match="away"):
        queries.drift_runs(engine)
