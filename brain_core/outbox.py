"""Images that the bucket could not take: they wait in PostgreSQL beside their rows until it is back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import sessionmaker

from brain_core.database import translated_errors
from brain_core.errors import StorageError
from brain_core.fault_points import FaultPoint, pass_by
from brain_core.tables import ImageOutboxRow, PredictionRow

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two attempts to deliver an image; each failure doubles the pause."""

MAX_ERROR_LENGTH = 500


class OutboxState(NamedTuple):
    """How many images wait, and for how many seconds the oldest has waited."""

    depth: int
    oldest_s: float


class ImageOutbox:
    """Delivers waiting images, each once also when several processes do it; `DatabaseError` when PostgreSQL is away.

    Args:
        engine: of the `brain` database.
        reached: is told each step of what must survive a crash.
    """

    def __init__(self, engine: Engine, reached: FaultPoint = pass_by) -> None:
        self._sessions, self._reached = sessionmaker(engine), reached

    def state(self) -> OutboxState:
        """What waits now."""
        columns = (func.count(), func.min(ImageOutboxRow.created_at))
        with translated_errors(), self._sessions() as session:
            depth, oldest = session.execute(select(*columns)).one()
        return OutboxState(depth, (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0)

    def image(self, prediction_id: UUID) -> bytes | None:
        """The waiting image of a prediction; None when none waits."""
        query = select(ImageOutboxRow.data).where(ImageOutboxRow.prediction_id == prediction_id)
        with translated_errors(), self._sessions() as session:
            return session.scalar(query)

    def deliver_one(self, write: Callable[[str, bytes], None]) -> bool:
        """Write the image that is due first to where its prediction says; False when none is due.

        After a crash between writing and commit it is written again, to the same place.

        Raises:
            StorageError: the bucket is still away; this image is due again after a pause.
        """
        query = select(ImageOutboxRow, PredictionRow.image_key).join(PredictionRow)
        query = query.where(ImageOutboxRow.next_attempt_at <= func.now()).order_by(ImageOutboxRow.next_attempt_at)
        with translated_errors(), self._sessions.begin() as session:
            # Both rows are locked: neither feedback nor erasure may change the place meanwhile.
            found = session.execute(query.limit(1).with_for_update(skip_locked=True)).one_or_none()
            if found is None:
                return False
            waiting, key = found
            prediction_id = waiting.prediction_id
            try:
                write(str(key), waiting.data)
            except StorageError as exc:
                failure = exc
            else:
                self._reached("outbox-image-written")
                session.delete(waiting)
                return True
        self._postpone(prediction_id, str(failure))
        raise failure

    def _postpone(self, prediction_id: UUID, error: str) -> None:
        pause_s = func.least(LONGEST_PAUSE_S, FIRST_PAUSE_S * func.power(2, func.least(ImageOutboxRow.attempts, 10)))
        change = update(ImageOutboxRow).where(ImageOutboxRow.prediction_id == prediction_id)
        values = {
            "attempts": ImageOutboxRow.attempts + 1,
            "next_attempt_at": func.now() + pause_s * timedelta(seconds=1),
            "last_error": error[:MAX_ERROR_LENGTH],
        }
        with translated_errors(), self._sessions.begin() as session:
            session.execute(change.values(values))
