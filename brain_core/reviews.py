"""The review of feedback: a queue that can be paged and filtered, decisions, and what similar images say."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Engine, Row, Select, case, func, select, tuple_
from sqlalchemy.orm import Session, sessionmaker

from brain_core.database import translated_errors
from brain_core.errors import FeedbackChanged, FeedbackNotFound, PageUnknown
from brain_core.tables import FeedbackRow, PredictionRow

NEIGHBOURS = 10
"""So many of the most similar images are asked for their class."""

MAX_COMPARED = 2000
"""The newest predictions of a model version among which similar ones are looked for."""

_ARRAY_HEADER_BYTES = 20
_ELEMENT = np.dtype([("size", ">i4"), ("value", ">f4")])


@dataclass(frozen=True)
class QueueFilter:
    """What is shown of the queue; None does not filter."""

    review_state: str | None = None
    agrees: bool | None = None
    corrected_class: str | None = None
    predicted_class: str | None = None
    model_version: str | None = None
    is_used: bool | None = None


@dataclass(frozen=True)
class Similar:
    """What the most similar images, by the same model version's embeddings, are taken for.

    Attributes:
        compared: how many there were.
        agreeing: how many of them have the class that the feedback says (an accepted correction counts before the
            prediction).
    """

    compared: int
    agreeing: int


@dataclass(frozen=True)
class QueuedFeedback:
    """One reader's verdict with what it is about and what became of it."""

    prediction_id: UUID
    revision: int
    created_at: datetime
    agrees: bool
    corrected_class: str | None
    predicted_class: str
    confidence: float
    is_uncertain: bool
    model_version: str
    review_state: str
    reviewer: str | None
    reviewed_at: datetime | None
    review_comment: str | None
    used_by_model_version: str | None
    similar: Similar


class QueuePage(NamedTuple):
    """A part of the queue, how many there are in all, and what to ask the next part with (None: there is none)."""

    items: list[QueuedFeedback]
    total: int
    next_page: str | None


@dataclass(frozen=True)
class Decision:
    """What a reviewer decided about one revision of a reader's verdict."""

    revision: int
    review_state: str
    reviewer: str
    comment: str | None = None


_COLUMNS: tuple[Any, ...] = tuple(
    getattr(FeedbackRow if hasattr(FeedbackRow, name) else PredictionRow, name)
    for name in QueuedFeedback.__dataclass_fields__
    if name != "similar"
)
_IS_ERASED = PredictionRow.deleted_at.is_not(None)
_ORDER = (FeedbackRow.created_at, FeedbackRow.prediction_id)


class ReviewStore:
    """Reads and decides; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def page(self, shown: QueueFilter, limit: int, page: str | None = None) -> QueuePage:
        """A part of the queue, newest feedback first.

        Args:
            shown: which feedback.
            limit: most items.
            page: `next_page` of the part before; None: from the beginning.

        Raises:
            PageUnknown: `page` is no such text.
        """
        query = _queue(_COLUMNS, shown)
        after = query if page is None else query.where(tuple_(*_ORDER) < tuple_(*_position(page)))
        ordered = after.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)
        with translated_errors(), self._sessions() as session:
            rows = session.execute(ordered).all()
            total = session.scalars(_queue((func.count(),), shown)).one()
            items = [_queued(session, row) for row in rows[:limit]]
        return QueuePage(items, total, _page_after(items[-1]) if len(rows) > limit else None)

    def decide(self, prediction_id: UUID, decision: Decision) -> QueuedFeedback:
        """Accept or reject a reader's verdict.

        Raises:
            FeedbackNotFound: there is none, or it was erased.
            FeedbackChanged: the reader has changed it; another revision is there now.
        """
        with translated_errors(), self._sessions.begin() as session:
            row = session.get(FeedbackRow, prediction_id, with_for_update=True)
            if row is None:
                raise FeedbackNotFound(f"There is no feedback on the prediction {prediction_id}.")
            if row.revision != decision.revision:
                raise FeedbackChanged(
                    f"The reader has changed this feedback: it has revision {row.revision} now, not "
                    f"{decision.revision}. Look at it again."
                )
            row.review_state, row.reviewer = decision.review_state, decision.reviewer
            row.review_comment, row.reviewed_at = decision.comment, datetime.now(UTC)
            session.flush()
            query = _queue(_COLUMNS, QueueFilter()).where(FeedbackRow.prediction_id == prediction_id)
            return _queued(session, session.execute(query).one())


def _queue(columns: Sequence[Any], shown: QueueFilter) -> Select[Any]:
    query = select(*columns).select_from(FeedbackRow).join(PredictionRow).where(~_IS_ERASED)
    for name, value in vars(shown).items():
        if name == "is_used" and value is not None:
            query = query.where(FeedbackRow.used_by_model_version.is_not(None) == value)
        elif value is not None:
            query = query.where(getattr(FeedbackRow if hasattr(FeedbackRow, name) else PredictionRow, name) == value)
    return query


def _queued(session: Session, row: Row[Any]) -> QueuedFeedback:
    return QueuedFeedback(**row._mapping, similar=_similar(session, row.prediction_id))


def _page_after(item: QueuedFeedback) -> str:
    position = json.dumps([item.created_at.isoformat(), str(item.prediction_id)])
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _position(page: str) -> tuple[datetime, UUID]:
    try:
        padded = page + "=" * (-len(page) % 4)
        created_at, prediction_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return datetime.fromisoformat(created_at), UUID(prediction_id)
    except (binascii.Error, ValueError, TypeError, AttributeError) as exc:
        raise PageUnknown("This is no page of the queue. Send `next_page` of the answer before, as it was.") from exc


def _similar(session: Session, prediction_id: UUID) -> Similar:
    asked = session.execute(
        select(PredictionRow.model_version, PredictionRow.image_sha256, _label(), _bytes())
        .outerjoin(FeedbackRow, FeedbackRow.prediction_id == PredictionRow.id)
        .where(PredictionRow.id == prediction_id)
    ).one()
    others = (
        select(_accepted_label(), _bytes())
        .outerjoin(FeedbackRow)
        .where(
            PredictionRow.model_version == asked.model_version,
            PredictionRow.embedding.is_not(None),
            # The same picture sent again is no second opinion.
            PredictionRow.image_sha256 != asked.image_sha256,
        )
    )
    rows = session.execute(others.order_by(PredictionRow.id.desc()).limit(MAX_COMPARED)).all()
    if not rows:
        return Similar(0, 0)
    nearest = _nearest(_floats(asked.embedding), np.stack([_floats(row.embedding) for row in rows]))
    return Similar(len(nearest), sum(rows[place].label == asked.label for place in nearest))


def _nearest(asked: NDArray[np.float32], others: NDArray[np.float32]) -> list[int]:
    """Places of the rows of float32 (N, E) that point most nearly where float32 (E,) does."""
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(asked)
    likeness = others @ asked / np.where(lengths > 0, lengths, 1)
    return [int(place) for place in np.argsort(-likeness, kind="stable")[:NEIGHBOURS]]


def _label() -> ColumnElement[str]:
    """What the reader says that the image shows."""
    return func.coalesce(FeedbackRow.corrected_class, PredictionRow.predicted_class).label("label")


def _accepted_label() -> ColumnElement[str]:
    accepted = case((FeedbackRow.review_state == "accepted", FeedbackRow.corrected_class))
    return func.coalesce(accepted, PredictionRow.predicted_class).label("label")


def _bytes() -> ColumnElement[bytes]:
    # As PostgreSQL sends arrays in binary: thousands of them as Python lists would take seconds.
    return func.array_send(PredictionRow.embedding).label("embedding")


def _floats(sent: Any) -> NDArray[np.float32]:
    return np.frombuffer(sent, _ELEMENT, offset=_ARRAY_HEADER_BYTES)["value"].astype(np.float32)
