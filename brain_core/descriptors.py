"""Plain numbers that describe a slice: for the upload gate, the statistics and the drift report."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from brain_core.imaging import DecodedImage, resize

HISTOGRAM_BINS = 256
THUMBNAIL_SIZE = 32


@dataclass(frozen=True)
class Descriptors:
    """One image in six numbers.

    Attributes:
        brightness: mean grey value, [0, 255].
        contrast: standard deviation of the grey values, [0, 127.5].
        entropy_bits: Shannon entropy of the grey histogram, [0, 8].
        sharpness: variance of the 4-neighbour Laplacian of the 128-pixel image.
        aspect_ratio: width divided by height.
        channel_spread: see `DecodedImage.channel_spread`.
    """

    brightness: float
    contrast: float
    entropy_bits: float
    sharpness: float
    aspect_ratio: float
    channel_spread: float

    def as_dict(self) -> dict[str, float]:
        """Name to value, for JSON and for tables."""
        return asdict(self)


DESCRIPTOR_NAMES: tuple[str, ...] = tuple(Descriptors.__dataclass_fields__)


def histogram(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Share of the pixels at each grey value: float32 (256,), sums to 1."""
    counts = np.bincount(grey.ravel(), minlength=HISTOGRAM_BINS)
    return (counts / grey.size).astype(np.float32)


def thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image as uint8 (32, 32)."""
    return resize(grey, THUMBNAIL_SIZE)


def describe(image: DecodedImage) -> Descriptors:
    """All descriptors of one image."""
    shares = histogram(image.grey).astype(np.float64)
    present = shares[shares > 0]
    return Descriptors(
        brightness=float(image.grey.mean()),
        contrast=float(image.grey.std()),
        entropy_bits=float(-(present * np.log2(present)).sum()) + 0.0,
        sharpness=_sharpness(resize(image.grey, 128)),
        aspect_ratio=image.width / image.height,
        channel_spread=image.channel_spread,
    )


def _sharpness(grey: NDArray[np.uint8]) -> float:
    g = grey.astype(np.float32)
    laplacian = g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]
    return float(laplacian.var())
