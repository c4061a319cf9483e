"""What earlier splits said: a test image stays a test image, whatever is added later."""

import pandas as pd

from brain_assets.asset_store import AssetStore, read_table
from brain_core.bundle import SPLIT_FILE, read_champion
from brain_core.errors import ModelUnavailable, ObjectNotFound
from brain_core.storage import Bucket, model_key


def earlier_parts(bucket: Bucket) -> pd.DataFrame | None:
    """Earlier assignments: `part` by `key` and `pixel_sha256` (the last split; the champion's, by pixels alone).

    Raises:
        StorageError: the bucket is away.
    """
    tables = [table for table in (_last_split(bucket), _champions_split(bucket)) if table is not None]
    return pd.concat(tables, ignore_index=True) if tables else None


def known_images(bucket: Bucket, version: str) -> pd.DataFrame:
    """Every image that a model knew when it was made: `pixel_sha256` and `part`, with more.

    Raises:
        ObjectNotFound: there is no such bundle.
        StorageError: the bucket is away.
    """
    return read_table(bucket, model_key(version, SPLIT_FILE))


def _last_split(bucket: Bucket) -> pd.DataFrame | None:
    # Not `read_former`: a split that is damaged must not be forgotten in silence.
    try:
        last: pd.DataFrame = AssetStore(bucket).read("dataset_splits", pd.DataFrame)
    except ObjectNotFound:
        return None
    return last[[name for name in ("key", "pixel_sha256", "part") if name in last]]


def _champions_split(bucket: Bucket) -> pd.DataFrame | None:
    try:
        return known_images(bucket, read_champion(bucket).version)[["pixel_sha256", "part"]]
    except (ModelUnavailable, ObjectNotFound):
        return None
