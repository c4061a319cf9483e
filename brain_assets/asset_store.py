"""How assets keep their values in the bucket: tables as Parquet, images as npz, records as JSON; never pickle."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from brain_core.errors import StorageError
from brain_core.storage import Bucket, asset_key


@dataclass(frozen=True)
class ImageSet:
    """Images as the model takes them, ready to train or to test.

    Attributes:
        images: uint8 (N, S, S, 1), see `imaging.model_tensor`.
        labels: int64 (N,), indices into `labels.CLASSES`.
        groups: int64 (N,), the duplicate group of each image; -1 for images from feedback.
        keys: unicode (N,), where the images come from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    keys: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.images)


class AssetStore:
    """Writes and reads the values of assets.

    Args:
        bucket: the data bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def write(self, asset: str, value: Any) -> str:
        """Keep a value; its type decides the format.

        Returns:
            The key under which it was written.

        Raises:
            TypeError: there is no format for this type.
            StorageError: the bucket is away.
        """
        extension, data = _encoded(value)
        key = asset_key(asset, f"value.{extension}")
        self._bucket.write(key, data)
        return key

    def read(self, asset: str, kind: type[Any]) -> Any:
        """The value of an asset as `kind` (DataFrame, ImageSet or a pydantic model).

        Raises:
            ObjectNotFound: the asset was never materialised.
            StorageError: the bucket is away or the object is damaged.
        """
        key = asset_key(asset, f"value.{_extension(kind)}")
        data = self._bucket.read(key)
        try:
            return _decoded(data, kind)
        except (ValueError, KeyError, OSError) as exc:
            raise StorageError(f"{key} is damaged: {exc}. Materialise {asset} again.") from exc


def version_of(table: pd.DataFrame) -> str:
    """Hash of a table's content: 16 hexadecimal digits, the same for the same rows in the same order."""
    return hashlib.sha256(table.to_json(orient="split", date_format="iso").encode()).hexdigest()[:16]


def _extension(kind: type[Any]) -> str:
    if issubclass(kind, pd.DataFrame):
        return "parquet"
    if issubclass(kind, ImageSet):
        return "npz"
    if issubclass(kind, BaseModel):
        return "json"
    raise TypeError(f"Assets cannot keep values of type {kind.__name__}.")


def _encoded(value: Any) -> tuple[str, bytes]:
    extension = _extension(type(value))
    buffer = io.BytesIO()
    if isinstance(value, pd.DataFrame):
        value.to_parquet(buffer, index=False)
    elif isinstance(value, ImageSet):
        np.savez(buffer, images=value.images, labels=value.labels, groups=value.groups, keys=value.keys)
    else:
        buffer.write(value.model_dump_json(indent=2).encode())
    return extension, buffer.getvalue()


def _decoded(data: bytes, kind: type[Any]) -> Any:
    if issubclass(kind, pd.DataFrame):
        return pd.read_parquet(io.BytesIO(data))
    if issubclass(kind, ImageSet):
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return ImageSet(arrays["images"], arrays["labels"], arrays["groups"], arrays["keys"])
    return kind.model_validate_json(data)
