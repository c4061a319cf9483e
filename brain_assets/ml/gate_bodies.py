"""Medical pictures that are no brain MRI, drawn: other organs, radiographs, ultrasound, microscopy.

They are crude on purpose: what counts is what follows from the rim inwards, symmetry, frequencies and edges, not
beauty. Every function draws one picture from a random generator, see `gate_canvas`.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image

from brain_assets.ml.gate_canvas import (
    SIZE,
    Floats,
    X,
    Y,
    blob,
    fractal,
    near_coil,
    paint,
    part,
    pen,
    pixels,
    scanned,
    smooth,
    upright,
)


def torso(rng: Generator) -> Floats:
    """A cross-section of chest, abdomen or pelvis, CT or MRI."""
    wide, high = rng.uniform(0.8, 1.05), rng.uniform(0.5, 1.0)
    power, fat = rng.uniform(2.0, 3.0), rng.uniform(0.1, 0.95)
    rim = rng.uniform(0.04, 0.16)
    picture = paint(np.zeros_like(X), upright((0, 0), (wide, high), power), fat)
    muscle = rng.uniform(0.25, 0.6)
    picture = paint(picture, upright((0, 0), (wide - rim, high - rim), power), muscle)
    inside = upright((0, -0.05), (wide - 2 * rim, high - 2 * rim), power)
    picture = paint(picture, inside, rng.uniform(0.1, 0.9) * 0.7)
    for _ in range(int(rng.integers(3, 12))):
        centre = (rng.uniform(-0.6, 0.6) * wide, rng.uniform(-0.7, 0.5) * high)
        organ = blob(rng, centre, (rng.uniform(0.08, 0.45), rng.uniform(0.08, 0.4)))
        picture = paint(picture, organ * inside, rng.uniform(0, 1))
    if rng.random() < 0.5:
        for side in (-1, 1):
            lung = blob(rng, (side * wide * 0.45, -0.05), (wide * 0.3, high * 0.6))
            picture = paint(picture, lung * inside, rng.uniform(0, 0.12))
    spine = (0.0, high * rng.uniform(0.4, 0.6))
    picture = paint(picture, blob(rng, spine, (0.17, 0.14)), rng.uniform(0.4, 1))
    return scanned(rng, paint(picture, blob(rng, spine, (0.1, 0.08)), rng.uniform(0.1, 0.7)))


def close_up(rng: Generator) -> Floats:
    """Tissue up to the border: organs in a small field of view, or part of a body's cross-section."""
    if rng.random() < 0.5:
        return part(rng, torso(rng))
    picture = rng.uniform(0.15, 0.7) + 0.06 * smooth(rng, 12)
    for _ in range(int(rng.integers(6, 22))):
        size = rng.uniform(0.06, 0.6)
        share = blob(rng, tuple(rng.uniform(-1, 1, 2)), (size, size * rng.uniform(0.4, 1)), rng.uniform(0.02, 0.2))
        picture = paint(picture, share, rng.uniform(0, 1) + rng.uniform(0, 0.15) * smooth(rng, 24))
    return scanned(rng, near_coil(rng, picture))


def pelvis(rng: Generator) -> Floats:
    """A gland between muscles and bones in fat, up to the border."""
    picture = rng.uniform(0.4, 0.9) + 0.08 * smooth(rng, 16)
    for side in (-1, 1):
        picture = paint(picture, blob(rng, (side * 0.9, -0.1), (0.35, 0.6)), rng.uniform(0.15, 0.6))
        picture = paint(picture, blob(rng, (side * 0.5, 0.1), (0.13, 0.5)), rng.uniform(0.05, 0.3))
    grey = rng.uniform(0.2, 0.5)
    picture = paint(picture, blob(rng, (0, -0.5), (0.5, 0.3)), rng.choice([0.05, 0.95]))
    picture = paint(picture, blob(rng, (0, 0.1), (rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.4))), grey)
    picture = paint(picture, blob(rng, (0, 0.02), (0.2, 0.18)), grey + rng.uniform(-0.1, 0.3))
    return scanned(rng, paint(picture, blob(rng, (0, 0.6), (0.2, 0.2)), rng.uniform(0, 0.4)))


def heart(rng: Generator) -> Floats:
    """A short-axis view of the heart in the chest: ring of muscle around blood, lungs, liver, wall with fat."""
    picture = np.zeros_like(X)
    wide, high = rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.2)
    wall, power = rng.uniform(0.04, 0.2), rng.uniform(2, 3)
    picture = paint(picture, upright((0, 0), (wide, high), power), rng.uniform(0.2, 1))
    picture = paint(picture, upright((0, 0), (wide - wall, high - wall), power), rng.uniform(0.1, 0.5))
    lungs = upright((0, -0.05), (wide - 2 * wall, high - 2 * wall), power)
    picture = paint(picture, lungs, rng.uniform(0, 0.2) + 0.04 * np.abs(smooth(rng, 24)))
    picture = paint(picture, blob(rng, (-0.35, 0.55), (0.7, 0.35)) * lungs, rng.uniform(0.1, 0.7))
    x, y = rng.uniform(-0.2, 0.25, 2)
    radius, muscle, blood = rng.uniform(0.15, 0.42), rng.uniform(0.05, 0.45), rng.uniform(0.4, 1)
    picture = paint(picture, blob(rng, (x, y), (radius * 1.5, radius * 1.4), 0.12), rng.uniform(0.1, 0.9))
    for _ in range(int(rng.integers(1, 4))):
        place = (x - radius * rng.uniform(0.8, 1.5), y + radius * rng.uniform(-1.2, 0.8))
        chamber = blob(rng, place, (radius * rng.uniform(0.4, 1.1), radius * rng.uniform(0.4, 1.0)), 0.12)
        picture = paint(picture, chamber, blood * rng.uniform(0.7, 1))
    picture = paint(picture, blob(rng, (x, y), (radius, radius * rng.uniform(0.8, 1.3))), muscle)
    hollow = radius * rng.uniform(0.4, 0.8)
    picture = paint(picture, blob(rng, (x, y), (hollow, hollow * rng.uniform(0.8, 1.3))), blood)
    spine = blob(rng, (rng.uniform(-0.2, 0.2), high * 0.65), (0.15, 0.15))
    picture = paint(picture, spine, rng.uniform(0.2, 0.8))
    return scanned(rng, near_coil(rng, part(rng, picture) if rng.random() < 0.4 else picture))


def limbs(rng: Generator) -> Floats:
    """Cross-sections of one or two arms or legs: fat, muscle, bone with marrow."""
    picture, count = np.zeros_like(X), int(rng.integers(1, 3))
    fat, muscle = rng.uniform(0.2, 1), rng.uniform(0.2, 0.6)
    for index in range(count):
        x = (index - 0.5) * 1.0 if count == 2 else rng.uniform(-0.1, 0.1)
        wide = rng.uniform(0.35, 0.48) if count == 2 else rng.uniform(0.5, 0.9)
        high = wide * rng.uniform(0.9, 1.4) if count == 2 else rng.uniform(0.5, 0.9)
        picture = paint(picture, blob(rng, (x, 0), (wide, high), 0.02), fat)
        inner = blob(rng, (x, 0), (wide * rng.uniform(0.7, 0.92), high * rng.uniform(0.7, 0.92)), 0.04)
        picture = paint(picture, inner, muscle + 0.07 * np.abs(smooth(rng, 14)))
        for _ in range(int(rng.integers(1, 3))):
            place = (x + rng.uniform(-0.3, 0.3) * wide, rng.uniform(-0.3, 0.3) * high)
            bone = rng.uniform(0.15, 0.4) * wide
            picture = paint(picture, blob(rng, place, (bone, bone), 0.03), rng.choice([0.02, 1.0]))
            picture = paint(picture, blob(rng, place, (bone * 0.7, bone * 0.7), 0.03), rng.uniform(0.3, 0.9))
    return scanned(rng, picture)


def joint(rng: Generator) -> Floats:
    """A knee, ankle or spine from the side: long bones or vertebrae in a band of tissue."""
    band = np.clip((rng.uniform(0.5, 0.95) - np.abs(X + 0.15 * smooth(rng, 3))) * 15, 0, 1)
    picture = band * (rng.uniform(0.2, 0.7) + 0.06 * smooth(rng, 14))
    bones, width = int(rng.integers(2, 11)), rng.uniform(0.15, 0.45)
    height, grey, bent = 1 / bones, rng.uniform(0.4, 1), rng.uniform(-0.3, 0.3)
    for index in range(bones):
        y = -1 + (2 * index + 1) * height
        bone = upright((bent * y * y, y), (width, height * rng.uniform(0.75, 0.9)), 4.0)
        picture = paint(picture, bone, 0.05)
        picture = paint(picture, upright((bent * y * y, y), (width * 0.9, height * 0.72), 4.0), grey)
    return scanned(rng, picture if rng.random() < 0.7 else picture.T)


def chest_radiograph(rng: Generator) -> Floats:
    """Two dark lungs with ribs between bright mediastinum, shoulders and diaphragm."""
    picture = rng.uniform(0.5, 0.8) + 0.05 * smooth(rng, 6)
    for side in (-1, 1):
        lung = blob(rng, (side * 0.42, -0.05), (rng.uniform(0.27, 0.36), rng.uniform(0.55, 0.75)), 0.05)
        ribs = 0.06 * np.sin((Y * 9 + side * X * 4) * rng.uniform(2, 3))
        picture = paint(picture, lung, rng.uniform(0.1, 0.3) + ribs)
    picture = paint(picture, blob(rng, (0.12, 0.3), (0.32, 0.3)), 0.85)
    return scanned(rng, picture * (1 - 0.9 * (np.abs(X) > rng.uniform(0.85, 1.2))))


def bones(rng: Generator) -> Floats:
    """A radiograph of a hand, foot or limb: bright sticks in a dimmer outline on dark."""
    image, draw = pen(int(rng.integers(0, 30)))
    base = rng.uniform(60, 100, 2)
    for angle in np.linspace(-0.8, 0.8, int(rng.integers(1, 6))) + rng.uniform(-3, 3):
        tip = base + 90 * np.array([np.sin(angle), -np.cos(angle)])
        draw.line([*base, *tip], fill=int(rng.integers(60, 110)), width=int(rng.integers(14, 30)))
        for start, end in ((0.0, 0.35), (0.4, 0.65), (0.7, 0.9)):
            ends = [*(base + (tip - base) * start), *(base + (tip - base) * end)]
            draw.line(ends, fill=int(rng.integers(150, 255)), width=int(rng.integers(5, 10)))
    return scanned(rng, pixels(image, 1.2))


def skull_radiograph(rng: Generator) -> Floats:
    """A head that is looked through: bright rim, even inside with faint lines, bright jaw."""
    head = blob(rng, (0, -0.15), (rng.uniform(0.65, 0.9), rng.uniform(0.6, 0.8)), 0.03)
    inner = blob(rng, (0, -0.15), (rng.uniform(0.6, 0.8), rng.uniform(0.55, 0.7)), 0.03)
    picture = paint(rng.uniform(0, 0.1) + 0 * X, head, rng.uniform(0.7, 1))
    picture = paint(picture, inner, rng.uniform(0.35, 0.6) + 0.05 * smooth(rng, 5))
    for _ in range(6):
        share = blob(rng, (rng.uniform(-0.4, 0.4), rng.uniform(0.2, 0.9)), (0.25, 0.15))
        picture = paint(picture, share * 0.7, rng.uniform(0.3, 1))
    return scanned(rng, picture)


def mammogram(rng: Generator) -> Floats:
    """Half an ellipse at one side, with bright strands."""
    side = rng.choice([-1, 1])
    breast = blob(rng, (side * 1.0, 0), (rng.uniform(0.7, 1.3), rng.uniform(0.7, 0.95)), 0.03)
    strands = np.clip(fractal(rng, 1.4) * 1.3 - 0.3, 0, 1)
    return scanned(rng, breast * (rng.uniform(0.15, 0.35) + 0.6 * strands))


def ultrasound(rng: Generator) -> Floats:
    """A fan of speckle on black."""
    top = rng.uniform(-1.3, -0.9)
    angle, radius = np.arctan2(X, Y - top), np.hypot(X, Y - top)
    fan = (np.abs(angle) < rng.uniform(0.4, 0.9)) & (radius > rng.uniform(0.1, 0.4)) & (radius < rng.uniform(1.6, 2.1))
    tissue = np.exp(0.8 * smooth(rng, 7)) * 0.25
    for _ in range(3):
        tissue = paint(tissue, blob(rng, tuple(rng.uniform(-0.5, 0.6, 2)), (0.25, 0.2), 0.1), 0.03)
    speckle = Image.fromarray(rng.rayleigh(0.8, (SIZE, SIZE)).astype(np.float32))
    return np.asarray(np.clip(tissue * np.asarray(speckle.resize((SIZE, SIZE)), np.float32), 0, 1) * fan)


def fundus(rng: Generator) -> Floats:
    """A round view of the back of the eye or through an endoscope, with vessels."""
    radius = rng.uniform(0.75, 1.0)
    disc = blob(rng, (0, 0), (radius, radius), 0.0)
    image, draw = pen(0)
    x, y = rng.uniform(40, 120, 2)
    for angle in rng.uniform(0, 2 * np.pi, 9):
        points = [(x, y)]
        for _ in range(8):
            angle += rng.normal(0, 0.25)
            points.append((points[-1][0] + 12 * np.cos(angle), points[-1][1] + 12 * np.sin(angle)))
        draw.line(points, fill=255, width=int(rng.integers(1, 4)))
    spot = blob(rng, (x / 80 - 1, y / 80 - 1), (0.17, 0.17), 0.02)
    back = rng.uniform(0.3, 0.6) + 0.08 * smooth(rng, 4)
    sign = rng.choice([-1, 1])
    return np.asarray(np.clip(paint(back + sign * 0.3 * pixels(image, 0.8), spot, 0.9) * disc, 0, 1))


def layers(rng: Generator) -> Floats:
    """Bent layers with speckle, as optical coherence tomography or seismics show."""
    depth = Y * rng.uniform(3, 12) + rng.uniform(0.2, 1.0) * smooth(rng, 3)
    table = rng.random(64)
    picture = np.interp(depth % 8, np.linspace(0, 8, 64), table) * (np.abs(Y) < rng.uniform(0.4, 1.2))
    return np.asarray(picture * rng.rayleigh(0.6, picture.shape))


def vessels(rng: Generator) -> Floats:
    """A tree of bright vessels, as angiography shows it."""
    back = rng.uniform(0, 0.25) if rng.random() < 0.7 else 0.7
    image, draw = pen(0)
    ends = [(80.0, 160.0, -np.pi / 2, 7.0)]
    for _ in range(120):
        x, y, angle, width = ends.pop(0)
        angle += rng.normal(0, 0.3)
        end = (x + 11 * np.cos(angle), y + 11 * np.sin(angle))
        draw.line([x, y, *end], fill=255, width=max(1, round(width)))
        ends.append((*end, angle, width * 0.93))
        if rng.random() < 0.35:
            ends.append((*end, angle + rng.choice([-0.7, 0.7]), width * 0.7))
    lines = pixels(image, 0.7)
    return scanned(rng, np.clip(back + (0.8 if back < 0.5 else -0.6) * lines + 0.05 * smooth(rng, 8), 0, 1))


def cells(rng: Generator) -> Floats:
    """Cells or grains: round spots with a kernel, on bright or on dark."""
    is_dark = rng.random() < 0.4
    image, draw = pen(int(rng.integers(0, 40) if is_dark else rng.integers(180, 250)))
    radius = rng.uniform(4, 26)
    for x, y in rng.uniform(-10, SIZE + 10, (int(rng.integers(8, 900) / radius * 4) + 4, 2)):
        r, grey = radius * rng.uniform(0.6, 1.3), int(rng.integers(40, 240))
        draw.ellipse([x - r, y - r * 0.9, x + r, y + r * 0.9], fill=grey)
        draw.ellipse([x - r / 2, y - r / 2, x + r / 2, y + r / 2], fill=int(grey * rng.uniform(0.3, 1)))
    return np.clip(pixels(image, rng.uniform(0.3, 1.5)) + 0.08 * smooth(rng, 40), 0, 1)
