"""CT of heads, drawn in Hounsfield units and shown in a window, for the fit of the upload gate.

What CT has and MRI has not: bone is the densest of all (700 to 1,900), so that the skull is a closed white ring in any
window; fat is darker than water (-90), so that the scalp is a thin grey or black line; grey and white matter, fluid and
blood lie within 70 units, which a window for bone shows as one grey. Often the head lies in a holder, an arc around it.
"""

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from brain_assets.ml.gate_canvas import SIZE, Floats, X, Y, blob, fractal, paint, smooth

AIR, FAT, MUSCLE, FLUID = -1000.0, -90.0, 45.0, 6.0

_BRAIN_WINDOWS = ((80, 40), (80, 35), (100, 40), (120, 40), (60, 35), (150, 50), (200, 70), (350, 40), (400, 40))
_BONE_WINDOWS = ((1500, 300), (2000, 500), (2800, 600), (4000, 1000), (4096, 1024))


def depth_below_rim(head: Floats, rng: Generator) -> Floats:
    """Distance below the skin in pixels, bent a little; 0 outside the largest body."""
    body = ndimage.binary_fill_holes(ndimage.uniform_filter(head, 5) > 0.08)
    labels, count = ndimage.label(body)
    if count:
        body = labels == np.bincount(labels[body]).argmax()
    depth = ndimage.distance_transform_edt(body)
    return np.asarray((depth + 0.6 * smooth(rng, 12)) * body, np.float32)


def drawn_outline(rng: Generator) -> Floats:
    """An oval like the cross-section of a head, larger or smaller, sometimes narrower at the forehead."""
    wide = rng.uniform(0.4, 0.92)
    high = min(wide * rng.uniform(1.0, 1.4), 1.0)
    narrow = 1 + rng.uniform(-0.05, 0.25) * (Y < 0) * Y
    power = rng.uniform(1.9, 2.6)
    radius = np.abs(X / (wide * narrow)) ** power + np.abs(Y / high) ** power
    turned = ndimage.rotate(radius, rng.normal(0, 8), reshape=False, order=1, mode="nearest")
    return np.asarray(turned + 0.03 * smooth(rng, 6) < 1, np.float32)


def head_tomogram(head: Floats, rng: Generator) -> Floats:
    """CT of a head with the outline of an MRI slice, or with a drawn one."""
    outline = head if rng.random() < 0.4 else drawn_outline(rng)
    depth = depth_below_rim(outline, rng)
    size = np.sqrt(max(float((depth > 0).sum()), 100.0)) / 100
    return windowed(_with_holder(_hounsfield(depth, size, rng), rng), rng)


def _hounsfield(depth: Floats, size: float, rng: Generator) -> Floats:
    scalp, skull = rng.uniform(0.8, 5) * size, rng.uniform(2.5, 9) * size * (1 + 0.25 * smooth(rng, 5))
    skin = min(scalp, 1.5 * size)
    density = np.where(depth > 0, rng.choice([MUSCLE, 20.0]), AIR)
    density = np.where(depth > skin, rng.choice([FAT, 0.0, MUSCLE]), density)
    bone = rng.uniform(800, 1700)
    share = np.clip((depth - scalp) / 1.2, 0, 1)
    density = paint(density, share, bone)
    middle = np.abs(depth - scalp - skull / 2) < skull / 6
    density = np.where(middle & (skull > 5), bone * rng.uniform(0.4, 1), density)
    inside = np.clip((depth - scalp - skull) / 1.3, 0, 1)
    brain = _brain(depth - scalp - skull, rng)
    if rng.random() < 0.3:
        brain = _skull_base(brain, bone, rng)
    noise = rng.uniform(1, 9) * ndimage.gaussian_filter(rng.standard_normal(depth.shape), rng.uniform(0, 1.2))
    return np.asarray(paint(density, inside, brain) + noise)


def _brain(depth: Floats, rng: Generator) -> Floats:
    """White and grey matter, furrows, ventricles, and sometimes blood, lime or a lesion."""
    grey, white = rng.uniform(34, 42), rng.uniform(25, 33)
    brain = white + (grey - white) * np.clip(0.5 + 0.8 * smooth(rng, int(rng.integers(8, 20))), 0, 1)
    furrows = (np.abs(smooth(rng, 18)) < rng.uniform(0, 0.25)) & (depth < rng.uniform(3, 16))
    brain = np.where(furrows, FLUID + rng.uniform(0, 20), brain)
    wide, high = rng.uniform(0.02, 0.14), rng.uniform(0.08, 0.3)
    for side in (-1, 1) if rng.random() < 0.75 else ():
        for end in (-1, 1):
            centre = (side * (wide + 0.02 + rng.uniform(0, 0.06)), end * high * 0.7)
            brain = paint(brain, blob(rng, centre, (wide, high)), FLUID + rng.uniform(0, 6))
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        share = blob(rng, tuple(rng.uniform(-0.45, 0.45, 2)), tuple(rng.uniform(0.03, 0.25, 2)), 0.15)
        brain = paint(brain, share * rng.uniform(0.5, 1), rng.choice([15.0, 65.0, 80.0, 300.0]))
    return np.where((np.abs(X) < 0.012) & (rng.random() < 0.4), grey + 20, brain)


def _skull_base(brain: Floats, bone: float, rng: Generator) -> Floats:
    """Ridges of bone and cells of air among the brain, in a part of the picture."""
    where = np.clip((Y * rng.choice([-1, 1]) + rng.uniform(0, 0.9)) * 4, 0, 1)
    ridges = np.clip((fractal(rng, rng.uniform(1.2, 1.8)) - rng.uniform(0.45, 0.65)) * 9, 0, 1)
    cells = np.clip((fractal(rng, rng.uniform(1.2, 1.8)) - rng.uniform(0.55, 0.75)) * 9, 0, 1)
    return paint(paint(brain, ridges * where, bone), cells * where, AIR)


def _with_holder(density: Floats, rng: Generator) -> Floats:
    """In 4 of 10 pictures with the arc of a holder around a part of the head, or with a table's line."""
    if rng.random() > 0.4:
        return density
    distance = np.hypot(X / rng.uniform(0.85, 1.1), Y) - rng.uniform(0.85, 1.05)
    arc = (np.abs(distance) < rng.uniform(0.008, 0.03)) & (rng.choice([-1, 1]) * Y > rng.uniform(0.0, 0.6))
    return np.where(arc & (density < -500), rng.choice([-300.0, 60.0, 200.0]), density)


def windowed(density: Floats, rng: Generator) -> Floats:
    """Hounsfield units as grey values in [0, 1]: in a window for brain or bone, or the whole range of the file."""
    choice = rng.random()
    windows = _BRAIN_WINDOWS if choice < 0.65 else _BONE_WINDOWS
    width, level = windows[int(rng.integers(len(windows)))]
    grey = np.clip((density - level) / (width * rng.uniform(0.85, 1.2)) + 0.5, 0, 1)
    zoomed = ndimage.zoom(grey, rng.uniform(0.75, 1.15), order=1, mode="grid-constant")
    return np.asarray(_fitted(zoomed, float(grey[0, 0])), np.float32)


def _fitted(grey: Floats, ground: float) -> Floats:
    """The middle of a larger picture, or a smaller one amid its ground."""
    size = len(grey)
    if size >= SIZE:
        start = (size - SIZE) // 2
        return grey[start : start + SIZE, start : start + SIZE]
    before = (SIZE - size) // 2
    return np.pad(grey, (before, SIZE - size - before), constant_values=ground)
