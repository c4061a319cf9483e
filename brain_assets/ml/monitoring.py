"""Recent predictions and drift runs in the database."""

from datetime import datetime

import pandas as pd
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from brain_assets.ml.drift import DriftAssessment
from brain_core.database import translated_errors
from brain_core.descriptors import DESCRIPTOR_NAMES
from brain_core.tables import DriftRunRow, PredictionRow


def recent_predictions(engine: Engine, since: datetime) -> pd.DataFrame:
    """Accepted, unerased predictions since a time (UTC): id, descriptors, predicted_class, confidence, embedding.

    Raises:
        DatabaseError: PostgreSQL is away.
    """
    columns = ("id", "created_at", "predicted_class", "confidence", "embedding", "descriptors", "model_version")
    query = (
        select(*(getattr(PredictionRow, name) for name in columns))
        .where(PredictionRow.is_valid, PredictionRow.deleted_at.is_(None), PredictionRow.created_at >= since)
        .order_by(PredictionRow.created_at)
    )
    with translated_errors(), engine.connect() as connection:
        rows = pd.DataFrame(connection.execute(query).all(), columns=list(columns))
    descriptors = pd.DataFrame(rows.pop("descriptors").tolist(), columns=list(DESCRIPTOR_NAMES), index=rows.index)
    rows["id"] = rows["id"].astype(str)
    return pd.concat([rows, descriptors], axis=1)


def save_drift_run(engine: Engine, model_version: str, assessment: DriftAssessment, report_key: str | None) -> None:
    """Keep what a drift report found.

    Raises:
        DatabaseError: PostgreSQL is away.
    """
    row = DriftRunRow(
        model_version=model_version,
        row_count=assessment.row_count,
        is_assessed=assessment.is_assessed,
        is_drifted=assessment.is_drifted,
        drifted_share=assessment.drifted_share,
        summary=assessment.summary,
        report_key=report_key,
    )
    with translated_errors(), Session(engine) as session, session.begin():
        session.add(row)


def newest_drift_run(engine: Engine) -> DriftRunRow:
    """The drift run that was saved last.

    Raises:
        DatabaseError: PostgreSQL is away.
    """
    newest = select(DriftRunRow).order_by(DriftRunRow.created_at.desc()).limit(1)
    with translated_errors(), Session(engine, expire_on_commit=False) as session:
        return session.scalars(newest).one()
