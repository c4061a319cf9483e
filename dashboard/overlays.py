"""The heat map over the image, as strong as the reader wants it, with its outline."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

API_OPACITY = 0.5
"""Opacity of the strongest evidence in the overlay that the API draws."""

_VIEW_PIXELS = 512
_OUTLINE_COLOURS = (("#00232b", 5), ("#00e5ff", 2))
"""Bright on dark: seen over any grey and any colour of the map."""

Outline = Sequence[tuple[float, float]]


def blended(picture: bytes, overlay: bytes, opacity: float, outlines: Sequence[Outline] = ()) -> bytes:
    """PNG of the image under the map.

    Args:
        picture: the image alone, JPEG or PNG.
        overlay: the same image under the map, as the API draws it.
        opacity: of the strongest evidence, [0, 1].
        outlines: polygons of x and y as fractions of width and height, drawn as lines.
    """
    base = Image.open(io.BytesIO(picture)).convert("RGB")
    coloured = Image.open(io.BytesIO(overlay)).convert("RGB").resize(base.size)
    # Both are mixtures of the same two colours, so any other mixture lies on the line through them.
    mixed = _enlarged(Image.blend(base, coloured, opacity / API_OPACITY))
    _draw(mixed, outlines)
    target = io.BytesIO()
    mixed.save(target, "PNG", compress_level=1)
    return target.getvalue()


def _enlarged(image: Image.Image) -> Image.Image:
    scale = max(1.0, _VIEW_PIXELS / max(image.size))
    width, height = (round(side * scale) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _draw(image: Image.Image, outlines: Sequence[Outline]) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for colour, line_width in _OUTLINE_COLOURS:
        for outline in outlines:
            draw.line([(x * width, y * height) for x, y in outline], fill=colour, width=line_width, joint="curve")
