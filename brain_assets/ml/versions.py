"""Data version control: every manifest that was ever made can be read again.

A manifest is kept under the hash of its content, and an index says when each was made and what it holds.
"""

import json
from collections.abc import Mapping
from datetime import datetime

import pandas as pd

from brain_assets.asset_store import read_table, version_of
from brain_core.data_versions import INDEX_KEY, DataVersion, Finding, data_versions, report_key, write_finding
from brain_core.errors import DataVersionUnknown
from brain_core.storage import Bucket, asset_key, write_json


def manifest_version(manifest: pd.DataFrame) -> str:
    """Hash of what a manifest holds: 16 hexadecimal digits."""
    return version_of(manifest[["key", "sha256", "label"]])


def keep_version(bucket: Bucket, manifest: pd.DataFrame, created_at: datetime) -> DataVersion:
    """Keep a manifest under its version; one that is kept already stays as it was.

    Raises:
        StorageError: the bucket is away.
    """
    version = manifest_version(manifest)
    known = {entry.version: entry for entry in data_versions(bucket)}
    if version in known:
        return known[version]
    entry = _describe(manifest, version, created_at)
    bucket.write(_manifest_key(version), manifest.to_parquet(index=False))
    entries = [*known.values(), entry]
    write_json(bucket, INDEX_KEY, {"versions": [entry.model_dump(mode="json") for entry in entries]})
    return entry


def keep_finding(
    bucket: Bucket,
    manifest: pd.DataFrame,
    finding: Finding,
    rows: pd.DataFrame,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Keep what was found out about a manifest's version, and the files that show it, for the Data page.

    Raises:
        StorageError: the bucket is away.
    """
    version = manifest_version(manifest)
    for name, content in (files or {}).items():
        bucket.write(report_key(version, name), content)
    write_finding(bucket, version, finding, json.loads(rows.to_json(orient="records")))


def read_version(bucket: Bucket, version: str) -> tuple[DataVersion, pd.DataFrame]:
    """A version and its manifest; the first characters are enough where they name one version.

    Raises:
        DataVersionUnknown: no version, or more than one, begins so.
        StorageError: the bucket is away.
    """
    fitting = [entry for entry in data_versions(bucket) if entry.version.startswith(version)]
    if len(fitting) != 1:
        found = "none begins" if not fitting else f"{len(fitting)} begin"
        raise DataVersionUnknown(f"There is no data version {version!r}: {found} so. See `brain data versions`.")
    (entry,) = fitting
    return entry, read_table(bucket, _manifest_key(entry.version))


def _manifest_key(version: str) -> str:
    return asset_key("image_manifest", f"versions/{version}.parquet")


def _describe(manifest: pd.DataFrame, version: str, created_at: datetime) -> DataVersion:
    good = manifest[manifest["decodes"].astype(bool)]
    return DataVersion(
        version=version,
        created_at=created_at,
        source=", ".join(sorted(manifest["source"].unique())),
        images=len(good),
        images_by_class={str(label): int(count) for label, count in good["label"].value_counts().sort_index().items()},
        unreadable_images=len(manifest) - len(good),
    )
