"""Numbers, histogram and thumbnail of every image, from one decode."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.ingestion import Progress, in_threads
from brain_core.descriptors import (
    DESCRIPTOR_NAMES,
    HISTOGRAM_BINS,
    MARGIN_NAMES,
    THUMBNAIL_SIZE,
    dark_margins,
    describe,
    histogram,
    thumbnail,
)
from brain_core.imaging import Encoding, decode, pixel_sha256
from brain_core.storage import Bucket

ENCODING_NAMES: tuple[str, ...] = tuple(Encoding.__dataclass_fields__)
STATISTICS_COLUMNS = (
    "key",
    "label",
    *DESCRIPTOR_NAMES,
    *MARGIN_NAMES,
    *ENCODING_NAMES,
    "pixel_sha256",
    "histogram",
    "thumbnail",
    "detail",
)

# Handing single images to the threads would cost a tenth of the time.
_CHUNK_IMAGES = 16


def image_statistics(bucket: Bucket, manifest: pd.DataFrame, on_progress: Progress | None = None) -> pd.DataFrame:
    """Statistics of the images that decode, in the manifest's order; each is read and decoded once.

    Args:
        bucket: where the images are.
        manifest: `key`, `label` and `decodes`.
        on_progress: told of every image.

    Returns:
        `STATISTICS_COLUMNS`: the descriptors and the dark margins of `brain_core.descriptors`; `imaging.Encoding`;
        `pixel_sha256` of the grey pixels and their shape; `histogram`, float32 (256,), sums to 1; `thumbnail`, the
        1,024 bytes of uint8 (32, 32); `detail`, the 4,096 bytes of uint8 (64, 64).

    Raises:
        ObjectNotFound: an image of the manifest is not in the bucket.
    """
    decodable = manifest[manifest["decodes"].astype(bool)]
    keys = decodable["key"].tolist()
    chunks = [keys[start : start + _CHUNK_IMAGES] for start in range(0, len(keys), _CHUNK_IMAGES)]
    rows: list[dict[str, Any]] = []
    for described in in_threads(lambda chunk: [_describe_one(bucket, key) for key in chunk], chunks):
        for row in described:
            rows.append(row)
            if on_progress is not None:
                on_progress(len(rows), len(keys))
    table = pd.DataFrame(rows, columns=[name for name in STATISTICS_COLUMNS if name != "label"])
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
        **vars(describe(image)),
        **dark_margins(image.grey),
        **vars(image.encoding),
        "pixel_sha256": pixel_sha256(image.grey),
        "histogram": histogram(image.grey, image.grey_counts),
        "thumbnail": thumbnail(image.grey, image.detail).tobytes(),
        "detail": image.detail.tobytes(),
    }
