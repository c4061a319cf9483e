"""Making a version the champion: bundle, alias in MLflow and pointer in the bucket, all under one lock.

The alias says what is wanted, the pointer what is published. The steps are done in this order, each may be repeated,
and what a crash between two of them leaves is mended by the next try or by `follow_alias`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Engine, text

from brain_assets.ml.model import BASELINE
from brain_assets.ml.registry import CHALLENGER, CHAMPION, ModelRegistry, RegisteredVersion
from brain_core.bundle import (
    MANIFEST_FILE,
    BundleFiles,
    ChampionPointer,
    Manifest,
    bucket_files,
    load_files,
    read_champion,
    sha256,
    verified,
)
from brain_core.database import translated_errors
from brain_core.errors import BrainError, BundleError, ModelUnavailable, ObjectNotFound
from brain_core.storage import CHAMPION_KEY, Bucket, model_key, write_json

LOCK_ID = 7_120_432
"""Advisory lock of PostgreSQL: two promotions at once wait for each other."""

BUNDLE_FOLDER = "bundle"
"""Where a bundle's files lie among the artifacts of its run."""

ALIAS_FOLLOWED = "the MLflow alias `champion`"
"""Who promoted a version that somebody chose in MLflow."""


MAX_HISTORY = 50
"""So many former champions are remembered."""


class VersionRefused(BrainError):
    """A version that cannot be the champion: not registered, without a bundle that loads, or a baseline."""


class ChampionChanged(BrainError):
    """Another champion was published, or chosen in MLflow, after a decision was made."""


class Stores(NamedTuple):
    """Where a champion is kept: database (for the lock), MLflow, data bucket."""

    engine: Engine
    registry: ModelRegistry
    bucket: Bucket


def upload_bundle(bucket: Bucket, version: str, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files under `models/<version>/`, the manifest last: a bundle with a manifest is whole.

    The same files may be uploaded again.

    Raises:
        BundleError: another bundle lies there already; it may be the one that answers.
        StorageError: the bucket is away.
    """
    key = model_key(version, MANIFEST_FILE)
    if _read(bucket, key) not in (None, files[MANIFEST_FILE]):
        raise BundleError(
            f"{key} is another model's: MLflow gave a number that it had given before, as it does when its database is "
            f"new and the bucket is not. Restore MLflow's database, or move models/ of the bucket away."
        )
    for name in sorted(files, key=lambda name: name == MANIFEST_FILE):
        bucket.write(model_key(version, name), files[name])


def publish_champion(
    engine: Engine, registry: ModelRegistry, bucket: Bucket, version: str, promoted_by: str
) -> ChampionPointer:
    """Let the alias and then the pointer name a version, whatever is the champion now; serving follows the pointer.

    Safe to repeat; a version that is the champion already keeps its pointer as it is.

    Raises:
        DatabaseError: PostgreSQL, which holds the lock, is away.
        RegistryError: MLflow is away; the pointer is as it was.
        StorageError: the bucket is away; the pointer is as it was.
        VersionRefused: the version is not registered, has no bundle that loads, or is a baseline; nothing was changed.
    """
    with _promotion_lock(engine):
        return _publish(Stores(engine, registry, bucket), version, promoted_by)


def replace_champion(stores: Stores, version: str, champion: str | None, promoted_by: str) -> ChampionPointer:
    """Publish a version that was decided to be better than `champion` (None: than none).

    Raises:
        ChampionChanged: the decision was made against a champion that is no longer the one; nothing was changed.
        DatabaseError, RegistryError, StorageError, VersionRefused: see `publish_champion`.
    """
    with _promotion_lock(stores.engine):
        _require_unchanged(stores, version, champion)
        return _publish(stores, version, promoted_by)


def follow_alias(stores: Stores) -> ChampionPointer | None:
    """Publish the version that MLflow's alias names, where it is not the published one.

    Returns:
        The new pointer; None when there was nothing to do: no alias, or it names the published champion.

    Raises:
        DatabaseError, RegistryError, StorageError, VersionRefused: see `publish_champion`.
    """
    # Without the lock first: almost always there is nothing to do.
    if _wanted(stores) is None:
        return None
    with _promotion_lock(stores.engine):
        wanted = _wanted(stores)
        return _publish(stores, wanted, ALIAS_FOLLOWED) if wanted else None


def roll_back(stores: Stores, promoted_by: str) -> ChampionPointer:
    """Publish the champion before this one again; repeated, the one before that.

    Former champions whose bundle no longer loads are passed over.

    Raises:
        VersionRefused: there is no former champion that can be published; nothing was changed.
        DatabaseError, RegistryError, StorageError: see `publish_champion`.
    """
    with _promotion_lock(stores.engine):
        pointer = _pointer(stores.bucket)
        former = pointer.history if pointer else ()
        for place, version in enumerate(former):
            if _can_be_published(stores, version):
                return _publish(stores, version, promoted_by, former[place + 1 :])
    raise VersionRefused("There is no champion to go back to. `brain models list` shows what can be promoted instead.")


def published_version(bucket: Bucket) -> str | None:
    """Version of the published champion; None where there is no pointer, or only one that nobody can follow.

    Raises:
        StorageError: the bucket is away.
    """
    pointer = _pointer(bucket)
    return pointer.version if pointer else None


def _wanted(stores: Stores) -> str | None:
    alias = stores.registry.alias_version(CHAMPION)
    return alias if alias != published_version(stores.bucket) else None


def _require_unchanged(stores: Stores, version: str, champion: str | None) -> None:
    published = published_version(stores.bucket)
    if published not in (champion, version):
        raise ChampionChanged(f"Version {published} became the champion after version {version} was compared.")
    wanted = stores.registry.alias_version(CHAMPION)
    if wanted not in (None, published, version) and _can_be_published(stores, str(wanted)):
        raise ChampionChanged(f"Somebody chose version {wanted} in MLflow after version {version} was compared.")


def _can_be_published(stores: Stores, version: str) -> bool:
    try:
        _whole_bundle(stores, version)
    except VersionRefused:
        return False
    return True


def _publish(stores: Stores, version: str, promoted_by: str, history: tuple[str, ...] | None = None) -> ChampionPointer:
    _, registry, bucket = stores
    manifest = _whole_bundle(stores, version)
    former = _pointer(bucket)
    is_published = former is not None and (former.version, former.sha256) == (version, manifest)
    promoted_at = datetime.now(UTC)
    before = _history(former, version) if history is None else history
    pointer = ChampionPointer(
        version=version, sha256=manifest, promoted_at=promoted_at, promoted_by=promoted_by, history=before
    )
    if registry.alias_version(CHAMPION) != version:
        registry.set_alias(CHAMPION, version)
    if registry.alias_version(CHALLENGER) == version:
        registry.delete_alias(CHALLENGER)
    if former is not None and is_published:
        return former
    registry.set_version_tags(version, {"promoted_by": promoted_by, "promoted_at": promoted_at.isoformat()})
    write_json(bucket, CHAMPION_KEY, pointer.model_dump(mode="json"))
    return pointer


def _history(former: ChampionPointer | None, version: str) -> tuple[str, ...]:
    if former is None or former.version == version:
        return former.history if former else ()
    return (former.version, *former.history)[:MAX_HISTORY]


def _whole_bundle(stores: Stores, version: str) -> str:
    """Hash of the manifest of a version that can be published, after its bundle was put into the bucket if need be."""
    registered = next((one for one in stores.registry.versions() if one.version == version), None)
    if registered is None:
        raise VersionRefused(f"MLflow has no version {version!r}. `brain models list` shows those that there are.")
    files = bucket_files(stores.bucket, version)
    try:
        manifest = _loaded_manifest(files, version)
    except BundleError as exc:
        kept = _kept_in_mlflow(stores.registry, registered)
        if not kept:
            raise VersionRefused(
                f"Version {version} cannot be the champion. {exc} Choose another version, or build a new one."
            ) from exc
        _upload_again(stores.bucket, version, kept)
        manifest = _loaded_manifest(files, version)
    if manifest.architecture == BASELINE:
        raise VersionRefused(f"Version {version} is the baseline {BASELINE}: it is compared with, never the champion.")
    return sha256(files.read(MANIFEST_FILE))


def _loaded_manifest(files: BundleFiles, version: str) -> Manifest:
    """The manifest of a bundle that is whole and that serving can load.

    Raises:
        BundleError: a file is missing, altered or of another version of the code or of the model.
    """
    manifest = load_files(files).manifest
    if manifest.version != version:
        raise BundleError(f"The bundle {files.name} says that it is version {manifest.version}.")
    for name in manifest.sha256:
        verified(files, manifest, name)
    return manifest


def _kept_in_mlflow(registry: ModelRegistry, registered: RegisteredVersion) -> dict[str, bytes]:
    """The files of a whole bundle of this version among the artifacts of its run; none where there is no such."""
    kept = registry.files(registered.run.run_id, BUNDLE_FOLDER) if registered.run else {}

    def read(name: str) -> bytes:
        if name not in kept:
            raise ObjectNotFound(f"MLflow has no {name} of version {registered.version}.")
        return kept[name]

    try:
        manifest = _loaded_manifest(BundleFiles(repr(registered.version), read), registered.version)
    except BundleError:
        return {}
    return {name: kept[name] for name in (*manifest.sha256, MANIFEST_FILE)}


def _upload_again(bucket: Bucket, version: str, files: Mapping[str, bytes]) -> None:
    # What lies there is damaged, or there is nothing; the manifest goes first and comes last.
    bucket.delete(model_key(version, MANIFEST_FILE))
    upload_bundle(bucket, version, files)


def _pointer(bucket: Bucket) -> ChampionPointer | None:
    try:
        return read_champion(bucket)
    except (ModelUnavailable, BundleError):
        return None


def _read(bucket: Bucket, key: str) -> bytes | None:
    try:
        return bucket.read(key)
    except ObjectNotFound:
        return None


@contextmanager
def _promotion_lock(engine: Engine) -> Iterator[None]:
    with translated_errors(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
        yield
