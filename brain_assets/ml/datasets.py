"""Which images are trained on, and their pixels."""

import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.asset_store import BOX_COLUMNS, ImageSet
from brain_assets.ml.augmentation import AugmentationConfig, augment
from brain_assets.ml.ingestion import Progress, load_tensors
from brain_assets.ml.training_data import TrainingData
from brain_core.errors import StorageError
from brain_core.imaging import MODEL_SIZE
from brain_core.labels import CLASSES
from brain_core.storage import Bucket

SOURCE = "source"
FEEDBACK = "feedback"
BLOCK_IMAGES = 512
"""So many images are decoded at a time."""


def training_table(splits: pd.DataFrame, feedback: pd.DataFrame, feedback_weight: float = 1.0) -> pd.DataFrame:
    """Training and validation images: key, label, group, part, source, pixel_sha256, origin, weight.

    `origin` is `source` or `feedback`. Corrected uploads that may be used join the training part, each as a group of
    its own; `feedback_weight` is what one of them counts in the loss, where an image of the source counts 1.
    """
    columns = ["key", "label", "group", "part", "source", "pixel_sha256"]
    # Splits of an earlier version do not know the pixels.
    known = splits[splits["part"] != "test"].reindex(columns=columns).assign(origin=SOURCE, weight=1.0)
    used = feedback.loc[feedback["is_used"], ["key", "label", "pixel_sha256"]]
    first = int(splits["group"].max()) + 1 if len(splits) else 0
    numbers = range(first, first + len(used))
    corrected = used.assign(
        group=numbers, part="train", source="upload", origin=FEEDBACK, weight=float(feedback_weight)
    )
    return pd.concat([known, corrected], ignore_index=True) if len(corrected) else known.reset_index(drop=True)


def source_of(table: pd.DataFrame) -> str:
    """Name of the source that a training table's images come from: sample, public or own."""
    return str(table.loc[table["origin"] == SOURCE, "source"].iloc[0])


def images_that_are_there(table: pd.DataFrame, inference: Bucket) -> pd.DataFrame:
    """The rows without corrected uploads that were erased or moved since the table was made.

    Raises:
        StorageError: the bucket is away.
    """
    is_upload = (table["origin"] == FEEDBACK).to_numpy()
    is_there = [not upload or inference.exists(key) for key, upload in zip(table["key"], is_upload, strict=True)]
    return table[is_there]


def training_data(augmented: ImageSet, validation: ImageSet, table: pd.DataFrame | None = None) -> TrainingData:
    """What `training.train` takes; each image counts what the training `table` says, 1 without it."""
    weights = np.empty(0)
    if table is not None and "weight" in table:
        by_key = table[table["part"] == "train"].drop_duplicates("key").set_index("key")["weight"]
        weights = by_key.reindex(augmented.keys.tolist()).fillna(1.0).to_numpy(np.float64)
    return TrainingData(
        augmented.images,
        augmented.labels,
        validation.images,
        validation.labels,
        augmented.boxes,
        augmented.groups,
        validation.groups,
        weights,
    )


def image_set(
    table: pd.DataFrame,
    data: Bucket,
    inference: Bucket,
    annotations: pd.DataFrame | None = None,
    on_progress: Progress | None = None,
) -> ImageSet:
    """The pixels of a table's rows, in its order; corrected uploads come from the inference bucket.

    The pixels lie in a nameless temporary file, so that memory does not grow with their number.

    Args:
        table: key, label, group and origin.
        data: bucket of the source's images.
        inference: bucket of the uploads.
        annotations: key and, as fractions of width and height, x0, y0, x1, y1 of the tumour, for those that are known.
        on_progress: told of every block of images.

    Raises:
        StorageError: an image is missing, a bucket is away or the temporary folder is full.
        InvalidImage: an image no longer decodes.
    """
    keys = table["key"].to_numpy(dtype=str)
    return ImageSet(
        _on_disk(_told(_blocks(table, data, inference), len(table), on_progress), len(table)),
        label_indices(table["label"]),
        table["group"].to_numpy(np.int64),
        keys,
        _boxes(keys, annotations),
    )


def label_indices(labels: Iterable[str]) -> NDArray[np.int64]:
    """Class names as int64 indices into `labels.CLASSES`."""
    return np.array([CLASSES.index(label) for label in labels], dtype=np.int64)


def augmented_image_set(originals: ImageSet, config: AugmentationConfig, earlier: ImageSet | None = None) -> ImageSet:
    """The originals followed by their altered copies, which are made when they are asked for.

    A copy keeps the label, the group and the key of its original; its box moves with the pixels.

    Args:
        originals: what to alter.
        config: how.
        earlier: a former result; copies of it are taken where original and configuration are unchanged.
    """
    known = (earlier.images, earlier.recipes) if earlier is not None else None
    augmented = augment(originals.images, config, originals.boxes, known)
    times = 1 + config.copies
    return ImageSet(
        augmented.images,
        np.tile(originals.labels, times),
        np.tile(originals.groups, times),
        np.tile(originals.keys, times),
        augmented.boxes,
        augmented.recipes,
    )


def new_copies(augmented: ImageSet, earlier: ImageSet | None) -> int:
    """How many copies `augmented_image_set` could not take from a former result."""
    known = set(earlier.recipes.tolist()) if earlier is not None else set()
    return sum(recipe not in known for recipe in augmented.recipes.tolist() if recipe)


def _blocks(table: pd.DataFrame, data: Bucket, inference: Bucket) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(table), BLOCK_IMAGES):
        block = table.iloc[start : start + BLOCK_IMAGES]
        is_feedback = (block["origin"] == FEEDBACK).to_numpy()
        keys = block["key"].to_numpy(dtype=str)
        images = np.empty((len(block), MODEL_SIZE, MODEL_SIZE, 1), np.uint8)
        images[~is_feedback] = load_tensors(data, keys[~is_feedback].tolist())
        images[is_feedback] = load_tensors(inference, keys[is_feedback].tolist())
        yield images


def _told(blocks: Iterable[NDArray[np.uint8]], count: int, on_progress: Progress | None) -> Iterator[NDArray[np.uint8]]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        if on_progress is not None:
            on_progress(done, count)


def _on_disk(blocks: Iterable[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    shape = (count, MODEL_SIZE, MODEL_SIZE, 1)
    if count == 0:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(prefix="brain-") as file:
            for block in blocks:
                file.write(block.data)
            file.flush()
            return np.memmap(file, np.uint8, "r", shape=shape)
    except OSError as exc:
        reason = f"The temporary folder {tempfile.gettempdir()} cannot take the images: {exc.strerror}."
        raise StorageError(f"{reason} Make room, or name another folder in TMPDIR.") from exc


def _boxes(keys: NDArray[np.str_], annotations: pd.DataFrame | None) -> NDArray[np.float32]:
    if annotations is None:
        return np.full((len(keys), 4), np.nan, np.float32)
    known = annotations.drop_duplicates("key").set_index("key")
    return known.reindex(keys)[list(BOX_COLUMNS)].to_numpy(np.float32)
