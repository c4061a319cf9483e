"""Making a version the champion: alias in MLflow, bundle and pointer in the bucket, all under one lock."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from brain_assets.ml.registry import CHAMPION, ModelRegistry
from brain_core.bundle import MANIFEST_FILE, ChampionPointer, sha256
from brain_core.database import translated_errors
from brain_core.storage import CHAMPION_KEY, Bucket, model_key, write_json

LOCK_ID = 7_120_432
"""Advisory lock of PostgreSQL: two promotions at once wait for each other."""


def upload_bundle(bucket: Bucket, version: str, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files under `models/<version>/`, the manifest last: a bundle with a manifest is whole.

    Raises:
        StorageError: the bucket is away.
    """
    for name in sorted(files, key=lambda name: name == MANIFEST_FILE):
        bucket.write(model_key(version, name), files[name])


def publish_champion(
    engine: Engine, registry: ModelRegistry, bucket: Bucket, version: str, promoted_by: str
) -> ChampionPointer:
    """Let the alias and then the pointer name an uploaded version; serving follows the pointer.

    Raises:
        DatabaseError: PostgreSQL, which holds the lock, is away.
        RegistryError: MLflow is away; nothing was changed.
        StorageError: the bucket is away; the pointer is as it was.
    """
    with _promotion_lock(engine):
        manifest = bucket.read(model_key(version, MANIFEST_FILE))
        pointer = ChampionPointer(
            version=version, sha256=sha256(manifest), promoted_at=datetime.now(UTC), promoted_by=promoted_by
        )
        registry.set_alias(CHAMPION, version)
        write_json(bucket, CHAMPION_KEY, pointer.model_dump(mode="json"))
    return pointer


@contextmanager
def _promotion_lock(engine: Engine) -> Iterator[None]:
    with translated_errors(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
        yield
