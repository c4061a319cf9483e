"""Everyday pictures that are no brain MRI, drawn: pages, textures, objects, scenes; and the list of all drawings."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFont

from brain_assets.ml import gate_bodies as bodies
from brain_assets.ml import gate_chests as chests
from brain_assets.ml.gate_canvas import (
    SIZE,
    Floats,
    X,
    Y,
    blob,
    fractal,
    paint,
    pen,
    pixels,
    smooth,
    stretched,
    upright,
)

Drawing = Callable[[Generator], Floats]


def noise_texture(rng: Generator) -> Floats:
    """Noise of natural images, plain or folded into veins."""
    noise = fractal(rng, rng.uniform(0.0, 2.2))
    return noise if rng.random() < 0.6 else stretched(np.abs(noise - 0.5))


def pattern(rng: Generator) -> Floats:
    """Stripes, checks, rings or bricks, bent a little."""
    bend = rng.uniform(0, 0.3)
    x, y = X + bend * smooth(rng, 4), Y + bend * smooth(rng, 4)
    angle, count = rng.uniform(0, np.pi), rng.uniform(2, 30)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    waves = (
        np.sin(along * count),
        np.sign(np.sin(along * count) * np.sin(across * count)),
        np.sin(np.hypot(x, y) * count),
        np.maximum(np.sin(across * count), np.sin(along * count / 2 + np.floor(across * count / np.pi) * np.pi / 2)),
    )
    return stretched(waves[int(rng.integers(len(waves)))] + rng.uniform(0, 0.4) * rng.standard_normal(x.shape))


def mosaic(rng: Generator) -> Floats:
    """Fields with roads and houses, or stones: patches of texture, seen from above."""
    seeds, greys = rng.uniform(-1, 1, (int(rng.integers(6, 60)), 2)), rng.random(60)
    bend = rng.uniform(0, 0.1)
    x, y = X + bend * smooth(rng, 8), Y + bend * smooth(rng, 8)
    distance = np.abs(x[..., None] - seeds[:, 0]) + np.abs(y[..., None] - seeds[:, 1])
    order = np.partition(distance, 1, axis=-1)
    picture = greys[distance.argmin(axis=-1)] * 0.7 + 0.3 * fractal(rng, rng.uniform(0.5, 1.5))
    return np.where(order[..., 1] - order[..., 0] < rng.uniform(0, 0.06), rng.random(), picture)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def page(rng: Generator) -> Floats:
    """Lines of text, dark on light or light on dark."""
    back, ink = (int(rng.integers(215, 256)), int(rng.integers(0, 90)))
    if rng.random() < 0.3:
        back, ink = ink // 3, back
    image, draw = pen(back)
    size = rng.uniform(6, 30)
    font, margin = _font(size), rng.uniform(2, 25)
    for y in np.arange(margin, SIZE - margin, size * rng.uniform(1.0, 1.6)):
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz     ABCDE0123456789.,"), int(300 / size))
        draw.text((margin, y), "".join(letters)[: int(rng.integers(1, 60))], fill=ink, font=font)
    return pixels(image, rng.uniform(0, 0.6))


def plot(rng: Generator) -> Floats:
    """Axes with lines, bars, points or a pie."""
    back, ink = (255, 0) if rng.random() < 0.7 else (int(rng.integers(0, 40)), 255)
    image, draw = pen(back)
    kind, count = int(rng.integers(4)), int(rng.integers(4, 40))
    heights = rng.uniform(20, 140, count)
    places = np.linspace(20, 150, count)
    greys = rng.integers(40, 230, count).tolist()
    draw.line([(18, 10), (18, 145), (152, 145)], fill=ink)
    if kind == 0:
        draw.line(list(zip(places, heights, strict=True)), fill=greys[0], width=int(rng.integers(1, 4)))
    for x, y, grey in zip(places, heights, greys, strict=True):
        if kind == 1:
            draw.rectangle([x, y, x + 0.7 * 130 / count, 145], fill=grey)
        elif kind == 2:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=grey)
        elif kind == 3:
            draw.pieslice([25, 20, 145, 140], float(x * 3), float(x * 3 + y), fill=grey)
    draw.text((50, 148), "value", fill=ink, font=_font(9))
    return pixels(image)


def screenshot(rng: Generator) -> Floats:
    """Panels, bars, buttons and lines of text."""
    image, draw = pen(int(rng.integers(0, 256)))
    for _ in range(int(rng.integers(3, 14))):
        x, y = rng.uniform(0, 130, 2)
        wide, high = rng.uniform(10, 130, 2)
        draw.rectangle([x, y, x + wide, y + high], fill=int(rng.integers(0, 256)), outline=int(rng.integers(0, 256)))
        for line in range(int(rng.integers(0, 5))):
            draw.text((x + 3, y + 3 + 9 * line), "Open file 123"[: int(wide / 6)], fill=int(rng.integers(0, 256)))
    return pixels(image)


def glyph(rng: Generator) -> Floats:
    """A digit, letter or sign, as large as the picture or smaller."""
    ink, back = (255, int(rng.integers(0, 20))) if rng.random() < 0.6 else (int(rng.integers(0, 60)), 255)
    image, draw = pen(back)
    size = rng.uniform(50, 170)
    sign = str(rng.choice(list("0123456789ABCDEFGHKMRSWXZ&@#%?")))
    draw.text((SIZE / 2, SIZE / 2), sign, fill=ink, font=_font(size), anchor="mm", stroke_width=int(rng.integers(0, 9)))
    turned = image.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR, fillcolor=back)
    return pixels(turned, rng.uniform(0, 4))


def line_drawing(rng: Generator) -> Floats:
    """Scribbled outlines, dark on light or light on dark."""
    is_dark = rng.random() < 0.35
    image, draw = pen(0 if is_dark else 255)
    for _ in range(int(rng.integers(3, 25))):
        points = np.cumsum(rng.normal(0, rng.uniform(4, 25), (int(rng.integers(3, 14)), 2)), axis=0)
        line = [tuple(p) for p in points + rng.uniform(20, 140, 2)]
        ink = int(rng.integers(120, 256) if is_dark else rng.integers(0, 130))
        if rng.random() < 0.3:
            draw.polygon(line, fill=ink, outline=ink)
        else:
            draw.line(line, fill=ink, width=int(rng.integers(1, 5)), joint="curve")
    for box in _spots(rng, int(rng.integers(0, 6))):
        draw.ellipse(box, outline=200 if is_dark else 40, width=int(rng.integers(1, 5)))
    return pixels(image, rng.uniform(0, 1))


def solid(rng: Generator) -> Floats:
    """A lit ball, fruit, planet, disc or ring on a dark or bright ground: a round thing that is no head."""
    wide = rng.uniform(0.4, 0.98)
    high = wide * rng.uniform(0.7, 1.3)
    share = blob(rng, tuple(rng.uniform(-0.12, 0.12, 2)), (wide, min(high, 0.98)), rng.uniform(0, 0.08))
    light = rng.uniform(-0.5, 0.5, 2)
    shade = np.clip(1 - rng.uniform(0, 0.8) * np.hypot(X - light[0], Y - light[1]), 0, 1)
    surface = shade * (1 - rng.uniform(0, 0.7) * fractal(rng, rng.uniform(0.8, 2)))
    if rng.random() < 0.3:
        surface = paint(surface, blob(rng, (0, 0), (wide * rng.uniform(0.3, 0.9), high * 0.6)), rng.random())
    ground = rng.choice([0.0, rng.uniform(0, 0.2), rng.uniform(0.5, 1)])
    return paint(ground + 0.02 * smooth(rng, 30), share, surface)


def gradient(rng: Generator) -> Floats:
    """A ramp, a glow, a rectangle or an even ground."""
    angle, kind = rng.uniform(0, 2 * np.pi), int(rng.integers(4))
    ramp = X * np.cos(angle) + Y * np.sin(angle)
    glow = np.exp(-((X / rng.uniform(0.2, 1)) ** 2) - (Y / rng.uniform(0.2, 1)) ** 2)
    box = upright(tuple(rng.uniform(-0.2, 0.2, 2)), tuple(rng.uniform(0.3, 0.95, 2)), 12.0)
    low, high = rng.random(2)
    share = ((ramp + 1.4) / 2.8, glow, box, np.zeros_like(X))[kind]
    return np.asarray(low + (high - low) * share + rng.uniform(0, 0.1) * rng.random(X.shape))


def scene(rng: Generator) -> Floats:
    """Natural texture with things in front: bright sky, ground, objects with edges and shadows."""
    horizon = np.clip((Y - rng.uniform(-0.6, 0.6) + 0.1 * smooth(rng, 6)) * 30, 0, 1)
    sky, ground = rng.uniform(0.4, 1) - 0.2 * fractal(rng, 2.0), 0.2 + 0.7 * fractal(rng, rng.uniform(0.8, 1.4))
    picture = paint(sky, horizon, ground)
    for _ in range(int(rng.integers(1, 14))):
        centre, radii = tuple(rng.uniform(-1, 1, 2)), tuple(rng.uniform(0.05, 0.6, 2))
        share = blob(rng, centre, radii, 0.1) if rng.random() < 0.5 else upright(centre, radii, 8.0)
        picture = paint(picture, share, rng.uniform(0, 1) * (0.6 + 0.4 * fractal(rng, rng.uniform(0.8, 2))))
    return picture


def _spots(rng: Generator, count: int) -> list[tuple[float, float, float, float]]:
    """Centres and radii of random boxes in pixels, as `ImageDraw` takes them."""
    centres, radii = rng.uniform(0, SIZE, (count, 2)), rng.uniform(3, 28, (count, 2))
    return [(x - a, y - b, x + a, y + b) for (x, y), (a, b) in zip(centres, radii, strict=True)]


DRAWINGS: dict[str, tuple[Drawing, ...]] = {
    "body": (bodies.torso, bodies.torso, bodies.limbs, bodies.joint),
    "close_up": (bodies.close_up, bodies.pelvis),
    "heart": (bodies.heart, chests.chest, chests.chest, chests.upright_chest),
    "radiograph": (bodies.chest_radiograph, bodies.bones, bodies.skull_radiograph, bodies.mammogram),
    "scope": (bodies.ultrasound, bodies.fundus, bodies.layers, bodies.vessels),
    "microscopy": (bodies.cells,),
    "texture": (noise_texture, pattern),
    "satellite": (mosaic,),
    "page": (page, plot, screenshot),
    "glyph": (glyph, line_drawing),
    "object": (solid, solid, gradient),
    "scene": (scene,),
}
"""Kinds of drawings and how each is drawn; a function that stands twice is drawn twice as often."""
