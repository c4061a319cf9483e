"""What the drawings for the upload gate's fit are made with: noise, soft shapes, paint, a pen.

Pictures are float32 (`SIZE`, `SIZE`) in about [0, 1]; positions and lengths are in half images from the centre.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from brain_core.cores import usable_cores
from brain_core.imaging import resize

SIZE = 160
Floats = NDArray[Any]

Y, X = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)


def drawn(count: int, size: int, draw: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures, uint8 (count, size, size, 1), made on all cores.

    Args:
        count: how many.
        size: their height and width.
        draw: makes the picture of an index, uint8 of any size, and depends on nothing that another call changes.
    """
    pictures = np.empty((count, size, size, 1), np.uint8)
    with ThreadPoolExecutor(usable_cores()) as executor:
        for index, picture in enumerate(executor.map(draw, range(count))):
            pictures[index, ..., 0] = resize(picture, size)
    return pictures


def smooth(rng: Generator, cells: int) -> Floats:
    """Standard normal values on a grid of cells, interpolated smoothly."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def fractal(rng: Generator, slope: float) -> Floats:
    """Noise whose amplitude falls with the frequency to the power of `slope`, as in natural images; in [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, np.newaxis], np.fft.rfftfreq(SIZE))
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    return stretched(np.fft.irfft2(phases / frequency**slope, s=(SIZE, SIZE)))


def stretched(values: Floats) -> Floats:
    """Values between the first and the last hundredth, in [0, 1]."""
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32))


def blob(rng: Generator, centre: tuple[float, float], radii: tuple[float, float], roughness: float = 0.06) -> Floats:
    """Soft share of each pixel in a bent, turned ellipse; positions and radii in half images."""
    turn = rng.uniform(-0.5, 0.5)
    x, y = X - centre[0], Y - centre[1]
    across, down = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius = np.hypot(across / radii[0], down / radii[1]) + roughness * smooth(rng, 6)
    return np.asarray(np.clip((1 - radius) * 14 + 0.5, 0, 1))


def upright(centre: tuple[float, float], radii: tuple[float, float], power: float = 2.0) -> Floats:
    """Soft share of each pixel in an upright superellipse."""
    radius = np.abs((X - centre[0]) / radii[0]) ** power + np.abs((Y - centre[1]) / radii[1]) ** power
    return np.asarray(np.clip((1 - radius ** (1 / power)) * 20 + 0.5, 0, 1))


def paint(below: Floats, share: Floats, grey: Floats | float) -> Floats:
    """The picture below with a grey over a share of each pixel."""
    return below + (grey - below) * share


def near_coil(rng: Generator, grey: Floats) -> Floats:
    """Half the pictures bright near a place and dark far from it, as a surface coil shows a body."""
    if rng.random() < 0.5:
        return grey
    x, y = rng.uniform(-0.4, 0.4, 2)
    return np.asarray(grey * np.exp(-(np.hypot(X - x, Y - y) ** 2) / rng.uniform(0.3, 2.0)))


def part(rng: Generator, grey: Floats) -> Floats:
    """A piece of a picture, enlarged: a smaller field of view."""
    side = int(SIZE * rng.uniform(0.45, 0.9))
    top, left = rng.integers(0, SIZE - side + 1, 2)
    piece = Image.fromarray(grey[top : top + side, left : left + side].astype(np.float32))
    return np.asarray(piece.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def scanned(rng: Generator, grey: Floats) -> Floats:
    """What a scanner makes of it: shading, blur and noise."""
    shaded = grey * np.exp(0.15 * smooth(rng, 3))
    noise = rng.normal(0, rng.uniform(0.005, 0.05), (2, SIZE, SIZE))
    return np.asarray(np.hypot(shaded + noise[0], noise[1]))


def pen(back: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture of one grey value, and what draws on it."""
    image = Image.new("L", (SIZE, SIZE), back)
    return image, ImageDraw.Draw(image)


def pixels(image: Image.Image, blur: float = 0.0) -> Floats:
    """A drawn picture in [0, 1], blurred by so many pixels."""
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)) if blur else image, np.float32) / 255
