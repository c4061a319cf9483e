"""Small, fast images and folders of them, for the tests of the data half."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from brain_assets.ml.ingestion import Progress, ingest
from brain_assets.ml.sources import FolderSource, Source
from brain_core.descriptors import histogram, thumbnail
from brain_core.imaging import encode_jpeg
from brain_core.storage import Bucket

LISTED = ("Training/glioma/a.jpg", "Training/pituitary/b.jpg", "Testing/glioma/c.jpg", "Testing/notumor/d.jpg")


def distinct_pixels(seed: int, size: int = 64) -> NDArray[np.uint8]:
    """Smooth random pixels, uint8 (size, size); two seeds are never near-duplicates."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)


def distinct_jpeg(seed: int, size: int = 64) -> bytes:
    return encode_jpeg(distinct_pixels(seed, size), 95)


def write_images(root: Path, paths: tuple[str, ...] = LISTED) -> Path:
    """A folder with a distinct JPEG at each path."""
    for seed, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(distinct_jpeg(seed))
    return root


def statistics_of(images: dict[str, NDArray[np.uint8]], label: str = "glioma") -> pd.DataFrame:
    """The columns of `image_statistics` that the duplicate finder and the splits use."""
    return pd.DataFrame(
        {
            "key": list(images),
            "label": label,
            "pixel_sha256": [pixels.tobytes().hex() for pixels in images.values()],
            "histogram": [histogram(pixels) for pixels in images.values()],
            "thumbnail": [thumbnail(pixels).tobytes() for pixels in images.values()],
        }
    )


def ingest_all(source: Source, bucket: Bucket, on_progress: Progress | None = None) -> pd.DataFrame:
    """Ingest all that a source lists."""
    return ingest(source, bucket, source.list(), on_progress)


def through_parquet(table: pd.DataFrame) -> pd.DataFrame:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return pd.read_parquet(io.BytesIO(buffer.getvalue()))


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """A source folder in the published layout with four images."""
    return write_images(tmp_path / "source")


@pytest.fixture(scope="session")
def real_subset(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Every twelfth real image, as links, in the published layout; for tests that are marked `real_data`."""
    origin = Path(os.environ["BRAIN_TEST_DATA"]).resolve() / "brain-tumor-mri"
    root = tmp_path_factory.mktemp("real")
    for image in FolderSource(origin).list()[::12]:
        link = root / image.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(origin / image.path)
    return FolderSource(root)
