"""Corrections that readers made, as the retraining loop sees them.

What counts towards the next retraining is what is accepted and claimed by none: there is no cursor by time or number,
so that a late review, transactions that commit out of order, or a clock that is moved back lose nothing.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, Select, and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, sessionmaker

from brain_core.database import translated_errors
from brain_core.tables import FeedbackRow, ImageOutboxRow, PredictionRow, RetrainingFeedbackRow, RetrainingRow


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
        pixel_sha256: `imaging.pixel_sha256` of the upload; None for uploads of an earlier version.
        reviewer: who accepted it; None when nobody had to.
    """

    prediction_id: UUID
    revision: int
    image_key: str
    image_sha256: str
    label: str
    created_at: datetime
    pixel_sha256: str | None = None
    reviewer: str | None = None


@dataclass(frozen=True)
class Agreement:
    """How many readers said of other uploads of a corrected image that the prediction was right.

    Attributes:
        image: hash of the image, see `Waiting`.
        label: the class that was predicted.
        readers: how many.
    """

    image: str
    label: str
    readers: int


@dataclass(frozen=True)
class Waiting:
    """What no retraining has claimed.

    Attributes:
        images: distinct images (by their pixels; by their bytes where an earlier version kept no more). An image that
            was claimed with the same class before does not count again.
        key: names these very corrections at their revisions; another correction gives another key.
    """

    images: int
    key: str


@dataclass(frozen=True)
class Retraining:
    """A retraining and what was decided about its model.

    Attributes:
        run_id: of the Dagster run.
        model_version: the new model.
        is_promoted: whether it replaces the champion.
        champion_before: what it was compared with; None where there was no champion.
    """

    run_id: str
    model_version: str
    is_promoted: bool
    champion_before: str | None = None


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
            PredictionRow.pixel_sha256,
            FeedbackRow.reviewer,
        )
        query = select(*columns).join(PredictionRow, PredictionRow.id == FeedbackRow.prediction_id)
        query = query.where(_is_accepted()).order_by(FeedbackRow.created_at, FeedbackRow.prediction_id)
        with translated_errors(), self._sessions() as session:
            return [Correction(*row) for row in session.execute(query)]

    def agreements(self) -> list[Agreement]:
        """Accepted feedback that agreed, on images of which another upload was corrected."""
        columns: tuple[Any, ...] = (_image(PredictionRow), PredictionRow.predicted_class, func.count())
        query = select(*columns).select_from(FeedbackRow)
        query = query.join(PredictionRow, PredictionRow.id == FeedbackRow.prediction_id)
        corrected = select(_image(PredictionRow)).join(FeedbackRow, PredictionRow.id == FeedbackRow.prediction_id)
        query = query.where(
            FeedbackRow.agrees,
            FeedbackRow.review_state == "accepted",
            PredictionRow.deleted_at.is_(None),
            _image(PredictionRow).in_(corrected.where(_is_accepted())),
        ).group_by(_image(PredictionRow), PredictionRow.predicted_class)
        with translated_errors(), self._sessions() as session:
            return [Agreement(*row) for row in session.execute(query)]

    def waiting(self) -> Waiting:
        """The accepted corrections that no retraining has claimed at their revision."""
        with translated_errors(), self._sessions() as session:
            rows = session.execute(_unclaimed()).all()
        names = sorted(f"{row.prediction_id}:{row.revision}" for row in rows)
        key = hashlib.sha256(" ".join(names).encode()).hexdigest()[:16]
        return Waiting(len({row.image for row in rows}), key)

    def unclaimed_image_count(self) -> int:
        """See `Waiting.images`."""
        return self.waiting().images

    def claim(self, retraining: Retraining, corrections: Iterable[Correction]) -> None:
        """Commit a retraining: the decision and the corrections that it used, in one transaction.

        Repeated for the same run, the decision is replaced as long as it was not carried out (`settle`), and nothing
        is claimed twice. Corrections that were erased meanwhile are left out; those that an earlier retraining claimed
        stay its own.
        """
        decided = {name: value for name, value in vars(retraining).items() if name != "run_id"}
        row = insert(RetrainingRow).values(run_id=retraining.run_id, is_settled=False, **decided)
        row = row.on_conflict_do_update(
            index_elements=["run_id"], set_=decided, where=RetrainingRow.is_settled.is_(False)
        )
        used = [(correction.prediction_id, correction.revision) for correction in corrections]
        with translated_errors(), self._sessions.begin() as session:
            claimed_by = session.scalars(row.returning(RetrainingRow.id)).one_or_none()
            if claimed_by is not None and used:
                _claim(session, claimed_by, retraining.model_version, used)

    def settle(self, run_id: str, is_promoted: bool) -> None:
        """A retraining's decision was carried out; nothing happens where the run claimed nothing."""
        change = update(RetrainingRow).where(RetrainingRow.run_id == run_id)
        with translated_errors(), self._sessions.begin() as session:
            session.execute(change.values(is_settled=True, is_promoted=is_promoted))

    def unsettled(self) -> list[Retraining]:
        """Retrainings that were committed and whose decision may not have been carried out, oldest first."""
        columns = (getattr(RetrainingRow, name) for name in Retraining.__dataclass_fields__)
        query = select(*columns).where(RetrainingRow.is_settled.is_(False)).order_by(RetrainingRow.id)
        with translated_errors(), self._sessions() as session:
            return [Retraining(*row) for row in session.execute(query)]


def _image(row: Any) -> ColumnElement[str]:
    """The hash that tells one image from another."""
    return func.coalesce(row.pixel_sha256, row.image_sha256)


def _is_accepted() -> ColumnElement[bool]:
    # An image that the bucket could not take yet counts as soon as it is there.
    is_on_its_way = select(ImageOutboxRow.prediction_id).where(ImageOutboxRow.prediction_id == PredictionRow.id)
    return and_(
        FeedbackRow.review_state == "accepted",
        FeedbackRow.corrected_class.is_not(None),
        PredictionRow.deleted_at.is_(None),
        ~is_on_its_way.correlate(PredictionRow).exists(),
    )


def _unclaimed() -> Select[Any]:
    """Prediction, revision and image of each correction that counts towards the next retraining."""
    claim = select(RetrainingFeedbackRow.prediction_id).where(
        RetrainingFeedbackRow.prediction_id == FeedbackRow.prediction_id,
        RetrainingFeedbackRow.revision == FeedbackRow.revision,
    )
    other, upload = aliased(FeedbackRow), aliased(PredictionRow)
    same_again = select(other.prediction_id).join(upload, upload.id == other.prediction_id)
    same_again = same_again.join(
        RetrainingFeedbackRow,
        and_(
            RetrainingFeedbackRow.prediction_id == other.prediction_id,
            RetrainingFeedbackRow.revision == other.revision,
        ),
    ).where(_image(upload) == _image(PredictionRow), other.corrected_class == FeedbackRow.corrected_class)
    columns: tuple[Any, ...] = (FeedbackRow.prediction_id, FeedbackRow.revision, _image(PredictionRow).label("image"))
    query = select(*columns).join(PredictionRow, PredictionRow.id == FeedbackRow.prediction_id)
    is_claimed = claim.correlate(FeedbackRow).exists()
    was_claimed = same_again.correlate(FeedbackRow, PredictionRow).exists()
    return query.where(_is_accepted(), ~is_claimed, ~was_claimed)


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
