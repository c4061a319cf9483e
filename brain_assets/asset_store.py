"""How assets keep their values in the bucket, none of them by pickle.

Tables as Parquet, images as shards, records as JSON, the upload gate as arrays.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from brain_assets.shards import ImageArray, read_images, write_images
from brain_core.errors import BundleError, StorageError
from brain_core.gate import Gate
from brain_core.settings import load_settings
from brain_core.storage import Bucket, asset_key

BOX_COLUMNS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class ImageSet:
    """Images as the model takes them, ready to train or to test.

    Attributes:
        images: uint8 (N, S, S, 1), see `imaging.model_tensor`; mapped from files when it was read from the bucket.
        labels: int64 (N,), indices into `labels.CLASSES`.
        groups: int64 (N,), the duplicate group of each image; -1 for images from feedback.
        keys: unicode (N,), where the images come from.
        boxes: float32 (N, 4), x0, y0, x1, y1 of the tumour as fractions of width and height; NaN where unknown.
        recipes: unicode (N,), what an altered copy was made from, see `augmentation.augment`; empty for originals.

    Raises:
        ValueError: the attributes are not of one length.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    keys: NDArray[np.str_]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 4), np.float32))
    recipes: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))

    def __post_init__(self) -> None:
        if len(self.boxes) == 0:
            object.__setattr__(self, "boxes", np.full((len(self), 4), np.nan, np.float32))
        if len(self.recipes) == 0:
            object.__setattr__(self, "recipes", np.full(len(self), "", np.str_))
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the lengths differ: {lengths}.")

    def __len__(self) -> int:
        return len(self.images)


class AssetStore:
    """Writes and reads the values of assets.

    Args:
        bucket: the data bucket.
        cache: folder for downloaded images when the bucket is not a folder; default: `cache` in BRAIN_HOME.
    """

    def __init__(self, bucket: Bucket, cache: Path | None = None) -> None:
        self._bucket = bucket
        self._cache = cache

    def write(self, asset: str, value: Any) -> str:
        """Keep a value; its type decides the format.

        Returns:
            The key under which it was written.

        Raises:
            TypeError: there is no format for this type.
            StorageError: the bucket is away or full; the former value can still be read.
        """
        if isinstance(value, ImageSet):
            return write_images(self._bucket, asset, value.images, _image_table(value))
        form = _format_of(type(value))
        key = asset_key(asset, f"value.{form.extension}")
        self._bucket.write(key, form.encoded(value))
        return key

    def read(self, asset: str, kind: type[Any]) -> Any:
        """The value of an asset as `kind` (DataFrame, ImageSet, Gate or a pydantic model).

        Raises:
            ObjectNotFound: the asset was never materialised.
            StorageError: the bucket is away or the object is damaged.
        """
        if issubclass(kind, ImageSet):
            return self._read_image_set(asset)
        form = _format_of(kind)
        key = asset_key(asset, f"value.{form.extension}")
        data = self._bucket.read(key)
        try:
            return form.decoded(kind, data)
        except (ValueError, KeyError, OSError, BundleError) as exc:
            raise StorageError(f"{key} is damaged: {exc}. Materialise {asset} again.") from exc

    def read_former(self, asset: str, kind: type[Any]) -> Any | None:
        """The value that an asset has before it is made again; None when it has none that is whole."""
        try:
            return self.read(asset, kind)
        except StorageError:
            return None

    def _read_image_set(self, asset: str) -> ImageSet:
        cache = self._cache or load_settings().home_path / "cache"
        images, table = read_images(self._bucket, asset, cache)
        try:
            return _image_set(images, table)
        except (ValueError, KeyError) as exc:
            raise StorageError(f"The table of {asset} is damaged: {exc}. Materialise {asset} again.") from exc


def read_table(bucket: Bucket, key: str) -> pd.DataFrame:
    """The Parquet table at a key.

    Raises:
        ObjectNotFound: there is none.
        StorageError: the bucket is away.
    """
    return _parquet_table(bucket.read(key))


def version_of(table: pd.DataFrame) -> str:
    """Hash of a table's content: 16 hexadecimal digits, the same for the same rows in the same order."""
    return hashlib.sha256(table.to_json(orient="split", date_format="iso").encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Format:
    """How values of one type, and of those derived from it, are kept in one file."""

    kind: type[Any]
    extension: str
    encoded: Callable[[Any], bytes]
    decoded: Callable[[type[Any], bytes], Any]


_FORMATS = (
    _Format(pd.DataFrame, "parquet", lambda table: table.to_parquet(index=False), lambda _, data: _parquet_table(data)),
    _Format(Gate, "npz", lambda gate: gate.to_bytes(), lambda kind, data: kind.from_bytes(data)),
    _Format(
        BaseModel,
        "json",
        lambda record: record.model_dump_json(indent=2).encode(),
        lambda kind, data: kind.model_validate_json(data),
    ),
)


def _format_of(kind: type[Any]) -> _Format:
    for form in _FORMATS:
        if issubclass(kind, form.kind):
            return form
    raise TypeError(f"Assets cannot keep values of type {kind.__name__}.")


def _parquet_table(data: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(data))


def _image_table(images: ImageSet) -> pd.DataFrame:
    columns = {"key": images.keys, "label": images.labels, "group": images.groups, "recipe": images.recipes}
    return pd.DataFrame(columns | dict(zip(BOX_COLUMNS, images.boxes.T, strict=True)))


def _image_set(images: ImageArray, table: pd.DataFrame) -> ImageSet:
    return ImageSet(
        images,
        labels=table["label"].to_numpy(np.int64),
        groups=table["group"].to_numpy(np.int64),
        keys=table["key"].to_numpy(np.str_),
        boxes=table[list(BOX_COLUMNS)].to_numpy(np.float32),
        recipes=table["recipe"].to_numpy(np.str_),
    )
