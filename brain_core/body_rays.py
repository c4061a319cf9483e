"""What follows below a body's rim, on rays from its centre of mass: skin, skull and brain as a scanner shows them.

MRI shows cortical bone dark, between the bright fat of the scalp and the brain; CT shows it as the brightest of all,
next to an even brain. So each ray is asked for the brightest value near the rim, for the darkest that follows within
the thickness of a skull, and for what lies further inside; order statistics over the rays say how much of the rim is
so. Depth is measured in units of a 24th of the body's mean radius, so that the size of the picture does not matter.
"""

import numpy as np
from numpy.typing import NDArray

from brain_core.imaging import DETAIL_SIZE

Floats = NDArray[np.float32]

RAYS = 32
DEPTHS = 12
"""Units from the rim inwards whose grey values are told apart."""

_UNITS_A_RADIUS = 24
_STEPS = 48
"""Units from the centre outwards that a ray has: enough for bodies up to four times as long as wide."""
_DEEPEST = 18
_SHELL = 9
"""The brightest value of a ray is looked for so many units below the rim."""
_GAP = 6
"""The darkest value is looked for within so many units below the brightest."""
_ACROSS = (4, 16, 27)
"""Places of the lower, middle and upper value among those of all rays, in order."""
_WITHIN = np.linspace(0.05, 0.72, 12).astype(np.float32)
"""Shares of a ray's length at which the inside is looked at."""
_INSIDE_PLACES = (19, 96, 192, 288, 365)

_QUANTITIES = ("peak", "peak_depth", "peak_width", "gap", "inner", "peak_over_inner", "gap_below_inner", "outer")
RAY_NAMES: tuple[str, ...] = (
    *(f"depth_{depth}_{level}" for depth in range(DEPTHS) for level in ("low", "middle", "high")),
    *(f"{quantity}_{level}" for quantity in _QUANTITIES for level in ("low", "middle", "high")),
    *("inside_5", "inside_25", "inside_50", "inside_75", "inside_95", "inside_deviation", "inside_contrast"),
    *("saturated_rays", "gap_rays", "rim_deviation", "peak_steps", "length_deviation", "inside_steps"),
)

_ANGLES = np.arange(RAYS) * (2 * np.pi / RAYS)
_COS = np.cos(_ANGLES).astype(np.float32)[:, np.newaxis]
_SIN = np.sin(_ANGLES).astype(np.float32)[:, np.newaxis]
_STEP = np.arange(_STEPS, dtype=np.float32)
_DEPTH = np.arange(_DEEPEST)


def rays(grey: Floats, body: NDArray[np.bool_], moments: Floats) -> Floats:
    """Features of bodies, float32 (N, len(RAY_NAMES)), in the order of `RAY_NAMES`.

    Args:
        grey: float32 (N, 64, 64), [0, 1].
        body: bool (N, 64, 64).
        moments: float32 (N, 6), the bodies' pixels and the y and x of their centres from the picture's; more.
    """
    values, ends = _sampled(grey, body, moments)
    inwards = np.maximum(ends[..., np.newaxis] - _DEPTH, 0)
    below = np.take_along_axis(values, inwards, axis=2)
    within = np.take_along_axis(values, (ends[..., np.newaxis] * _WITHIN + 0.5).astype(np.intp), axis=2)
    shell, peak, gap = _shell(below)
    return np.concatenate(
        [
            _levels(below[:, :, :DEPTHS]).reshape(len(grey), -1),
            _levels(shell).reshape(len(grey), -1),
            _inside(within),
            _rim(peak, gap, within, ends),
        ],
        axis=1,
    )


def _sampled(grey: Floats, body: NDArray[np.bool_], moments: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Grey values along the rays from the centre outwards, (N, RAYS, STEPS), and each ray's last step in the body."""
    count, y, x = (column[:, np.newaxis, np.newaxis] for column in moments.T[:3])
    middle, last = (DETAIL_SIZE - 1) / 2, DETAIL_SIZE - 1
    reach = np.maximum(np.sqrt(count / np.pi), 4) / _UNITS_A_RADIUS * _STEP
    rows, columns = _SIN * reach + (y + (middle + 0.5)), _COS * reach + (x + (middle + 0.5))
    outside = (rows < 0) | (columns < 0) | (rows >= last + 1) | (columns >= last + 1)
    places = np.clip(rows, 0, last).astype(np.int32) * DETAIL_SIZE + np.clip(columns, 0, last).astype(np.int32)
    places += (np.arange(len(grey), dtype=np.int32) * DETAIL_SIZE**2)[:, np.newaxis, np.newaxis]
    is_body = np.take(body.ravel(), places) & ~outside
    ends = _STEPS - 1 - is_body[:, :, ::-1].argmax(axis=2)
    ends = np.where(is_body.any(axis=2), ends, 0)
    return np.take(grey.ravel(), places), ends


def _shell(below: Floats) -> tuple[Floats, Floats, Floats]:
    """`_QUANTITIES` of each ray, (N, RAYS, 8); its peak; what the gap below it lacks to the inside."""
    near = below[:, :, :_SHELL]
    place = near.argmax(axis=2)
    peak = near.max(axis=2)
    after = _DEPTH - place[..., np.newaxis]
    gap = np.where((after >= 0) & (after <= _GAP), below, np.float32(2)).min(axis=2)
    outer = np.where(after <= 0, below, np.float32(2)).min(axis=2)
    inner = below[:, :, 12:].mean(axis=2)
    width = (below[:, :, :DEPTHS] > 0.8 * peak[..., np.newaxis]).sum(axis=2)
    lacking = inner - gap
    found = (peak, place, width, gap, inner, peak - inner, lacking, outer)
    return np.stack(found, axis=2).astype(np.float32), peak, lacking


def _levels(values: Floats) -> Floats:
    """Lower, middle and upper value over all rays: (N, K, 3) for (N, RAYS, K)."""
    ordered = np.sort(values.swapaxes(1, 2), axis=2)
    return ordered[:, :, list(_ACROSS)]


def _inside(within: Floats) -> Floats:
    """How bright and how even the inside is."""
    ordered = np.sort(within.reshape(len(within), -1), axis=1)
    levels = ordered[:, list(_INSIDE_PLACES)]
    deviation = ordered.std(axis=1)
    contrast = (levels[:, 4] - levels[:, 0]) / (levels[:, 2] + np.float32(0.05))
    return np.concatenate([levels, deviation[:, np.newaxis], np.minimum(contrast, 9)[:, np.newaxis]], axis=1)


def _rim(peak: Floats, lacking: Floats, within: Floats, ends: NDArray[np.intp]) -> Floats:
    """How much of the rim is white or has a gap below it; how much it and the inside change around and inwards."""
    length = ends.mean(axis=1)
    found = (
        (peak > 0.97).mean(axis=1),
        (lacking > 0.06).mean(axis=1),
        peak.std(axis=1),
        np.abs(np.diff(peak, axis=1)).mean(axis=1),
        ends.std(axis=1) / (length + 1),
        np.abs(np.diff(within, axis=2)).mean(axis=(1, 2)),
    )
    return np.stack(found, axis=1).astype(np.float32)
