"""Taking erased uploads out of what the pipeline keeps: shards of images, and tables with embeddings and hashes."""

from collections.abc import Callable, Set
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.asset_store import AssetStore, ImageSet
from brain_assets.shards import ImageArray, row_numbers
from brain_core.errors import ObjectNotFound
from brain_core.strays import upload_id

IMAGE_ASSETS = ("training_set", "augmented_dataset")
"""Assets whose images may be uploads; `keys` tells which."""

TABLE_ASSETS = {"feedback_set": "prediction_id", "recent_predictions": "id"}
"""Assets with a row an upload, and the column of its id."""


class RemainingImages:
    """Some of an array's images, read as they are asked for: uint8 (N, S, S, 1).

    Args:
        images: all of them.
        rows: int64 (N,), which ones.
    """

    def __init__(self, images: ImageArray, rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, then the shape of each."""
        return (len(self._rows), *self._images.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        return self._images[self._rows[row_numbers(index, len(self))]]


def purge(store: AssetStore, erased: Set[UUID]) -> dict[str, int]:
    """Write the values anew without what belongs to erased uploads; a value that holds none of it stays as it is.

    No run may be under way: it could write what it read before.

    Returns:
        How many rows or images were removed, by asset.

    Raises:
        StorageError: the bucket is away, or a value is damaged; it can be repeated.
    """
    without_images = partial(_without_images, erased)
    removed = {asset: _purge(store, asset, ImageSet, without_images) for asset in IMAGE_ASSETS}
    for asset, column in TABLE_ASSETS.items():
        removed[asset] = _purge(store, asset, pd.DataFrame, partial(_without_rows, erased, column))
    return {asset: count for asset, count in removed.items() if count}


def _purge(store: AssetStore, asset: str, kind: type[Any], remaining: Callable[[Any], Any]) -> int:
    try:
        value = store.read(asset, kind)
    except ObjectNotFound:
        return 0
    left = remaining(value)
    if len(left) < len(value):
        store.write(asset, left)
    return len(value) - len(left)


def _without_images(erased: Set[UUID], images: ImageSet) -> ImageSet:
    rows = np.array([row for row, key in enumerate(images.keys) if upload_id(str(key)) not in erased], np.int64)
    columns = {name: column[rows] for name, column in vars(images).items() if name != "images"}
    return replace(images, images=RemainingImages(images.images, rows), **columns)


def _without_rows(erased: Set[UUID], column: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[~table[column].astype(str).isin({str(one) for one in erased})].reset_index(drop=True)
