"""How a picture is built: numbers in which a slice through a head differs from other pictures.

They are taken from the picture's `descriptors.detail` (64 x 64 pixels) and have a meaning that does not depend on the
scanner: what lies at the border, the outline of the largest body, what follows from its rim inwards, symmetry,
directions and frequencies. Grey values are divided by those of the brightest hundredth, so that the window matters
little.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from brain_core.descriptors import DETAIL_SIZE

Floats = NDArray[np.float32]

BODY_ABOVE = 0.12
"""Share of the brightest hundredth's grey value above which a pixel belongs to a body, not to the air around it."""

DEPTHS = 9
"""Pixels from the rim inwards that are told apart; the last stands for all that is deeper."""

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
_RIM = 6
_SECTORS = 16

_NAMES_BY_GROUP: dict[str, tuple[str, ...]] = {
    "tones": ("mean_grey", "grey_deviation", "dark_share", "saturated_share", "median_grey", "entropy_bits"),
    "border": ("corner_mean", "brightest_corner", "border_mean", "brightest_side", "top_side", "bottom_side"),
    "outline": ("body_share", "body_width", "body_height", "off_centre", "ellipse_overlap", "elongation", "solidity"),
    "profile": (
        *(f"{what}_at_depth_{depth}" for what in ("mean", "deviation") for depth in range(DEPTHS)),
        *("faintest_rim", "rim_mean", "rim_deviation", "rim_to_inside", "inside_edge_density", "inside_edge_strongest"),
    ),
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
    """One picture in numbers.

    Attributes:
        features: float32 (len(STRUCTURE_NAMES),), in the order of `STRUCTURE_NAMES`.
        body: uint8 (32, 32), the picture of the body alone, whatever its size and place.
        gradients: float32 (384,), histograms of gradient directions of the body (Dalal and Triggs 2005,
            doi 10.1109/CVPR.2005.177), 8 x 8 cells and 6 directions, length 1 (0 when constant).
    """

    features: Floats
    body: NDArray[np.uint8]
    gradients: Floats


def structure(fine: NDArray[np.uint8]) -> Structure:
    """Describe a picture by its `descriptors.detail`, uint8 (64, 64)."""
    raw = fine.astype(np.float32) / np.float32(255)
    grey = np.minimum(raw / max(float(np.percentile(raw, 99)), 0.1), np.float32(1))
    body, solidity = _body(grey)
    crop = _crop(fine, body)
    lit = crop.astype(np.float32) / np.float32(255)
    y, x = np.gradient(lit)
    strength = np.hypot(x, y)
    direction = _direction(x, y)
    parts = [
        _tones(fine, raw),
        _border(grey),
        _outline(body),
        np.array([solidity]),
        *_profile(grey, depth := _depth(body)),
        _rim(grey, depth),
        _symmetry(lit),
        _spectrum(grey),
        _edges(strength, direction),
    ]
    features = np.concatenate(parts).astype(np.float32)
    return Structure(features, crop, _gradients(strength, direction))


def _tones(fine: NDArray[np.uint8], raw: Floats) -> Floats:
    counts = np.bincount(fine.ravel() >> 3, minlength=_ENTROPY_BINS)
    return np.array(
        [
            raw.mean(),
            raw.std(),
            (fine < 24).mean(),
            (fine >= 250).mean(),
            np.median(raw),
            _entropy_bits(counts / fine.size),
        ],
        np.float32,
    )


def _entropy_bits(shares: NDArray[np.floating]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log2(present)).sum())


def _border(grey: Floats) -> Floats:
    c, b = _CORNER, _BORDER
    corners = [float(part.mean()) for part in (grey[:c, :c], grey[:c, -c:], grey[-c:, :c], grey[-c:, -c:])]
    sides = [float(part.mean()) for part in (grey[:b], grey[-b:], grey[:, :b], grey[:, -b:])]
    return np.array(
        [np.mean(corners), max(corners), np.mean(sides), max(sides), sides[0], sides[1]],
        np.float32,
    )


def _body(grey: Floats) -> tuple[NDArray[np.bool_], float]:
    """What lies between lit pixels of its row and of its column, bool (64, 64), and the lit share of it."""
    blurred = Image.fromarray((grey * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
    lit = np.asarray(blurred) > 255 * BODY_ABOVE
    if not lit.any():
        return np.ones_like(lit), 0.0
    along, down = np.maximum.accumulate(lit, axis=1), np.maximum.accumulate(lit, axis=0)
    back, up = np.maximum.accumulate(lit[:, ::-1], axis=1)[:, ::-1], np.maximum.accumulate(lit[::-1], axis=0)[::-1]
    body = along & back & down & up
    return body, float(lit.sum() / max(1, body.sum()))


def _outline(body: NDArray[np.bool_]) -> Floats:
    """Share, width, height, distance from the centre, overlap with its ellipse, ratio of the ellipse's axes."""
    size = body.shape[0]
    rows, columns = np.nonzero(body)
    centre_y, centre_x = rows.mean(), columns.mean()
    y, x = rows - centre_y, columns - centre_x
    # A single pixel has the variance of its own extent.
    yy, xx, xy = (y * y).mean() + 1 / 12, (x * x).mean() + 1 / 12, (x * y).mean()
    spread = np.hypot(xx - yy, 2 * xy)
    long, short = (xx + yy + spread) / 2, max((xx + yy - spread) / 2, 1e-3)
    determinant = max(xx * yy - xy * xy, 1e-6)
    inside = (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant <= 4
    ellipse = 4 * np.pi * np.sqrt(determinant)
    return np.array(
        [
            body.mean(),
            body.any(axis=0).mean(),
            body.any(axis=1).mean(),
            np.hypot(centre_y - (size - 1) / 2, centre_x - (size - 1) / 2) / size,
            inside.sum() / max(ellipse, len(rows)),
            np.sqrt(long / short),
        ],
        np.float32,
    )


def _depth(body: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pixels to the body's rim, from 1 at the rim to `DEPTHS` for all that is deeper; 0 outside."""
    depth = body.astype(np.intp)
    left = np.pad(body, 1)
    for _ in range(DEPTHS - 1):
        left[1:-1, 1:-1] &= left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        depth += left[1:-1, 1:-1]
    return depth


def _profile(grey: Floats, depth: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Mean and deviation of the grey values at each depth; where there is none, those of the deepest."""
    count = np.maximum(np.bincount(depth.ravel(), minlength=DEPTHS + 1), 1)
    mean = np.bincount(depth.ravel(), grey.ravel(), DEPTHS + 1) / count
    square = np.bincount(depth.ravel(), (grey * grey).ravel(), DEPTHS + 1) / count
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    source = np.minimum(np.arange(1, DEPTHS + 1), int(depth.max()))
    return mean[source].astype(np.float32), deviation[source].astype(np.float32)


def _rim(grey: Floats, depth: NDArray[np.intp]) -> Floats:
    """How bright the rim is all around (the skull of a CT is white everywhere), and the edges of what lies inside."""
    rim = (depth > 0) & (depth <= _RIM)
    rows, columns = np.nonzero(rim)
    angle = np.arctan2(rows - rows.mean(), columns - columns.mean()) + np.pi
    sector = np.minimum((angle * (_SECTORS / (2 * np.pi))).astype(np.intp), _SECTORS - 1)
    brightest = np.zeros(_SECTORS, np.float32)
    np.maximum.at(brightest, sector, grey[rim])
    inside = depth > _RIM
    if not inside.any():
        inside = rim
    y, x = np.gradient(grey)
    edges = np.hypot(x, y)[inside]
    ratio = np.median(brightest) / (float(np.median(grey[inside])) + 0.05)
    found = [np.sort(brightest)[_SECTORS // 8], brightest.mean(), brightest.std(), min(ratio, 10.0)]
    return np.array([*found, edges.mean(), np.percentile(edges, 90)], np.float32)


def _crop(fine: NDArray[np.uint8], body: NDArray[np.bool_]) -> NDArray[np.uint8]:
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return np.asarray(Image.fromarray(fine).resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR, box=box))


def _symmetry(crop: Floats) -> Floats:
    vector = _unit(crop - crop.mean())
    turned = (vector[:, ::-1], vector[::-1], vector[::-1, ::-1])
    return np.array([float((vector * other).sum()) for other in turned], np.float32)


def _radii() -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    y = np.abs(np.fft.fftfreq(DETAIL_SIZE, 1 / DETAIL_SIZE))[:, np.newaxis]
    x = np.arange(DETAIL_SIZE // 2 + 1)
    band = np.digitize(np.hypot(y, x), BANDS)
    on_axis = ((y == 0) | (x == 0)) & (band > 0)
    return band, on_axis, (y > 4) & (x > 4)


_BAND, _ON_AXIS, _OFF_AXES = _radii()


def _spectrum(grey: Floats) -> Floats:
    """Logarithms of the power in each band and on the axes, shares of the whole."""
    power = np.abs(np.fft.rfft2(grey)) ** 2
    power[0, 0] = 0
    total = float(power.sum()) + 1e-6
    bands = np.bincount(_BAND.ravel(), power.ravel(), len(BANDS) + 1)[1 : len(BANDS)]
    others = [power[_ON_AXIS].sum(), power[_OFF_AXES].sum()]
    return np.log10(np.concatenate([bands, others]) / total + 1e-5).astype(np.float32)


def _direction(x: Floats, y: Floats) -> NDArray[np.intp]:
    angle = np.arctan2(y, x) % np.pi
    return np.minimum((angle * (ORIENTATIONS / np.pi)).astype(np.intp), ORIENTATIONS - 1)


def _edges(strength: Floats, direction: NDArray[np.intp]) -> Floats:
    shares = np.bincount(direction.ravel(), strength.ravel(), ORIENTATIONS) / (float(strength.sum()) + 1e-6)
    return np.array([strength.mean(), strength.std(), _entropy_bits(shares), shares.max()], np.float32)


_CELL_OF_PIXEL = np.add.outer(
    np.arange(CROP_SIZE) // _CROP_CELL * CELLS * ORIENTATIONS, np.arange(CROP_SIZE) // _CROP_CELL * ORIENTATIONS
)


def _gradients(strength: Floats, direction: NDArray[np.intp]) -> Floats:
    bins = (_CELL_OF_PIXEL + direction).ravel()
    sums = np.bincount(bins, strength.ravel(), CELLS * CELLS * ORIENTATIONS)
    return _unit(np.sqrt(sums).astype(np.float32))


def _unit(values: Floats) -> Floats:
    length = float(np.linalg.norm(values))
    return values / np.float32(length) if length > 1e-6 else np.zeros_like(values)
