"""The models that are in the bucket: what each says of itself, what was decided about it, which one answers."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from brain_core.bundle import MANIFEST_FILE, ChampionPointer, Manifest, load_manifest, read_champion
from brain_core.errors import BundleError, ModelUnavailable, ModelVersionUnknown, ObjectNotFound, StorageError
from brain_core.storage import Bucket, model_key, read_json

DECISION_FILE = "decision.json"
"""Beside a bundle's files: what was decided about the version last."""

_FOLDER = "models/"


@dataclass(frozen=True)
class PublishedModel:
    """One version.

    Attributes:
        version: its number in the registry.
        manifest: None where it cannot be read.
        decision: the record of the promotion decision; None where there is none, or none that can be read.
        fault: why the manifest cannot be read; None where it can.
    """

    version: str
    manifest: Manifest | None
    decision: dict[str, Any] | None
    fault: str | None


def published_models(bucket: Bucket) -> list[PublishedModel]:
    """Every version in the bucket, the newest first; a damaged one is listed with its fault.

    Raises:
        StorageError: the bucket is away.
    """
    paths = (PurePosixPath(key) for key in bucket.keys(_FOLDER))
    versions = {path.parts[1] for path in paths if len(path.parts) == 3 and path.name == MANIFEST_FILE}
    return [_published(bucket, version) for version in sorted(versions, key=_rank, reverse=True)]


def champion_pointer(bucket: Bucket) -> ChampionPointer | None:
    """Which version is published as the champion; None where there is none that can be followed.

    Raises:
        StorageError: the bucket is away.
    """
    try:
        return read_champion(bucket)
    except (ModelUnavailable, BundleError):
        return None


def require_version(bucket: Bucket, version: str) -> None:
    """Make sure that the bucket holds a version.

    Raises:
        ModelVersionUnknown: it does not.
        StorageError: the bucket is away.
    """
    is_name = version not in {"", ".", ".."} and "/" not in version
    if not is_name or not bucket.exists(model_key(version, MANIFEST_FILE)):
        raise ModelVersionUnknown(f"There is no model {version!r}. `GET /v1/models` lists those that there are.")


def _published(bucket: Bucket, version: str) -> PublishedModel:
    decision = _decision(bucket, version)
    try:
        return PublishedModel(version, load_manifest(bucket, version), decision, None)
    except BundleError as exc:
        return PublishedModel(version, None, decision, str(exc))


def _decision(bucket: Bucket, version: str) -> dict[str, Any] | None:
    key = model_key(version, DECISION_FILE)
    try:
        return read_json(bucket, key)
    except ObjectNotFound:
        return None
    except StorageError:
        # Unreadable content is one version's fault; an absent bucket fails again here.
        bucket.exists(key)
        return None


def _rank(version: str) -> tuple[int, str]:
    return (int(version), version) if version.isdecimal() else (-1, version)
