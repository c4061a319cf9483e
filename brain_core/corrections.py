"""Corrections that readers made, as the retraining loop sees them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from brain_core.database import translated_errors
from brain_core.tables import FeedbackRow, PredictionRow, RetrainingFeedbackRow, RetrainingRow


@dataclass(frozen=True)
class Correction:
    """One image whose class a reader corrected.

    Attributes:
        prediction_id: the upload.
        revision: of the feedback; rises when the reader changes it.
        image_key: where the image lies in the inference bucket.
        image_sha256: of the bytes that were uploaded (the stored image may be re-encoded).
        label: the corrected class.
        created_at: when this revision was given, UTC.
    """

    prediction_id: UUID
    revision: int
    image_key: str
    image_sha256: str
    label: str
    created_at: datetime


class CorrectionStore:
    """Reads corrections and claims them for a retraining; raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def accepted(self) -> list[Correction]:
        """All accepted corrections of uploads that were not erased, oldest first."""
        columns: tuple[InstrumentedAttribute[Any], ...] = (
            FeedbackRow.prediction_id,
            FeedbackRow.revision,
            PredictionRow.image_key,
            PredictionRow.image_sha256,
            FeedbackRow.corrected_class,
            FeedbackRow.created_at,
        )
        query = select(*columns).join(PredictionRow, PredictionRow.id == FeedbackRow.prediction_id)
        query = query.where(_is_accepted()).order_by(FeedbackRow.created_at, FeedbackRow.prediction_id)
        with translated_errors(), self._sessions() as session:
            return [Correction(*row) for row in session.execute(query)]

    def unclaimed_image_count(self) -> int:
        """Distinct images among the accepted corrections that no retraining has claimed at their revision."""
        claim = select(RetrainingFeedbackRow.prediction_id).where(
            RetrainingFeedbackRow.prediction_id == FeedbackRow.prediction_id,
            RetrainingFeedbackRow.revision == FeedbackRow.revision,
        )
        query = select(func.count(PredictionRow.image_sha256.distinct())).select_from(FeedbackRow)
        query = query.join(PredictionRow, PredictionRow.id == FeedbackRow.prediction_id)
        with translated_errors(), self._sessions() as session:
            return session.scalars(query.where(_is_accepted(), ~claim.exists())).one()

    def claim(self, run_id: str, model_version: str, is_promoted: bool, corrections: Iterable[Correction]) -> None:
        """Record a retraining and the corrections that it used, in one transaction; once only for each run.

        Corrections that were erased meanwhile are left out; those that an earlier retraining claimed stay its own.
        """
        retraining = insert(RetrainingRow).values(run_id=run_id, model_version=model_version, is_promoted=is_promoted)
        retraining_id = retraining.on_conflict_do_nothing(index_elements=["run_id"]).returning(RetrainingRow.id)
        used = [(correction.prediction_id, correction.revision) for correction in corrections]
        with translated_errors(), self._sessions.begin() as session:
            claimed_by = session.scalars(retraining_id).one_or_none()
            if claimed_by is not None and used:
                _claim(session, claimed_by, model_version, used)


def _is_accepted() -> ColumnElement[bool]:
    return and_(
        FeedbackRow.review_state == "accepted",
        FeedbackRow.corrected_class.is_not(None),
        PredictionRow.deleted_at.is_(None),
    )


def _claim(session: Session, retraining_id: UUID, model_version: str, used: list[tuple[UUID, int]]) -> None:
    # The lock keeps a concurrent erasure from removing a row between this look and the insert.
    there = select(FeedbackRow.prediction_id).where(FeedbackRow.prediction_id.in_([key for key, _ in used]))
    existing = set(session.scalars(there.with_for_update(key_share=True)))
    claims: list[dict[str, Any]] = [
        {"prediction_id": key, "revision": revision, "retraining_id": retraining_id}
        for key, revision in used
        if key in existing
    ]
    if claims:
        session.execute(insert(RetrainingFeedbackRow).on_conflict_do_nothing(), claims)
    mark = update(FeedbackRow).where(tuple_(FeedbackRow.prediction_id, FeedbackRow.revision).in_(used))
    session.execute(mark.values(used_by_model_version=model_version), execution_options={"synchronize_session": False})
