"""Which images are trained on, and their pixels."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.asset_store import ImageSet
from brain_assets.ml.augmentation import AugmentationConfig, augment
from brain_assets.ml.ingestion import load_tensors
from brain_assets.ml.training import TrainingData
from brain_core.labels import CLASSES
from brain_core.storage import Bucket

SOURCE = "source"
FEEDBACK = "feedback"
NO_GROUP = -1


def training_table(splits: pd.DataFrame, feedback: pd.DataFrame) -> pd.DataFrame:
    """Training and validation images: key, label, group, part, source and origin (`source` or `feedback`).

    Corrected uploads join the training part; their group is -1 since they were screened against the test images only.
    """
    known = splits.loc[splits["part"] != "test", ["key", "label", "group", "part", "source"]].assign(origin=SOURCE)
    used = feedback.loc[feedback["is_used"], ["key", "label"]]
    corrected = used.assign(group=NO_GROUP, part="train", source="upload", origin=FEEDBACK)
    return pd.concat([known, corrected], ignore_index=True) if len(corrected) else known.reset_index(drop=True)


def source_of(table: pd.DataFrame) -> str:
    """Name of the source that a training table's images come from: sample, public or own."""
    return str(table.loc[table["origin"] == SOURCE, "source"].iloc[0])


def training_data(augmented: ImageSet, validation: ImageSet) -> TrainingData:
    """What `training.train` takes."""
    return TrainingData(augmented.images, augmented.labels, validation.images, validation.labels)


def image_set(table: pd.DataFrame, data: Bucket, inference: Bucket) -> ImageSet:
    """The pixels of a table's rows, in its order; corrected uploads come from the inference bucket.

    Raises:
        StorageError: an image is missing or a bucket is away.
        InvalidImage: an image no longer decodes.
    """
    is_feedback = (table["origin"] == FEEDBACK).to_numpy()
    keys = table["key"].to_numpy(dtype=str)
    loaded = load_tensors(data, keys[~is_feedback].tolist())
    images = np.empty((len(table), *loaded.shape[1:]), np.uint8)
    images[~is_feedback] = loaded
    images[is_feedback] = load_tensors(inference, keys[is_feedback].tolist())
    return ImageSet(images, label_indices(table["label"]), table["group"].to_numpy(np.int64), keys)


def label_indices(labels: Iterable[str]) -> NDArray[np.int64]:
    """Class names as int64 indices into `labels.CLASSES`."""
    return np.array([CLASSES.index(label) for label in labels], dtype=np.int64)


def augmented_image_set(originals: ImageSet, config: AugmentationConfig) -> ImageSet:
    """The originals followed by their altered copies; a copy keeps the group and the key of its original."""
    images, labels = augment(originals.images, originals.labels, config)
    times = len(images) // max(1, len(originals))
    return ImageSet(images, labels, np.tile(originals.groups, times), np.tile(originals.keys, times))
