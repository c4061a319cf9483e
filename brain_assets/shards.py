"""Many images as files of a bounded size that are mapped into memory, so that no process ever holds all of them.

An asset's images lie under `assets/<asset>/images/`: NumPy files (`.npy`) of at most `IMAGES_PER_SHARD` images and a
table (Parquet) with one row an image, each named by the SHA-256 of its content. `assets/<asset>/value.images.json`
names those that make up the value. It is written last, so that a crash or a full disk leaves the former value whole.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from brain_core.bundle import sha256
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import Bucket, LocalBucket, asset_key

INDEX_FILE = "value.images.json"
IMAGES_PER_SHARD = 2048
"""32 MiB of 128 x 128 grey images: the memory that writing takes, whatever the size of the data set."""

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ImageArray(Protocol):
    """What NumPy arrays, `ShardedImages` and `augmentation.AugmentedImages` share: uint8 (N, S, S, 1), read only."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, then the shape of each."""

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


class Shard(BaseModel):
    """A file of images: its content's hash, which is its name, and how many there are in it."""

    sha256: Hash
    images: int


class ImageIndex(BaseModel):
    """What an asset's value is made of.

    Attributes:
        image_shape: of one image, (S, S, 1).
        shards: the files of images, in order.
        table_sha256: hash and name of the table.
    """

    image_shape: tuple[int, int, int]
    shards: list[Shard]
    table_sha256: Hash

    def files(self) -> list[str]:
        """Names of all files that belong to the value."""
        return [_shard_file(shard.sha256) for shard in self.shards] + [_table_file(self.table_sha256)]


class ShardedImages:
    """Images of several arrays as if they were one, uint8 (N, S, S, 1); what is asked for is copied into memory.

    Args:
        arrays: uint8 (n, S, S, 1) each, usually mapped from files.
        image_shape: of one image, (S, S, 1).

    Raises:
        ValueError: an array has another type or shape.
    """

    def __init__(self, arrays: list[NDArray[np.uint8]], image_shape: tuple[int, int, int]) -> None:
        for array in arrays:
            if array.dtype != np.uint8 or array.shape[1:] != tuple(image_shape):
                raise ValueError(f"an array is {array.dtype} {array.shape}, not uint8 (n, *{image_shape}).")
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays], dtype=np.int64)
        self.shape = (int(self._ends[-1]) if arrays else 0, *image_shape)
        self.dtype = np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, in memory or not."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        rows = row_numbers(index, len(self))
        found = np.empty((rows.size, *self.shape[1:]), np.uint8)
        places = np.searchsorted(self._ends, rows.ravel(), side="right")
        for place in np.unique(places):
            is_here = places == place
            array = self._arrays[place]
            found[is_here] = array[rows.ravel()[is_here] - (self._ends[place] - len(array))]
        return found.reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("Images in several files cannot become one array without a copy.")
        return self[:].astype(dtype or np.uint8, copy=False)


def row_numbers(index: Any, count: int) -> NDArray[np.int64]:
    """The rows that a NumPy-style index of the first axis selects: a number, a slice, numbers or a mask.

    Raises:
        IndexError: a row is out of range, or it is another kind of index.
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(count), dtype=np.int64)
    rows = np.asarray(index)
    if rows.dtype == bool and rows.shape == (count,):
        return np.flatnonzero(rows).astype(np.int64)
    if rows.size == 0:
        return rows.astype(np.int64)
    if not np.issubdtype(rows.dtype, np.integer):
        raise IndexError(f"Images are chosen by numbers, a slice or a mask of {count} booleans, not by {index!r}.")
    if rows.min() < -count or rows.max() >= count:
        raise IndexError(f"There are {count} images; {rows.min()} to {rows.max()} were asked for.")
    return np.where(rows < 0, rows + count, rows).astype(np.int64)


def write_images(bucket: Bucket, asset: str, images: ImageArray, table: pd.DataFrame) -> str:
    """Replace an asset's images; they are asked for and written shard by shard.

    A file that is there already is not written again, and what the new value does not refer to is removed at the end.

    Args:
        bucket: where to.
        asset: whose value.
        images: uint8 (N, S, S, 1).
        table: N rows.

    Returns:
        The key of the index.

    Raises:
        StorageError: the bucket is away or full, or another run replaced the images meanwhile; what was there before
            can still be read.
    """
    files = _FileWriter(bucket, asset)
    try:
        shards = [files.write_shard(part) for part in _parts(images)]
        table_sha256 = files.write(_table_file, table.to_parquet(index=False))
    except BaseException as exc:
        files.remove_written()
        if isinstance(exc, StorageError):
            raise StorageError(f"{asset} could not be kept, its former value stays: {exc}") from exc
        raise
    index = ImageIndex(image_shape=_image_shape(images), shards=shards, table_sha256=table_sha256)
    files.check_all_there(index)
    # An index whose writing failed may be there nevertheless: what it refers to must stay.
    key = asset_key(asset, INDEX_FILE)
    bucket.write(key, index.model_dump_json(indent=2).encode())
    _keep_only(bucket, asset, index)
    return key


def read_images(bucket: Bucket, asset: str, cache: Path) -> tuple[ShardedImages, pd.DataFrame]:
    """An asset's images, mapped into memory, and their table.

    Every file's content is compared with its hash first.

    Args:
        bucket: where from.
        asset: whose value.
        cache: folder for what has to be downloaded; not used for a `LocalBucket`.

    Raises:
        ObjectNotFound: the asset was never materialised.
        StorageError: the bucket is away, or a file is missing, damaged or another one's.
    """
    data = bucket.read(asset_key(asset, INDEX_FILE))
    try:
        index = ImageIndex.model_validate_json(data)
        table = pd.read_parquet(_verified(bucket, asset, _table_file(index.table_sha256), cache))
        shards = [_verified(bucket, asset, _shard_file(shard.sha256), cache) for shard in index.shards]
        images = ShardedImages([np.load(path, mmap_mode="r", allow_pickle=False) for path in shards], index.image_shape)
        _check(index, images, table)
    except (ValueError, OSError, ObjectNotFound) as exc:
        if bucket.read(asset_key(asset, INDEX_FILE)) != data:
            return read_images(bucket, asset, cache)
        raise StorageError(f"The images of {asset} are damaged: {exc} Materialise {asset} again.") from exc
    if not isinstance(bucket, LocalBucket):
        _keep_only(LocalBucket(cache), asset, index)
    return images, table


class _FileWriter:
    """Writes an asset's files under the hashes of their contents, and remembers which are new."""

    def __init__(self, bucket: Bucket, asset: str) -> None:
        self._bucket, self._asset = bucket, asset
        self._known = set(bucket.keys(_key(asset, "")))
        self._written: list[str] = []

    def write_shard(self, images: NDArray[np.uint8]) -> Shard:
        buffer = io.BytesIO()
        np.save(buffer, images, allow_pickle=False)
        return Shard(sha256=self.write(_shard_file, buffer.getvalue()), images=len(images))

    def write(self, file_of: Callable[[str], str], data: bytes) -> str:
        digest = sha256(data)
        key = _key(self._asset, file_of(digest))
        # The name alone is no proof: materialising again must repair a damaged file.
        if key not in self._known or sha256(self._bucket.read(key)) != digest:
            self._bucket.write(key, data)
            self._written += [] if key in self._known else [key]
        return digest

    def remove_written(self) -> None:
        """Give the space back; what cannot be removed now is removed with the next value."""
        with suppress(StorageError):
            for key in self._written:
                self._bucket.delete(key)

    def check_all_there(self, index: ImageIndex) -> None:
        there = set(self._bucket.keys(_key(self._asset, "")))
        if not there.issuperset(_key(self._asset, file) for file in index.files()):
            raise StorageError(f"Another run replaced {self._asset} at the same time. Materialise it again.")


def _key(asset: str, file: str) -> str:
    return asset_key(asset, f"images/{file}")


def _shard_file(digest: str) -> str:
    return f"{digest}.npy"


def _table_file(digest: str) -> str:
    return f"{digest}.parquet"


def _parts(images: ImageArray) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), IMAGES_PER_SHARD):
        yield images[start : start + IMAGES_PER_SHARD]


def _image_shape(images: ImageArray) -> tuple[int, int, int]:
    height, width, channels = images.shape[1:]
    return height, width, channels


def _keep_only(bucket: Bucket, asset: str, index: ImageIndex) -> None:
    """Remove files of former values; one that cannot be removed now is removed with the next value."""
    kept = {_key(asset, file) for file in index.files()}
    with suppress(StorageError):
        for key in set(bucket.keys(_key(asset, ""))) - kept:
            bucket.delete(key)


def _verified(bucket: Bucket, asset: str, file: str, cache: Path) -> Path:
    """Where a file lies on this machine's disk, after its content was compared with its name."""
    key = _key(asset, file)
    local = bucket if isinstance(bucket, LocalBucket) else LocalBucket(cache)
    path = local.root / key
    if local is not bucket and _hash_of(path) != path.stem:
        local.write(key, bucket.read(key))
    if (found := _hash_of(path)) != path.stem:
        raise ValueError(f"{key} is {'another file' if found else 'missing'}.")
    return path


def _hash_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _check(index: ImageIndex, images: ShardedImages, table: pd.DataFrame) -> None:
    if not len(images) == len(table) == sum(shard.images for shard in index.shards):
        raise ValueError(f"there are {len(images)} images and {len(table)} rows.")
