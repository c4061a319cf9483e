"""Requests to make a version the champion: written by the API, carried out by the pipeline."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import sessionmaker

from brain_core.database import translated_errors
from brain_core.tables import PromotionRequestRow

QUEUED, DONE, REFUSED = "queued", "done", "refused"


@dataclass(frozen=True)
class PromotionRequest:
    """One request.

    Attributes:
        id: names it.
        created_at: when it was made, UTC.
        model_version: what is to be the champion; an older version than the present one is a way back.
        requested_by: who asked.
        state: `queued`, `done` or `refused`.
        attempts: how often the pipeline tried.
        message: what came of it, or why it still waits.
        finished_at: when it was done or refused, UTC.
    """

    id: UUID
    created_at: datetime
    model_version: str
    requested_by: str
    state: str
    attempts: int
    message: str | None
    finished_at: datetime | None


class PromotionQueue:
    """Keeps the requests; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def add(self, model_version: str, requested_by: str) -> PromotionRequest:
        """Queue a request; while one for the same version waits, that one is given back instead."""
        row = insert(PromotionRequestRow).values(model_version=model_version, requested_by=requested_by)
        # An update that changes nothing: `DO NOTHING` would not give the waiting row back.
        row = row.on_conflict_do_update(
            index_elements=["model_version"],
            index_where=text("state = 'queued'"),
            set_={"model_version": model_version},
        )
        with translated_errors(), self._sessions.begin() as session:
            return _request(session.scalars(row.returning(PromotionRequestRow)).one())

    def newest(self, limit: int = 20) -> list[PromotionRequest]:
        """The newest requests of any state, the newest first."""
        query = select(PromotionRequestRow).order_by(PromotionRequestRow.id.desc()).limit(limit)
        with translated_errors(), self._sessions() as session:
            return [_request(row) for row in session.scalars(query)]

    def queued(self) -> list[PromotionRequest]:
        """What waits, in the order in which it was asked for."""
        query = select(PromotionRequestRow).where(PromotionRequestRow.state == QUEUED).order_by(PromotionRequestRow.id)
        with translated_errors(), self._sessions() as session:
            return [_request(row) for row in session.scalars(query)]

    def finish(self, request_id: UUID, state: str, message: str) -> None:
        """Say what came of a request; of one that is finished already nothing changes."""
        with translated_errors(), self._sessions.begin() as session:
            row = session.get_one(PromotionRequestRow, request_id, with_for_update=True)
            if row.state == QUEUED:
                row.state, row.message, row.finished_at = state, message, datetime.now(UTC)
                row.attempts += 1

    def postpone(self, request_id: UUID, message: str) -> None:
        """Say why a request still waits."""
        with translated_errors(), self._sessions.begin() as session:
            row = session.get_one(PromotionRequestRow, request_id, with_for_update=True)
            if row.state == QUEUED:
                row.message = message
                row.attempts += 1

    def depth(self) -> int:
        """How many wait."""
        query = select(func.count()).where(PromotionRequestRow.state == QUEUED)
        with translated_errors(), self._sessions() as session:
            return session.scalars(query).one()


def _request(row: PromotionRequestRow) -> PromotionRequest:
    return PromotionRequest(**{name: getattr(row, name) for name in PromotionRequest.__dataclass_fields__})
