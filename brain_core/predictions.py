"""Predictions and what readers said about them, in PostgreSQL.

The image itself lies in the bucket. Where both change together, the store holds the row's lock while the caller's
function changes the bucket, so that two requests for one prediction cannot lose its image.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session, sessionmaker

from brain_core.contracts import FeedbackRequest
from brain_core.database import translated_errors
from brain_core.errors import NotABrainMri, PredictionNotFound, UnknownClass
from brain_core.gate import GateDecision
from brain_core.labels import CLASSES
from brain_core.storage import corrected_image_key, image_key
from brain_core.tables import FeedbackRow, PredictionRow


@dataclass(frozen=True)
class ImageFacts:
    """The stored image: its key in the bucket, SHA-256 of the uploaded bytes, size in pixels."""

    key: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Outcome:
    """What the model said about an accepted upload.

    Attributes:
        predicted_class: the most probable class.
        probabilities: class to probability; sums to 1.
        confidence: probability of the predicted class.
        is_uncertain: the confidence is below the model's own threshold.
        explanation: `peak` and `contours` as `brain_core.explain` gives them.
        embedding: the model's features of the image.
    """

    predicted_class: str
    probabilities: dict[str, float]
    confidence: float
    is_uncertain: bool
    explanation: dict[str, Any]
    embedding: list[float]


@dataclass(frozen=True)
class NewPrediction:
    """Everything to keep of one upload; `outcome` is None when the gate refused it.

    `timings_ms` has the milliseconds of each stage; of `access_token` only the hash is stored.
    """

    id: UUID
    access_token: str
    consent_version: str
    image: ImageFacts
    descriptors: dict[str, float]
    decision: GateDecision
    outcome: Outcome | None
    model_version: str
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class StoredPrediction:
    """One upload as it was kept; `outcome` is None when the gate refused it."""

    id: UUID
    created_at: datetime
    image_key: str
    decision: GateDecision
    outcome: Outcome | None
    model_version: str
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class StoredFeedback:
    """Feedback as it was kept; `stale_image_key` is where the image was before, if it moved."""

    prediction_id: UUID
    revision: int
    agrees: bool
    corrected_class: str | None
    review_state: str
    stale_image_key: str | None


class PredictionStore:
    """Keeps predictions; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def save(self, new: NewPrediction) -> StoredPrediction:
        """Keep a new prediction or refusal; committed when it returns."""
        with self._transaction() as session:
            row = _new_row(new)
            session.add(row)
            session.flush()
            return _stored(row)

    def get(self, prediction_id: UUID, access_token: str) -> StoredPrediction:
        """One prediction of the token's owner.

        Raises:
            PredictionNotFound: there is none, it was erased, or the token is not its own.
        """
        with self._transaction() as session:
            return _stored(_owned_row(session, prediction_id, access_token))

    def set_feedback(
        self,
        prediction_id: UUID,
        access_token: str,
        verdict: FeedbackRequest,
        copy_image: Callable[[str, str], None],
    ) -> StoredFeedback:
        """Keep a reader's verdict in place of an earlier one; the same verdict again changes nothing.

        A verdict that differs raises the revision. Where it changes the image's place, `copy_image(old key, new key)`
        is called before the commit; the caller then hands `stale_image_key` to `drop_stale_image`.

        Raises:
            PredictionNotFound: see `get`.
            NotABrainMri: the gate refused the upload, so there is no prediction to judge.
            UnknownClass: the correction names the class that was predicted.
        """
        with self._transaction() as session:
            row = _owned_row(session, prediction_id, access_token, is_locking=True)
            old_key, new_key = _image_key(row), _key_for(row, verdict)
            feedback = _replaced(session.get(FeedbackRow, prediction_id), prediction_id, verdict)
            session.add(feedback)
            row.image_key = new_key
            session.flush()
            if new_key != old_key:
                copy_image(old_key, new_key)
            return _stored_feedback(feedback, old_key if new_key != old_key else None)

    def drop_stale_image(self, prediction_id: UUID, key: str, delete_image: Callable[[str], None]) -> None:
        """Delete an image's former copy, unless feedback that came meanwhile moved the image back there."""
        with self._transaction() as session:
            row = session.get(PredictionRow, prediction_id, with_for_update=True)
            if row is None or row.image_key != key:
                delete_image(key)

    def erase(self, prediction_id: UUID, access_token: str, delete_image: Callable[[str], None]) -> None:
        """Forget an upload: image, embedding, descriptors, result and feedback; an empty row stays as a tombstone.

        `delete_image` is called before the commit for each key at which a copy may lie; when it fails, nothing is
        erased from the table and the call can be repeated.

        Raises:
            PredictionNotFound: see `get`.
        """
        with self._transaction() as session:
            row = _owned_row(session, prediction_id, access_token, is_locking=True)
            keys = _possible_image_keys(row)
            session.execute(delete(FeedbackRow).where(FeedbackRow.prediction_id == prediction_id))
            _empty(row)
            session.flush()
            for key in keys:
                delete_image(key)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with translated_errors(), self._sessions.begin() as session:
            yield session


def _token_hash(access_token: str) -> bytes:
    return hashlib.sha256(access_token.encode()).digest()


def _new_row(new: NewPrediction) -> PredictionRow:
    row = PredictionRow(
        id=new.id,
        access_token_sha256=_token_hash(new.access_token),
        image_key=new.image.key,
        image_sha256=new.image.sha256,
        width=new.image.width,
        height=new.image.height,
        consent_version=new.consent_version,
        consent_at=datetime.now(UTC),
        is_valid=new.decision.is_valid,
        rejection_reason=new.decision.reason,
        histogram_correlation=new.decision.histogram_correlation,
        gate_score=new.decision.score,
        model_version=new.model_version,
        descriptors=new.descriptors,
        timings_ms=new.timings_ms,
    )
    if new.outcome is not None:
        for name, value in vars(new.outcome).items():
            setattr(row, name, value)
    return row


def _owned_row(session: Session, prediction_id: UUID, access_token: str, is_locking: bool = False) -> PredictionRow:
    row = session.get(PredictionRow, prediction_id, with_for_update=is_locking or None)
    is_there = row is not None and row.deleted_at is None
    if row is None or not is_there or not hmac.compare_digest(row.access_token_sha256, _token_hash(access_token)):
        raise PredictionNotFound(
            f"There is no prediction {prediction_id}, it was erased, or the access token is not its own."
        )
    return row


def _image_key(row: PredictionRow) -> str:
    if row.image_key is None:
        raise PredictionNotFound(f"The prediction {row.id} has no image.")
    return row.image_key


def _stored(row: PredictionRow) -> StoredPrediction:
    return StoredPrediction(
        id=row.id,
        created_at=row.created_at,
        image_key=_image_key(row),
        decision=GateDecision(row.is_valid, row.histogram_correlation, row.gate_score, row.rejection_reason),
        outcome=_outcome(row) if row.is_valid else None,
        model_version=row.model_version,
        timings_ms=row.timings_ms,
    )


def _outcome(row: PredictionRow) -> Outcome:
    return Outcome(**{name: getattr(row, name) for name in Outcome.__dataclass_fields__})


def _key_for(row: PredictionRow, verdict: FeedbackRequest) -> str:
    if row.predicted_class is None:
        raise NotABrainMri("The upload was refused, so there is no prediction to judge.")
    if verdict.corrected_class is None:
        return image_key(row.predicted_class, row.id)
    if verdict.corrected_class == row.predicted_class:
        raise UnknownClass(f"{row.predicted_class!r} is what was predicted. Send another class, or agrees = true.")
    return corrected_image_key(verdict.corrected_class, row.id)


def _replaced(earlier: FeedbackRow | None, prediction_id: UUID, verdict: FeedbackRequest) -> FeedbackRow:
    feedback = earlier or FeedbackRow(prediction_id=prediction_id, revision=0)
    corrected_class = verdict.corrected_class and verdict.corrected_class.value
    if (feedback.agrees, feedback.corrected_class) != (verdict.agrees, corrected_class):
        feedback.agrees, feedback.corrected_class = verdict.agrees, corrected_class
        feedback.revision += 1
        feedback.created_at = datetime.now(UTC)
        # As in the replaced system, nobody reviews a correction before it is used.
        feedback.review_state, feedback.reviewer, feedback.used_by_model_version = "accepted", None, None
    return feedback


def _stored_feedback(row: FeedbackRow, stale_image_key: str | None) -> StoredFeedback:
    return StoredFeedback(
        row.prediction_id, row.revision, row.agrees, row.corrected_class, row.review_state, stale_image_key
    )


def _possible_image_keys(row: PredictionRow) -> set[str]:
    # A crash between copy and commit may have left a copy anywhere that feedback could have put it.
    keys = {_image_key(row)}
    if row.predicted_class is not None:
        keys |= {image_key(row.predicted_class, row.id), *(corrected_image_key(name, row.id) for name in CLASSES)}
    return keys


def _empty(row: PredictionRow) -> None:
    for name in (*Outcome.__dataclass_fields__, "image_key", "image_sha256", "rejection_reason", "descriptors"):
        setattr(row, name, None)
    row.width = row.height = 0
    row.histogram_correlation = row.gate_score = 0.0
    row.timings_ms = {}
    row.access_token_sha256 = b""
    row.deleted_at = datetime.now(UTC)
