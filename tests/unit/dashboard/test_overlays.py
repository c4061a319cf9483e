import io

import numpy as np
import pytest
from PIL import Image

from brain_core.explain import overlay_png
from brain_core.imaging import encode_png
from dashboard.overlays import API_OPACITY, blended

GREY = np.full((64, 48), 90, np.uint8)
MAP = np.zeros((8, 6), np.float32)
MAP[2, 4] = 1.0
PICTURE, OVERLAY = encode_png(GREY), overlay_png(GREY, MAP, API_OPACITY)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)


def test_no_strength_is_the_image_alone():
    assert (pixels(blended(PICTURE, OVERLAY, 0.0)) == 90).all()


@pytest.mark.parametrize("opacity", [0.2, 0.5, 0.9])
def test_any_strength_is_what_the_map_itself_would_give(opacity):
    small = Image.open(io.BytesIO(blended(PICTURE, OVERLAY, opacity))).resize((48, 64))
    wanted = pixels(overlay_png(GREY, MAP, opacity))

    assert np.abs(np.asarray(small, dtype=int) - wanted).mean() < 3


def test_small_image_is_shown_large_in_its_own_shape():
    assert pixels(blended(PICTURE, OVERLAY, 0.5)).shape[:2] == (512, 384)


def test_outline_is_drawn_where_it_lies():
    square = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75), (0.25, 0.25)]
    drawn = pixels(blended(PICTURE, OVERLAY, 0.0, [square]))

    changed = np.argwhere((drawn != 90).any(axis=-1))
    assert np.abs(changed.min(axis=0) - (128, 96)).max() <= 4
    assert np.abs(changed.max(axis=0) - (384, 288)).max() <= 4
    assert (drawn[256, 192] == 90).all()
