import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets import shards
from brain_assets.shards import ShardedImages, read_images, row_numbers, write_images
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import LocalBucket

ASSET = "augmented_dataset"
FOLDER = f"assets/{ASSET}/images/"


class FullBucket(LocalBucket):
    """A disk that takes so many writes more."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.writes = writes

    def write(self, key: str, data: bytes) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise StorageError(f"The bucket {self.root} cannot be written: {os.strerror(errno.ENOSPC)}.")
        super().write(key, data)


class FarBucket:
    """A bucket that is no folder on this machine, and counts what is read from it."""

    def __init__(self, bucket: LocalBucket) -> None:
        self._bucket = bucket
        self.read_keys: list[str] = []
        self.write, self.delete, self.exists, self.keys = bucket.write, bucket.delete, bucket.exists, bucket.keys

    def read(self, key: str) -> bytes:
        self.read_keys.append(key)
        return self._bucket.read(key)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 4)


def pixels(count: int, seed: int = 0, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"key": [f"k{n}" for n in range(count)]})


def write(bucket: LocalBucket, images: np.ndarray) -> str:
    return write_images(bucket, ASSET, images, rows(len(images)))


def read(bucket: LocalBucket) -> np.ndarray:
    return read_images(bucket, ASSET, Path("unused"))[0][:]


def files(bucket: LocalBucket) -> list[str]:
    return list(bucket.keys(FOLDER))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 11])
def test_images_and_rows_come_back_as_they_were(bucket: LocalBucket, count: int):
    write(bucket, pixels(count))
    images, table = read_images(bucket, ASSET, Path("unused"))
    assert images.shape == (count, 8, 8, 1)
    assert np.array_equal(images[:], pixels(count))
    pd.testing.assert_frame_equal(table, rows(count))
    assert len(files(bucket)) == -(-count // 4) + 1


def test_images_are_mapped_not_loaded(bucket: LocalBucket):
    write(bucket, pixels(5))
    images, _ = read_images(bucket, ASSET, Path("unused"))
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in images._arrays)


@pytest.mark.parametrize(
    "index",
    [3, -1, slice(None), slice(2, 9, 3), slice(None, None, -1), slice(5, 2), [10, 0, 0, 7], [], [[1, 2], [3, 10]]],
    ids=str,
)
def test_images_are_chosen_as_numpy_chooses_them(index):
    whole = pixels(11)
    images = ShardedImages([whole[:4], whole[4:5], whole[5:5], whole[5:]], (8, 8, 1))
    wanted = np.array(index, np.int64) if isinstance(index, list) else index
    assert np.array_equal(images[index], whole[wanted])
    assert images[index].shape == whole[wanted].shape


def test_a_mask_chooses_images():
    whole = pixels(6)
    images = ShardedImages([whole[:4], whole[4:]], (8, 8, 1))
    mask = np.array([True, False, False, True, True, False])
    assert np.array_equal(images[mask], whole[mask])


def test_what_was_asked_for_is_a_copy():
    whole = pixels(4)
    chosen = ShardedImages([whole], (8, 8, 1))[[0]]
    chosen[:] = 0
    assert whole[0].any()


@pytest.mark.parametrize("index", [11, -12, [0, 11], 1.5, np.array([True]), "k1"])
def test_other_indices_are_refused(index):
    with pytest.raises(IndexError, match="11"):
        row_numbers(index, 11)


def test_the_images_become_one_array_only_by_a_copy():
    whole = pixels(6)
    images = ShardedImages([whole[:4], whole[4:]], (8, 8, 1))
    assert np.array_equal(np.asarray(images), whole)
    assert np.asarray(images, np.float32).dtype == np.float32
    assert images.nbytes == whole.nbytes
    with pytest.raises(ValueError, match="without a copy"):
        np.array(images, copy=False)


def test_arrays_of_another_type_or_shape_are_refused():
    for array in (np.zeros((1, 8, 8, 1)), np.zeros((1, 4, 8, 1), np.uint8)):
        with pytest.raises(ValueError, match="not uint8"):
            ShardedImages([array], (8, 8, 1))


def test_images_are_asked_for_shard_by_shard(bucket: LocalBucket):
    class Watched(ShardedImages):
        most = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            self.most = max(self.most, len(found))
            return found

    images = Watched([pixels(11)], (8, 8, 1))
    write_images(bucket, ASSET, images, rows(11))
    assert images.most == 4


def test_a_new_value_removes_the_files_of_the_former(bucket: LocalBucket):
    write(bucket, pixels(11))
    write(bucket, pixels(3, seed=1))
    assert np.array_equal(read(bucket), pixels(3, seed=1))
    assert len(files(bucket)) == 2


def test_unchanged_shards_are_not_written_again(bucket: LocalBucket):
    write(bucket, pixels(8))
    before = {key: (bucket.root / key).stat().st_mtime_ns for key in files(bucket)}
    write(bucket, np.concatenate([pixels(8), pixels(1, seed=1)]))
    kept = [key for key in files(bucket) if (bucket.root / key).stat().st_mtime_ns == before.get(key)]
    assert len(kept) == 2


def test_a_reader_keeps_the_value_that_it_opened(bucket: LocalBucket):
    write(bucket, pixels(5))
    images, _ = read_images(bucket, ASSET, Path("unused"))
    write(bucket, pixels(5, seed=1))
    assert np.array_equal(images[:], pixels(5))


@pytest.mark.parametrize("writes", range(5))
def test_a_full_disk_leaves_the_former_value_and_gives_the_space_back(bucket: LocalBucket, writes: int):
    write(bucket, pixels(6))
    before = files(bucket)
    with pytest.raises(StorageError, match=f"{ASSET}.*No space left") if writes < 4 else pytest.raises(StorageError):
        write(FullBucket(bucket.root, writes), pixels(11, seed=1))
    assert np.array_equal(read(bucket), pixels(6))
    if writes < 4:
        assert files(bucket) == before
    write(bucket, pixels(11, seed=1))
    assert np.array_equal(read(bucket), pixels(11, seed=1))
    assert len(files(bucket)) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system needs root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk_leaves_the_former_value(small_disk: Path):
    bucket = LocalBucket(small_disk)
    few, many = pixels(4, size=128), pixels(16, seed=1, size=128)
    write(bucket, few)
    with pytest.raises(StorageError, match=f"{ASSET} could not be kept, its former value stays: .*No space left"):
        write(bucket, many)
    assert np.array_equal(read(bucket), few)
    assert sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file()) < 100_000


def test_an_interrupt_leaves_the_former_value(bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch):
    write(bucket, pixels(6))
    before = files(bucket)

    class Interrupted(ShardedImages):
        def __getitem__(self, index):
            if index.start:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    with pytest.raises(KeyboardInterrupt):
        write_images(bucket, ASSET, Interrupted([pixels(11, seed=1)], (8, 8, 1)), rows(11))
    assert np.array_equal(read(bucket), pixels(6))
    assert files(bucket) == before


def test_what_a_killed_run_left_is_removed_with_the_next_value(bucket: LocalBucket):
    bucket.write(f"{FOLDER}{'0' * 64}.npy", b"left")
    write(bucket, pixels(1))
    assert len(files(bucket)) == 2


def test_two_runs_at_once_leave_no_value_with_missing_files(bucket: LocalBucket):
    class OtherRun(ShardedImages):
        def __getitem__(self, index):
            if index.start:
                write(bucket, pixels(2, seed=2))
            return super().__getitem__(index)

    with pytest.raises(StorageError, match="Another run replaced augmented_dataset"):
        write_images(bucket, ASSET, OtherRun([pixels(8)], (8, 8, 1)), rows(8))
    assert np.array_equal(read(bucket), pixels(2, seed=2))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    other = next(other for other in path.parent.glob("*.npy") if other != path)
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize("harm", [damage, swap, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_damaged_swapped_or_missing_file_names_the_asset(bucket: LocalBucket, harm, kind: str):
    write(bucket, pixels(8))
    harm(next((bucket.root / FOLDER).glob(f"*.{kind}")))
    with pytest.raises(StorageError, match=f"{ASSET} are damaged.*Materialise {ASSET} again"):
        read(bucket)
    write(bucket, pixels(8))
    assert np.array_equal(read(bucket), pixels(8))


@pytest.mark.parametrize("index", [b"", b"{}", b"[1]", b"\xff"])
def test_a_damaged_index_names_the_asset(bucket: LocalBucket, index: bytes):
    key = write(bucket, pixels(1))
    bucket.write(key, index)
    with pytest.raises(StorageError, match=f"Materialise {ASSET} again"):
        read(bucket)


def test_an_index_that_points_elsewhere_is_refused(bucket: LocalBucket):
    key = write(bucket, pixels(1))
    name = next(Path(key).stem for key in files(bucket) if key.endswith("npy"))
    bucket.write(key, bucket.read(key).replace(name.encode(), b"../../../secret"))
    with pytest.raises(StorageError, match="sha256"):
        read(bucket)


def test_objects_are_never_unpickled(bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch):
    pickled = np.array([{"a": 1}] * 2, dtype=object).reshape(2, 1, 1, 1)
    with pytest.raises(ValueError, match="allow_pickle"):
        write(bucket, pickled)
    assert files(bucket) == []


def test_an_asset_that_was_never_made_is_not_found(bucket: LocalBucket):
    with pytest.raises(ObjectNotFound):
        read(bucket)


def test_images_of_a_far_bucket_are_downloaded_once_and_checked(bucket: LocalBucket, tmp_path: Path):
    write(bucket, pixels(8))
    far = FarBucket(bucket)
    for _ in range(2):
        images, _ = read_images(far, ASSET, tmp_path / "cache")
        assert np.array_equal(images[:], pixels(8))
    assert len([key for key in far.read_keys if key.startswith(FOLDER)]) == 3


def test_a_damaged_download_is_downloaded_again(bucket: LocalBucket, tmp_path: Path):
    write(bucket, pixels(8))
    far, cache = FarBucket(bucket), tmp_path / "cache"
    read_images(far, ASSET, cache)
    damage(next((cache / FOLDER).glob("*.npy")))
    assert np.array_equal(read_images(far, ASSET, cache)[0][:], pixels(8))


def test_the_cache_keeps_nothing_of_a_former_value(bucket: LocalBucket, tmp_path: Path):
    far, cache = FarBucket(bucket), tmp_path / "cache"
    for seed in range(3):
        write(bucket, pixels(8, seed))
        read_images(far, ASSET, cache)
    assert len(list((cache / FOLDER).iterdir())) == 3


def test_a_value_that_is_replaced_while_it_is_opened_is_read_anew(bucket: LocalBucket, tmp_path: Path):
    write(bucket, pixels(8))

    class Replaced(FarBucket):
        def read(self, key: str) -> bytes:
            data = super().read(key)
            if len(self.read_keys) == 1:
                write(bucket, pixels(5, seed=1))
            return data

    assert np.array_equal(read_images(Replaced(bucket), ASSET, tmp_path / "cache")[0][:], pixels(5, seed=1))
