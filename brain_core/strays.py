"""Images that lie where no prediction has them: what a crash between two steps leaves, found and deleted.

There are two kinds. Where an image is moved or erased, the keys are noted in `stray_image` before anything happens, so
that they need no search. An upload is written to the bucket before its row, and noting it would cost a second commit;
those are found by listing the newest images: an id tells when it was made.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, sessionmaker

from brain_core.database import translated_errors
from brain_core.storage import UPLOAD_FOLDERS, Bucket
from brain_core.tables import PredictionRow, StrayImageRow, SweepMarkRow

ORPHANED_UPLOADS = "orphaned uploads"
"""Name of the mark up to which uploads without a row were looked for."""

MAX_PREFIXES = 8
"""So many listings of a folder are rather made than one of all that is in it."""

_TIME_DIGITS = 12
_ROWS_AT_A_TIME = 500
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Swept(NamedTuple):
    """How many images a sweep deleted: noted ones, and uploads without a row."""

    noted: int
    orphaned: int


def note_strays(session: Session, prediction_id: UUID, keys: Sequence[str]) -> None:
    """Remember keys at which an image of a prediction may lie that should not."""
    rows = insert(StrayImageRow).values([{"image_key": key, "prediction_id": prediction_id} for key in keys])
    renewed = {"created_at": rows.excluded.created_at, "prediction_id": rows.excluded.prediction_id}
    session.execute(rows.on_conflict_do_update(index_elements=["image_key"], set_=renewed))


def drop_images(
    session: Session, prediction_id: UUID, keys: Sequence[str], delete_image: Callable[[str], None]
) -> None:
    """Delete images of a prediction, but none at the key where it has its image, and forget the keys.

    The row stays locked meanwhile, so that no feedback can move the image to one of the keys.
    """
    row = session.get(PredictionRow, prediction_id, with_for_update=True)
    for key in keys:
        if row is None or row.image_key != key:
            delete_image(key)
    session.execute(delete(StrayImageRow).where(StrayImageRow.image_key.in_(keys)))


class StraySweeper:
    """Deletes what crashes left in the bucket; `DatabaseError` or `StorageError` where one of them is away.

    Args:
        engine: of the `brain` database.
        images: the bucket of uploads.
        grace_s: what is younger may be of a request that is still under way, and is left alone.
    """

    def __init__(self, engine: Engine, images: Bucket, grace_s: float) -> None:
        self._sessions, self._images, self._grace = sessionmaker(engine), images, timedelta(seconds=grace_s)

    def sweep(self) -> Swept | None:
        """Delete noted strays, uploads without a row, and files that a killed write left half done.

        None where another process sweeps just now: nothing was looked for.
        """
        with translated_errors(), self._sessions.begin() as session:
            mark = _locked_mark(session)
            if mark is None:
                return None
            until = datetime.now(UTC) - self._grace
            orphans = self._orphans(session, mark.swept_until - self._grace, until)
            for key in orphans:
                self._images.delete(key)
            mark.swept_until = max(until, mark.swept_until)
        self._images.drop_unfinished(self._grace.total_seconds())
        return Swept(self._drop_noted(until), len(orphans))

    def _drop_noted(self, until: datetime) -> int:
        query = select(StrayImageRow.prediction_id, StrayImageRow.image_key).where(StrayImageRow.created_at <= until)
        with translated_errors(), self._sessions() as session:
            noted = session.execute(query).all()
        for prediction_id, key in noted:
            with translated_errors(), self._sessions.begin() as session:
                drop_images(session, prediction_id, [key], self._images.delete)
        return len(noted)

    def _orphans(self, session: Session, since: datetime, until: datetime) -> list[str]:
        keys = {}
        for folder in UPLOAD_FOLDERS:
            for prefix in id_prefixes(since, until):
                for key in self._images.keys(f"{folder}/{prefix}"):
                    prediction_id = upload_id(key)
                    if prediction_id is not None and since <= made_at(prediction_id) <= until:
                        keys[key] = prediction_id
        known = _known(session, sorted(set(keys.values())))
        return [key for key, prediction_id in keys.items() if prediction_id not in known]


def upload_id(key: str) -> UUID | None:
    """Id of the prediction whose image lies at a key; None for a key of another kind."""
    try:
        found = UUID(PurePosixPath(key).stem)
    except ValueError:
        return None
    return found if found.version == 7 else None


def made_at(prediction_id: UUID) -> datetime:
    """When a version 7 id was made (RFC 9562: its first 48 bits are milliseconds since 1970)."""
    return _BEGINNING + timedelta(milliseconds=prediction_id.int >> 80)


def id_prefixes(since: datetime, until: datetime) -> list[str]:
    """What ids that were made in a period begin with: as long as few enough prefixes cover the period."""
    first, last = (max(0, int((time - _BEGINNING) / timedelta(milliseconds=1))) for time in (since, until))
    for digits in range(_TIME_DIGITS - 4, 0, -1):
        low, high = (time >> 4 * (_TIME_DIGITS - digits) for time in (first, last))
        if high - low < MAX_PREFIXES:
            return [f"{prefix:0{digits}x}" for prefix in range(low, high + 1)]
    return [""]


def _locked_mark(session: Session) -> SweepMarkRow | None:
    first = insert(SweepMarkRow).values(name=ORPHANED_UPLOADS, swept_until=_BEGINNING + timedelta(days=1))
    session.execute(first.on_conflict_do_nothing())
    query = select(SweepMarkRow).where(SweepMarkRow.name == ORPHANED_UPLOADS)
    return session.scalars(query.with_for_update(skip_locked=True)).one_or_none()


def _known(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    query = select(PredictionRow.id)
    return {found for part in _parts(ids) for found in session.scalars(query.where(PredictionRow.id.in_(part)))}


def _parts(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (ids[start : start + _ROWS_AT_A_TIME] for start in range(0, len(ids), _ROWS_AT_A_TIME))
