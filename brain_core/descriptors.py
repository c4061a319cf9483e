"""Plain numbers that describe a slice: for the upload gate, the statistics and the drift report."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from brain_core.imaging import DETAIL_SIZE, DecodedImage, grey_counts, resize

HISTOGRAM_BINS = 256
THUMBNAIL_SIZE = 32
DARK_BELOW = 24
"""Grey value from which a pixel is not background; noise and JPEG artefacts stay below."""


@dataclass(frozen=True)
class Descriptors:
    """One image in six numbers.

    Attributes:
        brightness: mean grey value, [0, 255].
        contrast: standard deviation of the grey values, [0, 127.5].
        entropy_bits: Shannon entropy of the grey histogram, [0, 8].
        sharpness: variance of the 4-neighbour Laplacian of the image's `detail`.
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
MARGIN_NAMES = ("margin_left", "margin_top", "margin_right", "margin_bottom")

_GREY_VALUES = np.arange(HISTOGRAM_BINS)


def histogram(grey: NDArray[np.uint8], counts: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Share of the pixels at each grey value: float32 (256,), sums to 1.

    Args:
        grey: uint8 (H, W).
        counts: the image's `grey_counts`, where they are known already.
    """
    counts = grey_counts(grey) if counts is None else counts
    return (counts / grey.size).astype(np.float32)


def detail(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`DecodedImage.detail` of uint8 (H, W)."""
    return resize(grey, DETAIL_SIZE)


def thumbnail(grey: NDArray[np.uint8], known: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """The image as uint8 (32, 32), made from its detail, which is faster than from the whole image.

    Args:
        grey: uint8 (H, W).
        known: the image's `detail`, where it is known already.
    """
    return resize(detail(grey) if known is None else known, THUMBNAIL_SIZE)


def dark_margins(grey: NDArray[np.uint8]) -> dict[str, float]:
    """Width of the dark border on each side, as a share of the width or height; all 1 when the whole image is dark.

    Returns:
        A share in [0, 1] for each of `MARGIN_NAMES`: up to the outermost pixel of at least `DARK_BELOW`.
    """
    left, right = _dark_ends(grey.max(axis=0))
    top, bottom = _dark_ends(grey.max(axis=1))
    return dict(zip(MARGIN_NAMES, (left, top, right, bottom), strict=True))


def describe(image: DecodedImage) -> Descriptors:
    """All descriptors of one image."""
    counts = image.grey_counts
    brightness = float(counts @ _GREY_VALUES) / image.grey.size
    variance = float(counts @ (_GREY_VALUES - brightness) ** 2) / image.grey.size
    return Descriptors(
        brightness=brightness,
        contrast=math.sqrt(variance),
        entropy_bits=_entropy_bits(histogram(image.grey, counts)),
        sharpness=_sharpness(image.detail),
        aspect_ratio=image.width / image.height,
        channel_spread=image.channel_spread,
    )


def _entropy_bits(shares: NDArray[np.float32]) -> float:
    present = shares[shares > 0].astype(np.float64)
    return float(-(present * np.log2(present)).sum()) + 0.0


def _dark_ends(brightest: NDArray[np.uint8]) -> tuple[float, float]:
    is_bright = brightest >= DARK_BELOW
    if not is_bright.any():
        return 1.0, 1.0
    return float(is_bright.argmax()) / is_bright.size, float(is_bright[::-1].argmax()) / is_bright.size


def _sharpness(grey: NDArray[np.uint8]) -> float:
    # Whole numbers up to 4 x 255 are exact in 16 bits, and twice as fast as in 32.
    g = grey.astype(np.int16)
    laplacian = g[:-2, 1:-1] + g[2:, 1:-1]
    laplacian += g[1:-1, :-2]
    laplacian += g[1:-1, 2:]
    laplacian -= 4 * g[1:-1, 1:-1]
    return float(laplacian.astype(np.float32).var())
