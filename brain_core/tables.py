"""The tables of the `brain` database (SQLAlchemy 2); `migrations/` makes and changes them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid6
from sqlalchemy import (
    ARRAY,
    REAL,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    TypeDecorator,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from brain_core.labels import CLASSES

_CLASS_LIST = ", ".join(f"'{name}'" for name in CLASSES)


class RealArray(TypeDecorator[list[float]]):
    """REAL[] that is sent as one text.

    The driver would send an expression for each number, which costs it and PostgreSQL more than the rest of a row.
    """

    impl = ARRAY(REAL)
    cache_ok = True

    def bind_processor(self, dialect: Any) -> Callable[[Sequence[float] | None], str | None]:
        """How a value is sent."""
        del dialect
        return _array_text


def _array_text(values: Sequence[float] | None) -> str | None:
    return None if values is None else f"{{{','.join(map(repr, values))}}}"


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        datetime: DateTime(timezone=True),
        # Else None would be stored as the JSON value `null`, which is not NULL.
        dict[str, Any]: JSONB(none_as_null=True),
        dict[str, float]: JSONB(none_as_null=True),
        list[float]: RealArray(),
    }


class PredictionRow(Base):
    """One upload that was decoded: predicted, or refused by the gate (`is_valid` is false)."""

    __tablename__ = "prediction"
    __table_args__ = (
        CheckConstraint(f"predicted_class IN ({_CLASS_LIST})", name="known_class"),
        Index("ix_prediction_created_at", "created_at"),
        Index("ix_prediction_image_sha256", "image_sha256"),
        Index("ix_prediction_pixel_sha256", "pixel_sha256"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid6.uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    access_token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    image_key: Mapped[str | None]
    image_sha256: Mapped[str | None]
    pixel_sha256: Mapped[str | None]
    width: Mapped[int]
    height: Mapped[int]
    consent_version: Mapped[str]
    consent_at: Mapped[datetime]
    is_valid: Mapped[bool]
    rejection_reason: Mapped[str | None]
    histogram_correlation: Mapped[float]
    gate_score: Mapped[float]
    predicted_class: Mapped[str | None]
    probabilities: Mapped[dict[str, float] | None]
    confidence: Mapped[float | None]
    is_uncertain: Mapped[bool | None]
    explanation: Mapped[dict[str, Any] | None]
    model_version: Mapped[str]
    descriptors: Mapped[dict[str, float] | None]
    embedding: Mapped[list[float] | None]
    activation_map: Mapped[bytes | None] = mapped_column(LargeBinary)
    timings_ms: Mapped[dict[str, float]]
    idempotency_sha256: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    token_salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    deleted_at: Mapped[datetime | None]


class ImageOutboxRow(Base):
    """The image of a prediction that the bucket could not take yet; it goes to the prediction's `image_key`."""

    __tablename__ = "image_outbox"
    __table_args__ = (Index("ix_image_outbox_next_attempt_at", "next_attempt_at"),)

    prediction_id: Mapped[UUID] = mapped_column(ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    data: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_error: Mapped[str | None]


class StrayImageRow(Base):
    """A key at which an image may lie that no prediction has any more, or not yet: written before it can come true."""

    __tablename__ = "stray_image"

    image_key: Mapped[str] = mapped_column(primary_key=True)
    prediction_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SweepMarkRow(Base):
    """Up to when a sweep has looked for what crashes left; its lock lets one process sweep at a time."""

    __tablename__ = "sweep_mark"

    name: Mapped[str] = mapped_column(primary_key=True)
    swept_until: Mapped[datetime]


class ErasureRow(Base):
    """An upload that was erased; `purged_at` says when the pipeline's own copies were gone too."""

    __tablename__ = "erasure"
    __table_args__ = (Index("ix_erasure_purged_at", "purged_at"),)

    prediction_id: Mapped[UUID] = mapped_column(ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    purged_at: Mapped[datetime | None]


class FeedbackRow(Base):
    """What a reader said about a prediction; a repeated answer replaces it and raises `revision`."""

    __tablename__ = "feedback"
    __table_args__ = (
        CheckConstraint(f"corrected_class IN ({_CLASS_LIST})", name="known_class"),
        CheckConstraint("review_state IN ('pending', 'accepted', 'rejected')", name="review_state"),
        CheckConstraint("agrees OR corrected_class IS NOT NULL", name="correction_has_class"),
        Index("ix_feedback_created_at", "created_at"),
    )

    prediction_id: Mapped[UUID] = mapped_column(ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    agrees: Mapped[bool]
    corrected_class: Mapped[str | None]
    review_state: Mapped[str] = mapped_column(default="accepted")
    reviewer: Mapped[str | None]
    reviewed_at: Mapped[datetime | None]
    review_comment: Mapped[str | None]
    used_by_model_version: Mapped[str | None]


class RetrainingRow(Base):
    """One retraining that was committed: what was decided, and whether that is published.

    `is_settled` is false from the decision until it is carried out; whoever finds such a row carries it out.
    """

    __tablename__ = "retraining"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid6.uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    run_id: Mapped[str] = mapped_column(unique=True)
    model_version: Mapped[str]
    is_promoted: Mapped[bool]
    champion_before: Mapped[str | None]
    is_settled: Mapped[bool] = mapped_column(default=True, server_default=true())


class RetrainingFeedbackRow(Base):
    """Which corrections a retraining has claimed, by feedback and revision."""

    __tablename__ = "retraining_feedback"

    prediction_id: Mapped[UUID] = mapped_column(
        ForeignKey("feedback.prediction_id", ondelete="CASCADE"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(primary_key=True)
    retraining_id: Mapped[UUID] = mapped_column(ForeignKey("retraining.id", ondelete="CASCADE"))


class PromotionRequestRow(Base):
    """Somebody asked for a version to be made the champion; the pipeline carries it out."""

    __tablename__ = "promotion_request"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'done', 'refused')", name="state"),
        Index(
            "uq_promotion_request_queued_version",
            "model_version",
            unique=True,
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_promotion_request_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid6.uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    model_version: Mapped[str]
    requested_by: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued", server_default="queued")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    message: Mapped[str | None]
    finished_at: Mapped[datetime | None]


class ShadowAnswerRow(Base):
    """What the challenger said about an upload that the champion answered."""

    __tablename__ = "shadow_answer"
    __table_args__ = (CheckConstraint(f"predicted_class IN ({_CLASS_LIST})", name="known_class"),)

    prediction_id: Mapped[UUID] = mapped_column(ForeignKey("prediction.id", ondelete="CASCADE"), primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    predicted_class: Mapped[str]
    probabilities: Mapped[dict[str, float]]


class DriftRunRow(Base):
    """One drift report."""

    __tablename__ = "drift_run"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid6.uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    model_version: Mapped[str]
    row_count: Mapped[int]
    is_assessed: Mapped[bool]
    is_drifted: Mapped[bool | None]
    drifted_share: Mapped[float | None]
    summary: Mapped[dict[str, Any]]
    report_key: Mapped[str | None]
