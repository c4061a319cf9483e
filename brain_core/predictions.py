"""Predictions and what readers said about them, in PostgreSQL.

The image itself lies in the bucket, or in `image_outbox` while the bucket is away. Nothing is acknowledged before both
are safe, and whatever ends a process, a row never names an image that is not there: images are written before the rows
that name them and deleted after the rows that named them, and a key at which one may be left over is noted before
(`stray_image`, see `strays`).
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from brain_core.batches import Batches
from brain_core.contracts import FeedbackRequest
from brain_core.database import translated_errors
from brain_core.errors import (
    CommitUnknown,
    IdempotencyKeyReused,
    NotABrainMri,
    PredictionErased,
    PredictionNotFound,
    UnknownClass,
)
from brain_core.fault_points import FaultPoint, pass_by
from brain_core.gate import GateDecision
from brain_core.idempotency import IdempotencyKey
from brain_core.labels import CLASSES
from brain_core.prediction_records import (
    ADMIN,
    Access,
    NewPrediction,
    Outcome,
    StoredFeedback,
    StoredPrediction,
)
from brain_core.storage import corrected_image_key, image_key
from brain_core.strays import drop_images, note_strays
from brain_core.tables import ErasureRow, FeedbackRow, ImageOutboxRow, PredictionRow, ShadowAnswerRow, StrayImageRow

_HASHES = ("image_sha256", "pixel_sha256")


class PredictionStore:
    """Keeps predictions; every method raises `DatabaseError` when PostgreSQL is away.

    Args:
        engine: of the `brain` database.
        reached: is told each step of what must survive a crash.
        is_review_required: a correction counts only after somebody accepted it.
    """

    def __init__(self, engine: Engine, reached: FaultPoint = pass_by, is_review_required: bool = False) -> None:
        self._engine, self._sessions, self._reached = engine, sessionmaker(engine), reached
        self._writer = Batches(self._save_all)
        self._first_state = "pending" if is_review_required else "accepted"

    def save(self, new: NewPrediction) -> StoredPrediction:
        """Keep a new prediction or refusal, together with what other threads save; committed when it returns.

        Returns:
            The prediction; with another id than `new` has, when a request with the same idempotency key came first.

        Raises:
            CommitUnknown: the connection broke at the end; the prediction is there or not.
            IdempotencyKeyReused, PredictionErased: see `find_repeat`.
        """
        found = self._writer.add(new)
        if isinstance(found, StoredPrediction):
            return found
        earlier = self.find_repeat(found, new.image.sha256, new.consent_version)
        if earlier is None:
            raise PredictionNotFound("The upload with the same Idempotency-Key is gone. Send this one with a new key.")
        return earlier

    def find_repeat(self, key: IdempotencyKey, image_sha256: str, consent_version: str) -> StoredPrediction | None:
        """The prediction that was made for an idempotency key; None when the key is new.

        Raises:
            IdempotencyKeyReused: it was made for another image or consent.
            PredictionErased: it was erased meanwhile; a late retry must not bring it back.
        """
        query = select(PredictionRow).where(PredictionRow.idempotency_sha256 == key.sha256)
        with self._transaction() as session:
            row = session.scalars(query).one_or_none()
            if row is None:
                return None
            _require_unerased(row)
            if (row.image_sha256, row.consent_version) != (image_sha256, consent_version):
                raise IdempotencyKeyReused("This Idempotency-Key came with another upload before. Send a new key.")
            return _stored(row)

    def get(self, prediction_id: UUID, access: Access) -> StoredPrediction:
        """One prediction.

        Raises:
            PredictionNotFound: there is none, or the token is not its own.
            PredictionErased: it was erased.
        """
        with self._transaction() as session:
            return _stored(_accessible_row(session, prediction_id, access))

    def set_feedback(
        self,
        prediction_id: UUID,
        access_token: str,
        verdict: FeedbackRequest,
        copy_image: Callable[[str, str], None],
    ) -> StoredFeedback:
        """Keep a reader's verdict in place of an earlier one; the same verdict again changes nothing.

        A verdict that differs raises the revision. Where it changes the image's place, `copy_image(old key, new key)`
        is called before the commit; the caller then hands `stale_image_key` to `drop_images`.

        Raises:
            PredictionNotFound, PredictionErased: see `get`.
            NotABrainMri: the gate refused the upload, so there is no prediction to judge.
            UnknownClass: the correction names the class that was predicted.
        """
        self._announce_move(prediction_id, access_token, verdict)
        self._reached("move-announced")
        with self._transaction() as session:
            row = _accessible_row(session, prediction_id, access_token, is_locking=True)
            old_key, new_key = _image_key(row), _key_for(row, verdict)
            state = "accepted" if verdict.agrees else self._first_state
            feedback = _replaced(session.get(FeedbackRow, prediction_id), prediction_id, verdict, state)
            session.add(feedback)
            session.flush()
            if new_key != old_key:
                if session.get(ImageOutboxRow, prediction_id) is None:
                    copy_image(old_key, new_key)
                    self._reached("image-copied")
                _move(session, row, new_key)
            stored = _stored_feedback(feedback, old_key if new_key != old_key else None)
        self._reached("move-committed")
        return stored

    def drop_images(self, prediction_id: UUID, keys: Sequence[str], delete_image: Callable[[str], None]) -> None:
        """Delete former copies of an image, but none at the key where it is now."""
        with self._transaction() as session:
            drop_images(session, prediction_id, keys, delete_image)

    def erase(self, prediction_id: UUID, access: Access) -> list[str]:
        """Forget an upload: embedding, descriptors, result and feedback; an empty row stays as a tombstone.

        From then on it counts as erased, whatever happens.

        Returns:
            The keys at which a copy of the image may lie; the caller hands them to `drop_images`.

        Raises:
            PredictionNotFound, PredictionErased: see `get`.
        """
        with self._transaction() as session:
            row = _accessible_row(session, prediction_id, access, is_locking=True)
            keys = sorted(_possible_image_keys(row))
            note_strays(session, prediction_id, keys)
            for kept in (FeedbackRow, ImageOutboxRow, ShadowAnswerRow):
                session.execute(delete(kept).where(kept.prediction_id == prediction_id))
            _empty(row)
            session.add(ErasureRow(prediction_id=prediction_id))
        self._reached("tombstone-committed")
        return keys

    def _save_all(self, batch: Sequence[NewPrediction]) -> list[StoredPrediction | IdempotencyKey]:
        """Of an upload whose idempotency key was there already, only the key is given back."""
        with translated_errors(), self._engine.connect() as connection:
            times = _inserted(connection, batch)
            self._reached("row-written")
            _commit(connection)
        self._reached("row-committed")
        return [_saved(new, times.get(new.id)) for new in batch]

    def _announce_move(self, prediction_id: UUID, access_token: str, verdict: FeedbackRequest) -> None:
        """Note where the image is about to be copied, so that no crash can leave a copy that nobody knows of."""
        with self._transaction() as session:
            row = _accessible_row(session, prediction_id, access_token)
            if (new_key := _key_for(row, verdict)) != row.image_key:
                note_strays(session, prediction_id, [new_key])

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with translated_errors(), self._sessions.begin() as session:
            yield session


def _inserted(connection: Connection, batch: Sequence[NewPrediction]) -> dict[UUID, datetime]:
    """Id and time of each that was inserted; the others' idempotency keys were there already."""
    statement = postgresql.insert(PredictionRow).on_conflict_do_nothing(index_elements=["idempotency_sha256"])
    rows = connection.execute(statement.returning(PredictionRow.id, PredictionRow.created_at), [*map(_values, batch)])
    times = {row.id: row.created_at for row in rows}
    waiting = [
        {"prediction_id": new.id, "data": new.outbox_image}
        for new in batch
        if new.outbox_image is not None and new.id in times
    ]
    if waiting:
        connection.execute(insert(ImageOutboxRow), waiting)
    return times


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except DBAPIError as exc:
        raise CommitUnknown("The connection to PostgreSQL broke while a prediction was committed.") from exc


def _saved(new: NewPrediction, created_at: datetime | None) -> StoredPrediction | IdempotencyKey:
    if created_at is None:
        # Only a key that was there already keeps a row from being inserted.
        return new.keyed.key if new.keyed else IdempotencyKey("")
    salt = new.keyed.salt if new.keyed else None
    return StoredPrediction(
        new.id, created_at, new.image.key, new.decision, new.outcome, new.model_version, new.timings_ms, salt
    )


def _token_hash(access_token: str) -> bytes:
    return hashlib.sha256(access_token.encode()).digest()


def _values(new: NewPrediction) -> dict[str, Any]:
    outcome = vars(new.outcome) if new.outcome else dict.fromkeys(Outcome.__dataclass_fields__)
    return dict(
        id=new.id,
        access_token_sha256=_token_hash(new.access_token),
        image_key=new.image.key,
        image_sha256=new.image.sha256,
        pixel_sha256=new.image.pixel_sha256,
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
        idempotency_sha256=new.keyed and new.keyed.key.sha256,
        token_salt=new.keyed and new.keyed.salt,
        **outcome,
    )


def _accessible_row(session: Session, prediction_id: UUID, access: Access, is_locking: bool = False) -> PredictionRow:
    row = session.get(PredictionRow, prediction_id, with_for_update=is_locking or None)
    if row is None or not _opens(access, row):
        raise PredictionNotFound(f"There is no prediction {prediction_id}, or the access token is not its own.")
    _require_unerased(row)
    return row


def _opens(access: Access, row: PredictionRow) -> bool:
    return access is ADMIN or hmac.compare_digest(row.access_token_sha256, _token_hash(str(access)))


def _require_unerased(row: PredictionRow) -> None:
    if row.deleted_at is not None:
        raise PredictionErased(f"The prediction {row.id} was erased on {row.deleted_at:%Y-%m-%d}.")


def _move(session: Session, row: PredictionRow, new_key: str) -> None:
    note_strays(session, row.id, [_image_key(row)])
    session.execute(delete(StrayImageRow).where(StrayImageRow.image_key == new_key))
    row.image_key = new_key


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
        token_salt=row.token_salt,
    )


def _outcome(row: PredictionRow) -> Outcome:
    values = {name: getattr(row, name) for name in Outcome.__dataclass_fields__}
    # JSONB keeps no order.
    return Outcome(**values | {"probabilities": {name: values["probabilities"][name] for name in CLASSES}})


def _key_for(row: PredictionRow, verdict: FeedbackRequest) -> str:
    if row.predicted_class is None:
        raise NotABrainMri("The upload was refused, so there is no prediction to judge.")
    if verdict.corrected_class is None:
        return image_key(row.predicted_class, row.id)
    if verdict.corrected_class == row.predicted_class:
        raise UnknownClass(f"{row.predicted_class!r} is what was predicted. Send another class, or agrees = true.")
    return corrected_image_key(verdict.corrected_class, row.id)


def _replaced(earlier: FeedbackRow | None, prediction_id: UUID, verdict: FeedbackRequest, state: str) -> FeedbackRow:
    feedback = earlier or FeedbackRow(prediction_id=prediction_id, revision=0)
    corrected_class = verdict.corrected_class and verdict.corrected_class.value
    if (feedback.agrees, feedback.corrected_class) != (verdict.agrees, corrected_class):
        feedback.agrees, feedback.corrected_class = verdict.agrees, corrected_class
        feedback.revision += 1
        feedback.created_at = datetime.now(UTC)
        feedback.review_state, feedback.reviewer, feedback.used_by_model_version = state, None, None
        feedback.reviewed_at = feedback.review_comment = None
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
    # Hashes of token and idempotency key stay: they tell the owner, and a late retry, that it was erased.
    for name in (*Outcome.__dataclass_fields__, "image_key", *_HASHES, "rejection_reason", "descriptors"):
        setattr(row, name, None)
    row.width = row.height = 0
    row.histogram_correlation = row.gate_score = 0.0
    row.timings_ms = {}
    row.token_salt = None
    row.deleted_at = datetime.now(UTC)
