"""MRI of chests and hearts, drawn for the fit of the upload gate.

What a chest has and a head has not: dark lungs beside bright pools of blood, which lie off the middle; a wall of fat,
muscle and ribs that is not closed by bone; a spine with its canal on one side; a wide outline, often cut off by a small
field of view, and the shading of coils that lie on the chest.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from brain_assets.ml.gate_canvas import SIZE, Floats, X, Y, blob, paint, scanned, smooth


def chest(rng: Generator) -> Floats:
    """A cross-section of a chest with heart, great vessels, lungs and spine."""
    wide, high = rng.uniform(0.7, 1.3), rng.uniform(0.55, 1.1)
    picture = _wall(rng, wide, high)
    cavity = blob(rng, (0, 0), (wide * 0.86, high * 0.82), 0.04)
    picture = paint(picture, cavity, rng.uniform(0.02, 0.25))
    picture = picture + cavity * 0.5 * np.clip(smooth(rng, 30) - rng.uniform(1.0, 1.8), 0, 1)
    picture = paint(
        picture, blob(rng, (0, high * 0.25), (wide * rng.uniform(0.2, 0.4), high * 0.75)), rng.uniform(0.2, 0.6)
    )
    picture = _heart(rng, picture, wide, high)
    picture = _spine(rng, picture, high)
    if rng.random() < 0.5:
        liver = blob(rng, (rng.choice([-1, 1]) * wide * 0.45, rng.uniform(-0.1, 0.4)), (wide * 0.4, high * 0.5), 0.1)
        picture = paint(picture, liver * cavity, rng.uniform(0.15, 0.6))
    return _seen(rng, picture)


def upright_chest(rng: Generator) -> Floats:
    """A chest from the front or from the side: lungs above a liver, the heart with its vessels between."""
    wide = rng.uniform(0.6, 1.1)
    body = np.clip((wide - np.abs(X + 0.1 * smooth(rng, 4)) + 0.15 * Y) * 12, 0, 1)
    picture = body * (rng.uniform(0.3, 0.9) + 0.05 * smooth(rng, 12))
    picture = paint(picture, body * (np.abs(X) < wide * 0.88), rng.uniform(0.15, 0.5))
    for side in (-1, 1):
        lung = blob(rng, (side * wide * 0.45, -0.15), (wide * 0.36, rng.uniform(0.45, 0.8)), 0.08)
        picture = paint(picture, lung, rng.uniform(0.02, 0.2) + 0.04 * np.abs(smooth(rng, 24)))
    dome = np.clip((Y - rng.uniform(0.15, 0.5) + 0.3 * X * X + 0.05 * smooth(rng, 5)) * 15, 0, 1) * body
    picture = paint(picture, dome, rng.uniform(0.15, 0.7) + 0.05 * smooth(rng, 14))
    return _seen(rng, _heart(rng, picture, wide, 0.8))


def _wall(rng: Generator, wide: float, high: float) -> Floats:
    """Fat, muscle and ribs, and sometimes the arms beside."""
    fat, muscle, rim = rng.uniform(0.2, 1), rng.uniform(0.12, 0.45), rng.uniform(0.02, 0.12)
    picture = np.zeros_like(X)
    if rng.random() < 0.3:
        for side in (-1, 1):
            picture = paint(picture, blob(rng, (side * (wide + 0.12), 0.1), (0.16, 0.2)), fat * 0.8)
    picture = paint(picture, blob(rng, (0, 0), (wide, high), 0.04), fat)
    picture = paint(picture, blob(rng, (0, 0), (wide - rim, high - rim), 0.04), muscle + 0.05 * smooth(rng, 20))
    angle = rng.uniform(0, 2 * np.pi, int(rng.integers(0, 14)))
    for a in angle:
        place = (wide * 0.9 * np.cos(a), high * 0.87 * np.sin(a))
        picture = paint(picture, blob(rng, place, (0.09, 0.04)), rng.choice([0.05, fat * 0.8]))
    return picture


def _heart(rng: Generator, picture: Floats, wide: float, high: float) -> Floats:
    """Muscle around chambers of blood, bright or black, with the great vessels."""
    x, y = rng.uniform(-0.3, 0.3) * wide, rng.uniform(-0.35, 0.15) * high
    size = rng.uniform(0.25, 0.55) * min(wide, high)
    muscle, blood = rng.uniform(0.15, 0.5), rng.choice([rng.uniform(0.6, 1.0), rng.uniform(0.0, 0.15)], p=(0.85, 0.15))
    picture = paint(picture, blob(rng, (x, y), (size * 1.25, size * 1.15), 0.12), muscle)
    for _ in range(int(rng.integers(2, 6))):
        turn, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.75) * size
        chamber = blob(
            rng, (x + out * np.cos(turn), y + out * np.sin(turn)), tuple(rng.uniform(0.25, 0.6, 2) * size), 0.15
        )
        picture = paint(picture, chamber, blood * rng.uniform(0.75, 1.0))
    for _ in range(int(rng.integers(1, 5))):
        place = (x + rng.normal(0, 0.5) * size, y + rng.normal(0, 0.9) * size)
        radius = rng.uniform(0.05, 0.16)
        picture = paint(picture, blob(rng, place, (radius, radius * rng.uniform(0.8, 2))), blood)
    return picture


def _spine(rng: Generator, picture: Floats, high: float) -> Floats:
    centre = (rng.uniform(-0.1, 0.1), high * rng.uniform(0.55, 0.7))
    picture = paint(picture, blob(rng, centre, (0.17, 0.13)), rng.uniform(0.2, 0.7))
    picture = paint(picture, blob(rng, (centre[0], centre[1] + 0.16), (0.06, 0.05)), rng.uniform(0.1, 0.9))
    aorta = (centre[0] + rng.choice([-1, 1]) * 0.2, centre[1] - 0.08)
    return paint(picture, blob(rng, aorta, (0.08, 0.08)), rng.uniform(0.05, 1.0))


def _seen(rng: Generator, picture: Floats) -> Floats:
    """Bent, turned, in a field of view of its own, shaded by a coil."""
    bent = _bent(picture, rng)
    if rng.random() < 0.6:
        bent = ndimage.rotate(bent, rng.choice([rng.normal(0, 20), 90, 180, 270]), reshape=False, order=1)
    if rng.random() < 0.55:
        bent = _closer(bent, rng)
    x, y = rng.uniform(-0.6, 0.6, 2)
    shade = np.exp(-(np.hypot(X - x, Y - y) ** 2) / rng.uniform(0.5, 6.0))
    return scanned(rng, bent * shade * rng.uniform(0.9, 1.6))


def _bent(picture: Floats, rng: Generator) -> Floats:
    reach, rows = rng.uniform(0, 7), np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    moved = [rows[axis] + reach * smooth(rng, 6) for axis in (0, 1)]
    return np.asarray(ndimage.map_coordinates(picture, moved, order=1, mode="nearest"), np.float32)


def _closer(picture: Floats, rng: Generator) -> Floats:
    side = int(SIZE * rng.uniform(0.45, 0.9))
    top, left = (int(np.clip(rng.normal((SIZE - side) / 2, 12), 0, SIZE - side)) for _ in range(2))
    piece = Image.fromarray(picture[top : top + side, left : left + side].astype(np.float32))
    return np.asarray(piece.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
