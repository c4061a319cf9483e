"""Numbers, histogram and thumbnail of every image, from one decode."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.ingestion import in_threads
from brain_core.descriptors import DESCRIPTOR_NAMES, HISTOGRAM_BINS, THUMBNAIL_SIZE, describe, histogram, thumbnail
from brain_core.imaging import decode
from brain_core.storage import Bucket

STATISTICS_COLUMNS = ("key", "label", *DESCRIPTOR_NAMES, "pixel_sha256", "histogram", "thumbnail")


def image_statistics(bucket: Bucket, manifest: pd.DataFrame) -> pd.DataFrame:
    """Statistics of the images that decode, in the manifest's order.

    Returns:
        `STATISTICS_COLUMNS`: the descriptors of `brain_core.descriptors`; `pixel_sha256` of the grey pixels and their
        shape; `histogram`, float32 (256,), sums to 1; `thumbnail`, the 1,024 bytes of uint8 (32, 32).

    Raises:
        ObjectNotFound: an image of the manifest is not in the bucket.
    """
    decodable = manifest[manifest["decodes"].astype(bool)]
    described = in_threads(lambda key: _describe_one(bucket, key), decodable["key"].tolist())
    table = pd.DataFrame(list(described), columns=[name for name in STATISTICS_COLUMNS if name != "label"])
    table.insert(1, "label", decodable["label"].to_numpy())
    return table


def class_histograms(statistics: pd.DataFrame) -> pd.DataFrame:
    """Mean histogram of each class: label, histogram (float32 (256,), sums to 1), count."""
    rows = [
        {"label": label, "histogram": stacked_histograms(images).mean(axis=0), "count": len(images)}
        for label, images in statistics.groupby("label", sort=True)
    ]
    return pd.DataFrame(rows, columns=["label", "histogram", "count"])


def stacked_histograms(statistics: pd.DataFrame) -> NDArray[np.float32]:
    """The histograms as float32 (N, 256)."""
    rows = [np.asarray(row, dtype=np.float32) for row in statistics["histogram"]]
    return np.stack(rows) if rows else np.empty((0, HISTOGRAM_BINS), dtype=np.float32)


def stacked_thumbnails(statistics: pd.DataFrame) -> NDArray[np.uint8]:
    """The thumbnails as uint8 (N, 32, 32)."""
    pixels = np.frombuffer(b"".join(statistics["thumbnail"]), dtype=np.uint8)
    return pixels.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)


def _describe_one(bucket: Bucket, key: str) -> dict[str, Any]:
    image = decode(bucket.read(key))
    return {
        "key": key,
        **describe(image).as_dict(),
        "pixel_sha256": hashlib.sha256(repr(image.grey.shape).encode() + image.grey.tobytes()).hexdigest(),
        "histogram": histogram(image.grey),
        "thumbnail": thumbnail(image.grey).tobytes(),
    }
