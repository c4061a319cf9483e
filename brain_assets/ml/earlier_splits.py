"""What earlier splits said: a test image stays a test image, whatever is added later."""

import io

import pandas as pd

from brain_assets.asset_store import AssetStore
from brain_core.bundle import SPLIT_FILE, read_champion
from brain_core.errors import ModelUnavailable, ObjectNotFound
from brain_core.storage import Bucket, model_key


def earlier_parts(bucket: Bucket) -> pd.DataFrame | None:
    """Earlier assignments: `part` by `key` (the last split) and by `pixel_sha256` (what the champion knew).

    Raises:
        StorageError: the bucket is away.
    """
    tables = [table for table in (_last_split(bucket), _champions_split(bucket)) if table is not None]
    return pd.concat(tables, ignore_index=True) if tables else None


def _last_split(bucket: Bucket) -> pd.DataFrame | None:
    try:
        last: pd.DataFrame = AssetStore(bucket).read("dataset_splits", pd.DataFrame)
    except ObjectNotFound:
        return None
    return last[["key", "part"]]


def _champions_split(bucket: Bucket) -> pd.DataFrame | None:
    try:
        key = model_key(read_champion(bucket).version, SPLIT_FILE)
        return pd.read_parquet(io.BytesIO(bucket.read(key)))[["pixel_sha256", "part"]]
    except (ModelUnavailable, ObjectNotFound):
        return None
