"""How a picture is built: numbers in which a slice through a head differs from other pictures.

They are taken from the picture's `descriptors.detail` (64 x 64 pixels) and have a meaning that does not depend on the
scanner: what lies at the border, the outline of the largest body, what follows on rays from its rim inwards, symmetry,
directions and frequencies. Grey values are divided by those of the brightest hundredth, so that the window matters
little. All pictures of a batch are described together, which costs a single picture nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_core.body_rays import RAY_NAMES, rays
from brain_core.imaging import DETAIL_SIZE

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

BODY_ABOVE = 0.12
"""Share of the brightest hundredth's grey value above which a pixel belongs to a body, not to the air around it."""

BANDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Limits of the bands of frequencies, in cycles an image's side."""

ORIENTATIONS = 6
CELLS = 8
CROP_SIZE = 32
"""Height and width of the picture of the body alone, in pixels."""

_CORNER = 10
_BORDER = 3
_CROP_CELL = CROP_SIZE // CELLS
_ENTROPY_BINS = 32
_PIXELS = DETAIL_SIZE * DETAIL_SIZE
_BRIGHTEST = _PIXELS - _PIXELS // 100

_NAMES_BY_GROUP: dict[str, tuple[str, ...]] = {
    "tones": ("mean_grey", "grey_deviation", "dark_share", "saturated_share", "median_grey", "entropy_bits"),
    "border": ("corner_mean", "brightest_corner", "border_mean", "brightest_side", "top_side", "bottom_side"),
    "outline": ("body_share", "body_width", "body_height", "off_centre", "ellipse_overlap", "elongation", "solidity"),
    "profile": RAY_NAMES,
    "symmetry": ("mirror_symmetry", "upside_down_symmetry", "half_turn_symmetry"),
    "pattern": (
        *(f"band_{index}" for index in range(len(BANDS) - 1)),
        *("axis_power", "grid_power"),
        *("edge_density", "edge_deviation", "orientation_entropy_bits", "strongest_orientation"),
    ),
}
STRUCTURE_NAMES: tuple[str, ...] = tuple(name for names in _NAMES_BY_GROUP.values() for name in names)
GROUPS: dict[str, tuple[int, ...]] = {
    group: tuple(STRUCTURE_NAMES.index(name) for name in names) for group, names in _NAMES_BY_GROUP.items()
}
"""Places of the features that say something of the same thing."""


@dataclass(frozen=True)
class Structure:
    """N pictures in numbers.

    Attributes:
        features: float32 (N, len(STRUCTURE_NAMES)), in the order of `STRUCTURE_NAMES`.
        bodies: uint8 (N, 32, 32), the pictures of the bodies alone, whatever their size and place.
        gradients: float32 (N, 384), histograms of gradient directions of the bodies (Dalal and Triggs 2005,
            doi 10.1109/CVPR.2005.177), 8 x 8 cells and 6 directions, length 1 (0 when constant).
    """

    features: Floats
    bodies: NDArray[np.uint8]
    gradients: Floats


def structure(fines: NDArray[np.uint8]) -> Structure:
    """Describe pictures by their `descriptors.detail`, uint8 (N, 64, 64), N at least 1."""
    top = np.partition(fines.reshape(len(fines), -1), _BRIGHTEST, axis=1)[:, _BRIGHTEST]
    grey = fines * (np.float32(1) / np.maximum(top, 25.5).astype(np.float32))[:, np.newaxis, np.newaxis]
    np.minimum(grey, np.float32(1), out=grey)
    body, lit_share = _body(grey)
    moments = _moments(body)
    crops = _crops(fines, body)
    lit = crops * np.float32(1 / 255)
    strength, direction = _slopes(lit)
    parts = [
        _tones(fines),
        _border(grey),
        _outline(body, moments),
        lit_share[:, np.newaxis],
        rays(grey, body, moments),
        _symmetry(lit),
        _spectrum(grey),
        _edges(strength, direction),
    ]
    features = np.concatenate(parts, axis=1).astype(np.float32)
    return Structure(features, crops, _gradients(strength, direction))


def _tones(fines: NDArray[np.uint8]) -> Floats:
    flat = fines.reshape(len(fines), -1)
    counts = _counts(flat, 256)
    values = np.arange(256)
    mean = counts @ values / _PIXELS
    deviation = np.sqrt(np.maximum(counts @ (values * values) / _PIXELS - mean * mean, 0))
    median = (counts.cumsum(axis=1) > _PIXELS // 2).argmax(axis=1)
    coarse = counts.reshape(len(counts), _ENTROPY_BINS, -1).sum(axis=2) / _PIXELS
    dark, bright = counts[:, :24].sum(axis=1) / _PIXELS, counts[:, 250:].sum(axis=1) / _PIXELS
    return _columns(mean / 255, deviation / 255, dark, bright, median / 255, _entropy_bits(coarse))


def _counts(values: NDArray[Any], size: int, weights: Floats | None = None) -> NDArray[Any]:
    """How often each of `size` whole numbers occurs in each row, or the sum of its weights: (N, size)."""
    offset = np.arange(len(values))[:, np.newaxis] * size
    flat = None if weights is None else weights.ravel()
    return np.bincount((values + offset).ravel(), flat, len(values) * size).reshape(len(values), size)


def _columns(*values: NDArray[Any]) -> Floats:
    return np.stack(values, axis=1).astype(np.float32)


def _entropy_bits(shares: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(-(shares * np.log2(np.maximum(shares, 1e-12))).sum(axis=1))


def _border(grey: Floats) -> Floats:
    c, b = _CORNER, _BORDER
    corner_parts = (grey[:, :c, :c], grey[:, :c, -c:], grey[:, -c:, :c], grey[:, -c:, -c:])
    corners = _columns(*(part.mean(axis=(1, 2)) for part in corner_parts))
    side_parts = (grey[:, :b], grey[:, -b:], grey[:, :, :b], grey[:, :, -b:])
    sides = _columns(*(part.mean(axis=(1, 2)) for part in side_parts))
    return _columns(
        corners.mean(axis=1), corners.max(axis=1), sides.mean(axis=1), sides.max(axis=1), sides[:, 0], sides[:, 1]
    )


_PLACE = np.arange(DETAIL_SIZE)


def _body(grey: Floats) -> tuple[Flags, Floats]:
    """What lies between lit pixels of its row and of its column, bool (N, 64, 64), and the lit share of it, (N,).

    A picture without any is all body and not lit.
    """
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    lit = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] > 9 * BODY_ABOVE
    body = _between(lit) & _between(lit.swapaxes(1, 2)).swapaxes(1, 2)
    count = lit.sum(axis=(1, 2))
    body |= (count == 0)[:, np.newaxis, np.newaxis]
    return body, (count / np.maximum(body.sum(axis=(1, 2)), 1)).astype(np.float32)


def _between(lit: Flags) -> Flags:
    """What lies between the first and the last lit pixel of its row."""
    first = np.where(lit.any(axis=2), lit.argmax(axis=2), DETAIL_SIZE)[..., np.newaxis]
    last = DETAIL_SIZE - 1 - lit[:, :, ::-1].argmax(axis=2)[..., np.newaxis]
    return np.asarray((first <= _PLACE) & (last >= _PLACE))


def _powers() -> Floats:
    """1, y, x, yy, xx and xy of each pixel, positions from the centre of the picture: float32 (6, 4096)."""
    y, x = (axis.ravel() - (DETAIL_SIZE - 1) / 2 for axis in np.mgrid[:DETAIL_SIZE, :DETAIL_SIZE])
    return np.stack([np.ones_like(y), y, x, y * y, x * x, x * y]).astype(np.float32)


_POWERS = _powers()


def _moments(body: Flags) -> Floats:
    """Count of pixels, means of y and x from the picture's centre, variances of y, x and their covariance: (N, 6)."""
    sums = body.reshape(len(body), -1).astype(np.float32) @ _POWERS.T
    count, y, x, yy, xx, xy = (sums / np.concatenate([np.ones_like(sums[:, :1]), sums[:, [0] * 5]], axis=1)).T
    # A single pixel has the variance of its own extent.
    return _columns(count, y, x, yy - y * y + 1 / 12, xx - x * x + 1 / 12, xy - x * y)


def _outline(body: Flags, moments: Floats) -> Floats:
    """Share, width, height, distance from the centre, overlap with its ellipse, ratio of the ellipse's axes."""
    count, y, x, yy, xx, xy = moments.T
    spread = np.hypot(xx - yy, 2 * xy)
    long, short = (xx + yy + spread) / 2, np.maximum((xx + yy - spread) / 2, 1e-3)
    determinant = np.maximum(xx * yy - xy * xy, 1e-6)
    linear = (-2 * (xx * y - xy * x), -2 * (yy * x - xy * y))
    form = _columns(xx * y * y + yy * x * x - 2 * xy * x * y, *linear, xx, yy, -2 * xy)
    inside = (form @ _POWERS <= 4 * determinant[:, np.newaxis]) & body.reshape(len(body), -1)
    overlap = inside.sum(axis=1) / np.maximum(4 * np.pi * np.sqrt(determinant), count)
    wide, high = body.any(axis=1).mean(axis=1), body.any(axis=2).mean(axis=1)
    return _columns(count / _PIXELS, wide, high, np.hypot(y, x) / DETAIL_SIZE, overlap, np.sqrt(long / short))


def _crops(fines: NDArray[np.uint8], body: Flags) -> NDArray[np.uint8]:
    crops = np.empty((len(fines), CROP_SIZE, CROP_SIZE), np.uint8)
    columns, rows = np.asarray(body.any(axis=1)), np.asarray(body.any(axis=2))
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = DETAIL_SIZE - columns[:, ::-1].argmax(axis=1), DETAIL_SIZE - rows[:, ::-1].argmax(axis=1)
    boxes = np.stack([left, top, right, bottom], axis=1).tolist()
    for crop, fine, box in zip(crops, fines, boxes, strict=True):
        part = Image.fromarray(fine).resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR, box=tuple(box))
        crop[:] = np.asarray(part)
    return crops


def _symmetry(lit: Floats) -> Floats:
    vectors = _unit((lit - lit.mean(axis=(1, 2), keepdims=True)).reshape(len(lit), -1)).reshape(lit.shape)
    turned = (vectors[:, :, ::-1], vectors[:, ::-1], vectors[:, ::-1, ::-1])
    return _columns(*((vectors * other).sum(axis=(1, 2)) for other in turned))


def _radii() -> Floats:
    """Which band a frequency is in, whether it lies on an axis or far off both: float32 (64 * 33, bands + 2)."""
    y = np.abs(np.fft.fftfreq(DETAIL_SIZE, 1 / DETAIL_SIZE))[:, np.newaxis]
    x = np.arange(DETAIL_SIZE // 2 + 1)
    band = np.digitize(np.hypot(y, x), BANDS)
    on_axis, off_axes = ((y == 0) | (x == 0)) & (band > 0), (y > 4) & (x > 4)
    members = [*(band == index for index in range(1, len(BANDS))), on_axis, off_axes]
    return np.stack([member.ravel() for member in members], axis=1).astype(np.float32)


_BAND_MEMBERS = _radii()


def _spectrum(grey: Floats) -> Floats:
    """Logarithms of the power in each band and on the axes, shares of the whole."""
    waves = np.fft.rfft2(grey).reshape(len(grey), -1)
    power = (waves.real * waves.real + waves.imag * waves.imag).astype(np.float32)
    power[:, 0] = 0
    total = power.sum(axis=1, keepdims=True) + 1e-6
    return np.asarray(np.log10(power @ _BAND_MEMBERS / total + 1e-5), np.float32)


def _slopes(lit: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Strength of each pixel's gradient, and its direction of `ORIENTATIONS`."""
    y, x = np.empty_like(lit), np.empty_like(lit)
    y[:, 1:-1], x[:, :, 1:-1] = (lit[:, 2:] - lit[:, :-2]) / 2, (lit[:, :, 2:] - lit[:, :, :-2]) / 2
    y[:, 0], y[:, -1] = lit[:, 1] - lit[:, 0], lit[:, -1] - lit[:, -2]
    x[:, :, 0], x[:, :, -1] = lit[:, :, 1] - lit[:, :, 0], lit[:, :, -1] - lit[:, :, -2]
    turns = np.arctan2(y, x) * np.float32(ORIENTATIONS / np.pi)
    direction = np.where(turns < 0, turns + ORIENTATIONS, turns).astype(np.intp)
    # Half a turn is no turn.
    direction[direction == ORIENTATIONS] = 0
    return np.sqrt(y * y + x * x), direction


def _edges(strength: Floats, direction: NDArray[np.intp]) -> Floats:
    flat = strength.reshape(len(strength), -1)
    sums = _counts(direction.reshape(flat.shape), ORIENTATIONS, flat)
    shares = sums / (flat.sum(axis=1, keepdims=True) + 1e-6)
    return _columns(flat.mean(axis=1), flat.std(axis=1), _entropy_bits(shares), shares.max(axis=1))


_CELL_OF_PIXEL = np.add.outer(
    np.arange(CROP_SIZE) // _CROP_CELL * CELLS * ORIENTATIONS, np.arange(CROP_SIZE) // _CROP_CELL * ORIENTATIONS
)


def _gradients(strength: Floats, direction: NDArray[np.intp]) -> Floats:
    bins = (_CELL_OF_PIXEL + direction).reshape(len(direction), -1)
    sums = _counts(bins, CELLS * CELLS * ORIENTATIONS, strength.reshape(len(strength), -1))
    return _unit(np.sqrt(sums).astype(np.float32))


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-6, lengths, np.inf), np.float32)
