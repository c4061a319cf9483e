"""Which images of the public data set are CT, although it calls them MRI.

About one in 14 of its groups without a tumour, and two of those with a meningioma, are slices of brain CT. A gate that
took them for brain MRI would let brain CT through; as examples of what is to be refused they teach it best. The table
holds their perceptual hashes, as `python bench/public_tomograms.py DATA NAME…` makes it of files that somebody has
looked at; it holds no pixels.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.fingerprints import perceptual_hashes
from brain_core.descriptors import thumbnail
from brain_core.imaging import DETAIL_SIZE

PUBLIC_TOMOGRAMS_FILE = Path(__file__).with_name("public_tomograms.parquet")

_MAX_DIFFERING_BITS = 8
"""See `fingerprints.perceptual_hashes`: so far is a copy in another size at most."""


def is_tomogram(statistics: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each image is a known CT slice, or a copy of one in another size or encoding: bool (N,).

    Args:
        statistics: `detail`, see `statistics.image_statistics`.
    """
    hashes = detail_hashes(statistics)
    nearest = np.full(len(hashes), 8 * hashes.shape[1])
    for known in _known_hashes():
        nearest = np.minimum(nearest, np.bitwise_count(hashes ^ known).sum(axis=1))
    return nearest <= _MAX_DIFFERING_BITS


def detail_hashes(statistics: pd.DataFrame) -> NDArray[np.uint8]:
    """Perceptual hash of each image, uint8 (N, 16), from its `detail`."""
    fines = np.frombuffer(b"".join(statistics["detail"]), np.uint8).reshape(-1, DETAIL_SIZE, DETAIL_SIZE)
    thumbnails = [thumbnail(fine, fine) for fine in fines]
    return perceptual_hashes(np.stack(thumbnails)) if thumbnails else np.empty((0, 16), np.uint8)


@cache
def _known_hashes() -> NDArray[np.uint8]:
    table = pd.read_parquet(PUBLIC_TOMOGRAMS_FILE)
    return np.frombuffer(b"".join(table["hash"]), np.uint8).reshape(len(table), -1)
