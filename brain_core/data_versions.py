"""The versions of the data, and what was found out about each: written by the pipeline, read by the Data page."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from brain_core.errors import ObjectNotFound
from brain_core.labels import NOTICE
from brain_core.storage import Bucket, asset_key, read_json, write_json

INDEX_KEY = asset_key("image_manifest", "versions.json")

Finding = Literal["splits", "leakage", "shortcuts"]
"""`splits`: images and groups by part and class; `leakage`: of the published split; `shortcuts`: the audit."""


class DataVersion(BaseModel):
    """One version of the data.

    Attributes:
        version: hash of the content.
        created_at: when it was first made, UTC.
        source: sample, public or own.
        images: number of images that decode.
        images_by_class: the same by class.
        unreadable_images: number of images that do not decode.
    """

    version: str
    created_at: datetime
    source: str
    images: int
    images_by_class: dict[str, int]
    unreadable_images: int


def data_versions(bucket: Bucket) -> list[DataVersion]:
    """All versions, the oldest first; empty before the first build.

    Raises:
        StorageError: the bucket is away.
    """
    try:
        index = read_json(bucket, INDEX_KEY)
    except ObjectNotFound:
        return []
    return [DataVersion.model_validate(entry) for entry in index["versions"]]


def write_finding(bucket: Bucket, version: str, finding: Finding, rows: list[dict[str, Any]]) -> None:
    """Keep a table of what was found out about a version.

    Raises:
        StorageError: the bucket is away.
    """
    write_json(bucket, report_key(version, f"{finding}.json"), {"rows": rows, "notice": NOTICE})


def read_finding(bucket: Bucket, version: str, finding: Finding) -> list[dict[str, Any]]:
    """The table; empty when it was not made yet.

    Raises:
        StorageError: the bucket is away.
    """
    try:
        return list(read_json(bucket, report_key(version, f"{finding}.json"))["rows"])
    except ObjectNotFound:
        return []


def report_key(version: str, file: str) -> str:
    """Where a report about a version is kept, such as `leakage.html` or `shortcuts.png`."""
    return f"reports/data/{version}/{file}"
