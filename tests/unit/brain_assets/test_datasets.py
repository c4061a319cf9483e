import errno
import io
import os
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import AssetStore, ImageSet
from brain_assets.ml import datasets
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.datasets import (
    augmented_image_set,
    image_set,
    images_that_are_there,
    label_indices,
    new_copies,
    source_of,
    training_data,
    training_table,
)
from brain_core.errors import StorageError
from brain_core.imaging import MODEL_SIZE, encode_png
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_pixels


def splits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": ["a", "b", "c"],
            "label": ["glioma", "notumor", "pituitary"],
            "group": [0, 1, 2],
            "part": ["train", "validation", "test"],
            "source": ["own"] * 3,
            "pixel_sha256": ["0a", "0b", "0c"],
        }
    )


def feedback(**columns) -> pd.DataFrame:
    rows = {"key": ["up/x", "up/y"], "label": ["glioma"] * 2, "is_used": [True, False], "pixel_sha256": ["1a", "1b"]}
    return pd.DataFrame(rows | columns)


def test_test_images_are_never_in_the_training_table():
    table = training_table(splits(), feedback())
    assert table["key"].tolist() == ["a", "b", "up/x"]
    assert table["part"].tolist() == ["train", "validation", "train"]
    assert source_of(table) == "own"
    assert table["pixel_sha256"].tolist() == ["0a", "0b", "1a"]


def test_a_split_of_an_earlier_version_trains_without_knowing_the_pixels():
    table = training_table(splits().drop(columns="pixel_sha256"), feedback().iloc[:0])
    assert table["key"].tolist() == ["a", "b"]


def test_without_corrections_only_the_source_is_trained_on():
    assert set(training_table(splits(), feedback().iloc[:0])["origin"]) == {"source"}


def test_a_corrected_image_counts_what_it_is_told_to_and_is_a_group_of_its_own():
    table = training_table(splits(), feedback(is_used=[True, True]), feedback_weight=2.5)
    corrected = table[table["origin"] == "feedback"]
    assert corrected["weight"].tolist() == [2.5, 2.5]
    assert table["group"].is_unique
    images = ImageSet(np.zeros((3, 8, 8, 1), np.uint8), np.zeros(3, int), np.arange(3), np.array(["a", "up/y", "up/x"]))
    assert training_data(images, images, table).weights.tolist() == [1.0, 2.5, 2.5]
    assert training_data(images, images).weights.tolist() == [1.0] * 3


def test_corrected_images_that_were_erased_meanwhile_are_left_out(bucket):
    bucket.write("up/x", b"image")
    table = training_table(splits(), feedback(is_used=[True, True]))
    assert images_that_are_there(table, bucket)["key"].tolist() == ["a", "b", "up/x"]


def test_every_block_of_images_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "BLOCK_IMAGES", 2)
    bucket, told = LocalBucket(tmp_path), []
    for seed in range(5):
        bucket.write(str(seed), encode_png(distinct_pixels(seed)))
    table = pd.DataFrame({"key": [str(seed) for seed in range(5)], "label": "glioma", "group": 0, "origin": "source"})
    image_set(table, bucket, bucket, on_progress=lambda done, count: told.append((done, count)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_corrected_images_come_from_the_inference_bucket(tmp_path):
    data, inference = LocalBucket(tmp_path / "data"), LocalBucket(tmp_path / "inference")
    for value, bucket, key in ((10, data, "a"), (20, data, "b"), (30, inference, "up/x")):
        bucket.write(key, encode_png(np.full((8, 8), value, np.uint8)))
    images = image_set(training_table(splits(), feedback()), data, inference)
    assert images.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert images.labels.tolist() == [0, 2, 0]
    assert images.groups.tolist() == [0, 1, 3]
    copies = augmented_image_set(images, AugmentationConfig(copies=2))
    assert len(copies) == 9
    assert copies.keys.tolist() == ["a", "b", "up/x"] * 3
    np.testing.assert_array_equal(copies.images[:3], images.images)


def slices(tmp_path) -> tuple[LocalBucket, pd.DataFrame]:
    """A bucket with five images and their table."""
    bucket = LocalBucket(tmp_path)
    for seed in range(5):
        bucket.write(f"k{seed}", encode_png(distinct_pixels(seed)))
    columns = {"key": [f"k{seed}" for seed in range(5)], "label": "glioma", "group": range(5), "origin": "source"}
    return bucket, pd.DataFrame(columns)


def test_images_lie_on_disk_in_the_order_of_the_table_whatever_the_blocks(tmp_path, monkeypatch):
    bucket, table = slices(tmp_path)
    whole = image_set(table, bucket, bucket).images
    monkeypatch.setattr(datasets, "BLOCK_IMAGES", 2)
    images = image_set(table.iloc[::-1], bucket, bucket).images
    np.testing.assert_array_equal(images[:], whole[::-1])
    assert isinstance(images, np.memmap)


def test_no_rows_give_no_images(tmp_path):
    bucket, table = slices(tmp_path)
    assert image_set(table.iloc[:0], bucket, bucket).images.shape == (0, MODEL_SIZE, MODEL_SIZE, 1)


def test_a_full_temporary_folder_says_what_to_do(tmp_path, monkeypatch):
    bucket, table = slices(tmp_path)

    class FullFile(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: FullFile())
    with pytest.raises(StorageError, match=r"No space left on device.*TMPDIR"):
        image_set(table, bucket, bucket)


def test_boxes_come_from_the_annotations_by_key(tmp_path):
    bucket, table = slices(tmp_path)
    annotations = pd.DataFrame({"key": ["k3", "k1", "other"], "patient": ["p", None, "q"]})
    annotations[["x0", "y0", "x1", "y1"]] = [[0.1, 0.2, 0.3, 0.4], [np.nan] * 4, [0.0, 0.0, 1.0, 1.0]]
    boxes = image_set(table, bucket, bucket, annotations).boxes
    assert boxes.dtype == np.float32
    assert boxes[3] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert np.isnan(boxes[[0, 1, 2, 4]]).all()
    assert np.isnan(image_set(table, bucket, bucket).boxes).all()


def test_copies_keep_group_and_key_and_are_stored_and_taken_again(tmp_path):
    bucket, table = slices(tmp_path)
    config, store = AugmentationConfig(copies=2), AssetStore(bucket)
    annotations = pd.DataFrame({"key": ["k0"], "x0": [0.2], "y0": [0.3], "x1": [0.5], "y1": [0.6]})
    first = augmented_image_set(image_set(table[:4], bucket, bucket, annotations), config)
    store.write("augmented_dataset", first)
    earlier = store.read("augmented_dataset", ImageSet)
    np.testing.assert_array_equal(earlier.images[:], first.images[:])
    assert np.isnan(earlier.boxes[:, 0]).tolist() == [False, True, True, True] * 3
    originals = image_set(table, bucket, bucket)
    second = augmented_image_set(originals, config, earlier)
    assert (new_copies(first, None), new_copies(second, earlier)) == (8, 2)
    np.testing.assert_array_equal(second.images[:], augmented_image_set(originals, config).images[:])
    assert second.groups.tolist() == [0, 1, 2, 3, 4] * 3
    store.write("augmented_dataset", second)
    np.testing.assert_array_equal(store.read("augmented_dataset", ImageSet).images[:], second.images[:])


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr("brain_assets.shards.IMAGES_PER_SHARD", 16)
    monkeypatch.setattr(datasets, "BLOCK_IMAGES", 16)
    bucket, table = slices(tmp_path)
    peaks = []
    # The first round is a warm-up: what is imported and cached then is not of interest.
    for times in (2, 10, 40):
        many = pd.concat([table] * times, ignore_index=True)
        tracemalloc.start()
        copies = augmented_image_set(image_set(many, bucket, bucket), AugmentationConfig(copies=3))
        AssetStore(bucket).write("augmented_dataset", copies)
        assert len(AssetStore(bucket).read("augmented_dataset", ImageSet)) == 20 * times
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 600 images more are 9.8 MB of pixels.
    assert peaks[2] < peaks[1] + 1_000_000


def test_training_takes_batches_from_stored_images(tmp_path):
    bucket, table = slices(tmp_path)
    originals = image_set(table, bucket, bucket)
    AssetStore(bucket).write("augmented_dataset", augmented_image_set(originals, AugmentationConfig()))
    data = training_data(AssetStore(bucket).read("augmented_dataset", ImageSet), originals)
    batch = data.images[np.array([9, 0, 4])]
    batch[:] = 0
    np.testing.assert_array_equal(data.images[np.array([0, 4])], originals.images[[0, 4]])
    assert isinstance(data.validation_images, np.ndarray)


def test_labels_become_their_place_in_the_classes():
    assert label_indices(["pituitary", "glioma"]).tolist() == [3, 0]
