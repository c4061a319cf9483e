"""Pictures of what a model said about single images: where its map points, and its worst mistakes."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from brain_assets.ml.evaluation import JudgedModel
from brain_assets.ml.localisation import peaks
from brain_assets.ml.plots import encoded
from brain_core.explain import overlay_png
from brain_core.labels import CLASSES

COLUMNS = 4
SHOWN = 12
MAX_FILE_BYTES = 400_000
"""For pictures that are files; those inside a page have `plots.MAX_PNG_BYTES`."""

_SIDES_AND_TEXT_PIXELS = ((160, 12), (128, 11), (104, 9))
"""Sides of an image and heights of its text, the largest that is small enough is taken."""
_GAP_PIXELS = 4
_COLOURS = 80
_ALL_COLOURS = 256
_BOX_COLOUR = (80, 220, 80)
_PEAK_RADIUS = 5


Rows = NDArray[np.int64]
"""Which of the judged images, int64 (K,)."""


@dataclass(frozen=True)
class _Tile:
    """One image with its map as colours; where box and peak are, as fractions; two lines of text."""

    picture: Image.Image
    box: NDArray[np.float32]
    peak: NDArray[np.float64] | None
    captions: tuple[str, str]


def shown_maps(judged: JudgedModel, labels: tuple[int, ...], shown: int = SHOWN, seed: int = 0) -> Rows:
    """Rows of images that are drawn by lot, one of a group, right or wrong, those with a box first.

    Args:
        judged: what to show.
        labels: classes to show, as many images of each.
        shown: how many images at most.
        seed: of the lot.
    """
    rng = np.random.default_rng(seed)
    rows = judged.representatives
    share = max(1, shown // len(labels))
    chosen = [_by_lot(rows[judged.test.labels[rows] == label], share, judged.test.boxes, rng) for label in labels]
    return np.concatenate(chosen)


def worst_mistakes(judged: JudgedModel, shown: int = SHOWN) -> Rows:
    """Rows of the images that the model is most confidently wrong about, one of each component before others of it."""
    rows = judged.representatives
    wrong = rows[judged.answers.predictions[rows] != judged.test.labels[rows]]
    confidence = judged.answers.probabilities.max(axis=-1)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")]
    is_further = judged.facts["component"].iloc[worst].duplicated().to_numpy(bool)
    return np.asarray(worst[np.argsort(is_further, kind="stable")][:shown], np.int64)


def gallery(judged: JudgedModel, rows: Rows, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
    """PNG of images with the map of the predicted class, its peak (ring), the tumour's box, true and predicted class.

    Args:
        judged: the answers.
        rows: what to show.
        max_bytes: the images are made smaller, and the last ones left out, until the PNG is not larger.

    Returns:
        None where there is nothing to show, or not even one image is small enough.
    """
    tiles = [_tile(judged, int(row)) for row in rows]
    for size in _SIDES_AND_TEXT_PIXELS:
        data = encoded(_laid_out(tiles, size), _ALL_COLOURS) if tiles else b""
        if tiles and len(data) <= max_bytes:
            return data
    return gallery(judged, rows[: (len(rows) - 1) // COLUMNS * COLUMNS], max_bytes) if len(rows) > COLUMNS else None


def _by_lot(rows: Rows, count: int, boxes: NDArray[np.float32], rng: np.random.Generator) -> Rows:
    """Some of the rows, those with a known box before the others."""
    drawn = rng.permutation(rows)
    has_box = ~np.isnan(boxes[drawn]).any(axis=1)
    return drawn[np.argsort(~has_box, kind="stable")][:count]


def _tile(judged: JudgedModel, row: int) -> _Tile:
    pixels = np.asarray(judged.test.images[row : row + 1])[0, ..., 0]
    maps = None if judged.answers.maps is None else judged.answers.maps[row : row + 1]
    confidence = float(judged.answers.probabilities[row].max())
    truth, answer = CLASSES[judged.test.labels[row]], CLASSES[judged.answers.predictions[row]]
    return _Tile(
        picture=Image.fromarray(pixels) if maps is None else Image.open(io.BytesIO(overlay_png(pixels, maps[0]))),
        box=judged.test.boxes[row],
        peak=None if maps is None else peaks(maps)[0],
        captions=(f"true: {truth}", f"said: {answer} {confidence:.2f}"),
    )


def _laid_out(tiles: list[_Tile], size: tuple[int, int]) -> Image.Image:
    side, text = size
    step_x, step_y = side + _GAP_PIXELS, side + 2 * (text + 3) + _GAP_PIXELS
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (min(COLUMNS, len(tiles)) * step_x, rows * step_y))
    corners = [((index % COLUMNS) * step_x, (index // COLUMNS) * step_y) for index in range(len(tiles))]
    for tile, corner in zip(tiles, corners, strict=True):
        small = tile.picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        sheet.paste(small, corner)
    # Fewer colours first: thin lines in colours of their own would be lost. Most pixels are grey, the map is not.
    reduced = sheet.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE).convert("RGB")
    draw = ImageDraw.Draw(reduced)
    for tile, corner in zip(tiles, corners, strict=True):
        _mark(draw, tile, corner, size)
    return reduced


def _mark(draw: ImageDraw.ImageDraw, tile: _Tile, corner: tuple[int, int], size: tuple[int, int]) -> None:
    (left, top), (side, text) = corner, size
    if not np.isnan(tile.box).any():
        x0, y0, x1, y1 = (round(float(edge)) for edge in tile.box * (side - 1))
        draw.rectangle([left + x0, top + y0, left + x1, top + y1], outline=_BOX_COLOUR)
    if tile.peak is not None:
        x, y = left + tile.peak[0] * side, top + tile.peak[1] * side
        draw.ellipse([x - _PEAK_RADIUS, y - _PEAK_RADIUS, x + _PEAK_RADIUS, y + _PEAK_RADIUS], outline="white")
    # Letters without grey edges need no further colours.
    draw.fontmode = "1"
    for line, caption in enumerate(tile.captions):
        draw.text((left, top + side + line * (text + 3)), caption, fill="white", font=ImageFont.load_default(text))
