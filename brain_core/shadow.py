"""What the challenger says about the uploads that the champion answers: kept beside, shown to nobody but its owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import sessionmaker

from brain_core.database import translated_errors
from brain_core.tables import FeedbackRow, ImageOutboxRow, PredictionRow, ShadowAnswerRow

LOOK_BACK = 500
"""So many of the newest predictions are looked at: live traffic, not all that ever was."""


@dataclass(frozen=True)
class ShadowAnswer:
    """What the challenger said about one upload; `probabilities` by class, sums to 1."""

    prediction_id: UUID
    predicted_class: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """How the challenger's answers stand to the champion's.

    Attributes:
        version: of the challenger.
        images: uploads that both answered.
        same_class: of these, with the same class.
        corrected: of these, that a reader corrected.
        corrected_as_challenger: of the corrected ones, to the class that the challenger had named.
    """

    version: str
    images: int
    same_class: int
    corrected: int
    corrected_as_challenger: int

    @property
    def share(self) -> float | None:
        """Share of the same class; None without images."""
        return self.same_class / self.images if self.images else None


class ShadowStore:
    """Keeps the challenger's answers; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def unanswered(self, version: str, limit: int) -> list[tuple[UUID, str]]:
        """Id and image key of recent valid uploads that this version has not answered, the newest first."""
        newest = select(PredictionRow).where(PredictionRow.is_valid, PredictionRow.deleted_at.is_(None))
        recent = newest.order_by(PredictionRow.created_at.desc()).limit(LOOK_BACK).subquery()
        answered = select(ShadowAnswerRow.prediction_id).where(ShadowAnswerRow.model_version == version)
        on_its_way = select(ImageOutboxRow.prediction_id)
        query = select(recent.c.id, recent.c.image_key).order_by(recent.c.created_at.desc()).limit(limit)
        query = query.where(recent.c.id.not_in(answered), recent.c.id.not_in(on_its_way))
        with translated_errors(), self._sessions() as session:
            return [(row.id, row.image_key) for row in session.execute(query)]

    def keep(self, version: str, answers: Sequence[ShadowAnswer]) -> None:
        """Keep answers, each once; those about uploads that were erased meanwhile are dropped."""
        ids = [answer.prediction_id for answer in answers]
        # The lock keeps a concurrent erasure from emptying a row between this look and the insert.
        there = select(PredictionRow.id).where(PredictionRow.id.in_(ids), PredictionRow.deleted_at.is_(None))
        with translated_errors(), self._sessions.begin() as session:
            existing = set(session.scalars(there.with_for_update(read=True)))
            rows = [{"model_version": version, **vars(one)} for one in answers if one.prediction_id in existing]
            if rows:
                session.execute(insert(ShadowAnswerRow).on_conflict_do_nothing(), rows)

    def agreement(self, version: str) -> Agreement:
        """How a version's answers stand to those that were given."""
        is_corrected = FeedbackRow.corrected_class.is_not(None)
        is_as_challenger = FeedbackRow.corrected_class == ShadowAnswerRow.predicted_class
        is_same = ShadowAnswerRow.predicted_class == PredictionRow.predicted_class
        counts = (func.count(case((condition, 1))) for condition in (is_same, is_corrected, is_as_challenger))
        query = select(func.count(), *counts).select_from(ShadowAnswerRow)
        query = query.join(PredictionRow, PredictionRow.id == ShadowAnswerRow.prediction_id)
        query = query.outerjoin(FeedbackRow, FeedbackRow.prediction_id == ShadowAnswerRow.prediction_id)
        with translated_errors(), self._sessions() as session:
            found = session.execute(query.where(ShadowAnswerRow.model_version == version)).one()
        return Agreement(version, *(int(count) for count in found))
