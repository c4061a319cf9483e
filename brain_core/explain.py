"""From an activation map to what a person sees: peak, contours, overlay."""

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_core.imaging import encode_png

CONTOUR_LEVEL = 0.5
"""Share of the map's maximum at which the contour is drawn."""

_RAMP_POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_RAMP_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def normalised(activation_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive evidence of a float32 (h, w) map scaled to [0, 1]; all 0 when there is none."""
    positive = np.maximum(activation_map, 0.0)
    greatest = float(positive.max())
    return (positive / greatest if greatest > 0 else positive).astype(np.float32)


def peak(activation_map: NDArray[np.float32]) -> tuple[float, float]:
    """X and y of the maximum's cell centre, as fractions of width and height."""
    height, width = activation_map.shape
    row, column = np.unravel_index(int(activation_map.argmax()), activation_map.shape)
    return (float(column) + 0.5) / width, (float(row) + 0.5) / height


def contours(activation_map: NDArray[np.float32]) -> list[list[tuple[float, float]]]:
    """Outlines of the map at half its maximum: polygons of x and y as fractions of width and height."""
    height, width = activation_map.shape
    # A border of zeros closes the outlines that would run out of the map.
    padded = np.pad(normalised(activation_map), 1)
    lines = contourpy.contour_generator(z=padded).lines(CONTOUR_LEVEL)
    return [_as_fractions(np.asarray(line), width, height) for line in lines]


def overlay_png(grey: NDArray[np.uint8], activation_map: NDArray[np.float32], opacity: float = 0.5) -> bytes:
    """PNG of uint8 (H, W) with the map as colours over it; where there is no evidence the image stays as it is."""
    height, width = grey.shape
    heat = Image.fromarray(normalised(activation_map)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(heat, dtype=np.float32), 0.0, 1.0)
    alpha = opacity * strength[..., np.newaxis]
    base = np.repeat(grey[..., np.newaxis], 3, axis=-1).astype(np.float32)
    return encode_png(np.round(base * (1 - alpha) + _colours(strength) * alpha).astype(np.uint8))


def _colours(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = zip(*_RAMP_COLOURS, strict=True)
    return np.stack([np.interp(strength, _RAMP_POSITIONS, c) for c in channels], axis=-1).astype(np.float32)


def _as_fractions(line: NDArray[np.float64], width: int, height: int) -> list[tuple[float, float]]:
    x = np.clip((line[:, 0] - 0.5) / width, 0, 1)
    y = np.clip((line[:, 1] - 0.5) / height, 0, 1)
    return [(round(float(a), 4), round(float(b), 4)) for a, b in zip(x, y, strict=True)]
