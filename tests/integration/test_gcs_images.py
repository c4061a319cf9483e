"""Images in shards on a Google Cloud Storage emulator."""

import numpy as np
import pytest

from brain_assets import shards
from brain_assets.asset_store import AssetStore, ImageSet
from brain_core.errors import StorageError
from brain_core.storage import GcsBucket


@pytest.fixture
def bucket(gcs_bucket, gcs_client) -> GcsBucket:
    return GcsBucket(gcs_bucket.name, "some/prefix", gcs_client)


def images(seed: int) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 16, 1), dtype=np.uint8)
    return ImageSet(pixels, np.arange(9) % 4, np.arange(9), np.array([f"k{n}" for n in range(9)]))


def test_images_are_written_replaced_and_mapped_from_a_cache(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 4)
    store = AssetStore(bucket, tmp_path)
    for seed in (0, 1):
        store.write("augmented_dataset", images(seed))
        again = store.read("augmented_dataset", ImageSet)
        np.testing.assert_array_equal(again.images[:], images(seed).images)
        assert again.keys.tolist() == images(seed).keys.tolist()
    assert len(list(bucket.keys("assets/augmented_dataset/images/"))) == 4
    assert len(list((tmp_path / "assets/augmented_dataset/images").iterdir())) == 4


def test_a_damaged_shard_names_the_asset(bucket, tmp_path):
    store = AssetStore(bucket, tmp_path)
    store.write("augmented_dataset", images(0))
    shard = next(key for key in bucket.keys("assets/") if key.endswith(".npy"))
    bucket.write(shard, b"damaged")
    with pytest.raises(StorageError, match="Materialise augmented_dataset again"):
        store.read("augmented_dataset", ImageSet)
