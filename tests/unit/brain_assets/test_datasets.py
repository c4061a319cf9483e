import numpy as np
import pandas as pd

from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.datasets import augmented_image_set, image_set, label_indices, source_of, training_table
from brain_core.imaging import encode_png
from brain_core.storage import LocalBucket


def splits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": ["a", "b", "c"],
            "label": ["glioma", "notumor", "pituitary"],
            "group": [0, 1, 2],
            "part": ["train", "validation", "test"],
            "source": ["own"] * 3,
        }
    )


def feedback(**columns) -> pd.DataFrame:
    return pd.DataFrame({"key": ["up/x", "up/y"], "label": ["glioma", "glioma"], "is_used": [True, False]} | columns)


def test_test_images_are_never_in_the_training_table():
    table = training_table(splits(), feedback())
    assert table["key"].tolist() == ["a", "b", "up/x"]
    assert table["part"].tolist() == ["train", "validation", "train"]
    assert source_of(table) == "own"


def test_without_corrections_only_the_source_is_trained_on():
    assert set(training_table(splits(), feedback().iloc[:0])["origin"]) == {"source"}


def test_corrected_images_come_from_the_inference_bucket(tmp_path):
    data, inference = LocalBucket(tmp_path / "data"), LocalBucket(tmp_path / "inference")
    for value, bucket, key in ((10, data, "a"), (20, data, "b"), (30, inference, "up/x")):
        bucket.write(key, encode_png(np.full((8, 8), value, np.uint8)))
    images = image_set(training_table(splits(), feedback()), data, inference)
    assert images.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert images.labels.tolist() == [0, 2, 0]
    assert images.groups.tolist() == [0, 1, -1]
    copies = augmented_image_set(images, AugmentationConfig(copies=2))
    assert len(copies) == 9
    assert copies.keys.tolist() == ["a", "b", "up/x"] * 3
    np.testing.assert_array_equal(copies.images[:3], images.images)


def test_labels_become_their_place_in_the_classes():
    assert label_indices(["pituitary", "glioma"]).tolist() == [3, 0]
