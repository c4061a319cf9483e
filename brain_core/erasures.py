"""Uploads that were erased and whose copies in the pipeline's own values are still to be removed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import sessionmaker

from brain_core.database import translated_errors
from brain_core.tables import ErasureRow


class ErasureStore:
    """Reads and settles erasures; every method raises `DatabaseError` when PostgreSQL is away."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine)

    def unpurged(self) -> list[UUID]:
        """The predictions whose copies may still be there, in the order of their erasure."""
        query = select(ErasureRow.prediction_id).where(ErasureRow.purged_at.is_(None)).order_by(ErasureRow.created_at)
        with translated_errors(), self._sessions() as session:
            return list(session.scalars(query))

    def settle(self, prediction_ids: Sequence[UUID]) -> None:
        """The copies of these are gone."""
        change = update(ErasureRow).where(ErasureRow.prediction_id.in_(prediction_ids))
        with translated_errors(), self._sessions.begin() as session:
            session.execute(change.values(purged_at=datetime.now(UTC)))
