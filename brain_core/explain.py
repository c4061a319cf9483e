"""From an activation map to what a person sees: peak, contours, overlay, and all of it as one picture."""

from collections.abc import Iterator, Sequence

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from brain_core.imaging import encode_png

CONTOUR_LEVEL = 0.5
"""Share of the map's maximum at which the contour is drawn."""

PICTURE_PIXELS = (512, 1024)
"""Least and greatest length of the longer side of the image in an explanation."""

_FLOAT16_RANGE = (-65504.0, 65504.0)
_TEXT_PIXELS = 18
_BORDER_PIXELS = 12
_OUTLINE_COLOUR = (0, 229, 255)
_RAMP_POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_RAMP_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def normalised(activation_map: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive evidence of a float32 (h, w) map scaled to [0, 1]; all 0 when there is none."""
    positive = np.maximum(activation_map, 0.0)
    greatest = float(positive.max())
    return (positive / greatest if greatest > 0 else positive).astype(np.float32)


def peak(activation_map: NDArray[np.float32]) -> tuple[float, float]:
    """X and y of the map's maximum as fractions of width and height, finer than its cells.

    In each direction a parabola through the greatest cell and its two neighbours tells where between the cell's edges
    the maximum lies (Fisher and Naidu 1996, A Comparison of Algorithms for Subpixel Peak Detection); at the map's
    border it is the cell's centre.
    """
    row, column = np.unravel_index(int(activation_map.argmax()), activation_map.shape)
    return (
        _vertex(activation_map[row], int(column)) / activation_map.shape[1],
        _vertex(activation_map[:, column], int(row)) / activation_map.shape[0],
    )


def contours(activation_map: NDArray[np.float32]) -> list[list[tuple[float, float]]]:
    """Outlines of the map at half its maximum: polygons of x and y as fractions of width and height."""
    height, width = activation_map.shape
    # A border of zeros closes the outlines that would run out of the map.
    padded = np.pad(normalised(activation_map), 1)
    lines = contourpy.contour_generator(z=padded).lines(CONTOUR_LEVEL)
    return [_as_fractions(np.asarray(line), width, height) for line in lines]


def packed(activation_map: NDArray[np.float32]) -> bytes:
    """A float32 (h, w) map in few bytes: height and width (uint16), then the values (float16), little-endian."""
    values = np.clip(activation_map, *_FLOAT16_RANGE).astype("<f2")
    return np.array(activation_map.shape, "<u2").tobytes() + values.tobytes()


def unpacked(data: bytes) -> NDArray[np.float32]:
    """The map, float32 (h, w), that `packed` made the bytes from, to three digits."""
    height, width = np.frombuffer(data, "<u2", 2)
    return np.frombuffer(data, "<f2", offset=4).reshape(int(height), int(width)).astype(np.float32)


def overlay_png(grey: NDArray[np.uint8], activation_map: NDArray[np.float32], opacity: float = 0.5) -> bytes:
    """PNG of uint8 (H, W) with the map as colours over it; where there is no evidence the image stays as it is."""
    return encode_png(_overlaid(grey, activation_map, opacity))


def explanation_png(grey: NDArray[np.uint8], activation_map: NDArray[np.float32], title: Sequence[str]) -> bytes:
    """PNG for a person: the overlay with the map's outline and a ring at its peak, under lines of text.

    Args:
        grey: the image, uint8 (H, W); shown larger or smaller, in its own aspect, within `PICTURE_PIXELS`.
        activation_map: float32 (h, w), the evidence for the class that the text names.
        title: what stands above, each entry on lines of its own.
    """
    picture = Image.fromarray(_overlaid(_viewable(grey), activation_map, opacity=0.5))
    _mark(picture, activation_map)
    return encode_png(np.asarray(_titled(picture, title), dtype=np.uint8))


def _overlaid(grey: NDArray[np.uint8], activation_map: NDArray[np.float32], opacity: float) -> NDArray[np.uint8]:
    height, width = grey.shape
    heat = Image.fromarray(normalised(activation_map)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(heat, dtype=np.float32), 0.0, 1.0)
    alpha = opacity * strength[..., np.newaxis]
    base = np.repeat(grey[..., np.newaxis], 3, axis=-1).astype(np.float32)
    return np.round(base * (1 - alpha) + _colours(strength) * alpha).astype(np.uint8)


def _viewable(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(grey)
    longer = max(picture.size)
    scale = np.clip(longer, *PICTURE_PIXELS) / longer
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def _vertex(values: NDArray[np.float32], greatest: int) -> float:
    """Where the parabola through a line's greatest value and its neighbours is highest; a cell is one unit wide."""
    centre = greatest + 0.5
    if not 0 < greatest < len(values) - 1:
        return centre
    before, value, after = values[greatest - 1 : greatest + 2].astype(np.float64)
    curvature = before - 2 * value + after
    return centre + float((before - after) / (2 * curvature)) if curvature < 0 else centre


def _mark(picture: Image.Image, activation_map: NDArray[np.float32]) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for outline in contours(activation_map):
        draw.line([(x * width, y * height) for x, y in outline], fill=_OUTLINE_COLOUR, width=2)
    x, y = peak(activation_map)
    for radius, colour in ((9, "black"), (8, "white"), (6, "black")):
        draw.ellipse([x * width - radius, y * height - radius, x * width + radius, y * height + radius], outline=colour)


def _titled(picture: Image.Image, title: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(_TEXT_PIXELS)
    width = max(picture.width, PICTURE_PIXELS[0])
    lines = [line for entry in title for line in _wrapped(entry, font, width - 2 * _BORDER_PIXELS)]
    step = _TEXT_PIXELS + 6
    head = 2 * _BORDER_PIXELS + step * len(lines)
    canvas = Image.new("RGB", (width, head + picture.height), "black")
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((_BORDER_PIXELS, _BORDER_PIXELS + step * number), line, fill="white", font=font)
    canvas.paste(picture, ((width - picture.width) // 2, head))
    return canvas


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            yield line
            longer = word
        line = longer
    yield line


def _colours(strength: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = zip(*_RAMP_COLOURS, strict=True)
    return np.stack([np.interp(strength, _RAMP_POSITIONS, c) for c in channels], axis=-1).astype(np.float32)


def _as_fractions(line: NDArray[np.float64], width: int, height: int) -> list[tuple[float, float]]:
    fractions = np.clip((line - 0.5) / (width, height), 0, 1)
    return [(x, y) for x, y in fractions.round(4).tolist()]
