import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_core.explain import contours, normalised, overlay_png, peak


def spot(height: int = 16, width: int = 16, row: int = 4, column: int = 10) -> np.ndarray:
    activation_map = np.full((height, width), -1.0, np.float32)
    activation_map[row, column] = 3.0
    return activation_map


def test_the_peak_is_the_cells_centre():
    assert peak(spot()) == (10.5 / 16, 4.5 / 16)


def test_normalised_keeps_only_positive_evidence():
    result = normalised(spot())
    assert result.max() == 1.0
    assert result.sum() == 1.0


def test_a_map_without_evidence_has_no_contour_and_changes_nothing():
    grey = np.full((20, 30), 77, np.uint8)
    nothing = np.full((8, 8), -2.0, np.float32)
    assert contours(nothing) == []
    pixels = np.asarray(Image.open(io.BytesIO(overlay_png(grey, nothing))))
    assert (pixels == 77).all()


def test_the_contour_surrounds_the_peak():
    (outline,) = contours(spot())
    x, y = peak(spot())
    xs, ys = zip(*outline, strict=True)
    assert min(xs) < x < max(xs)
    assert min(ys) < y < max(ys)
    assert outline[0] == outline[-1]


def test_a_spot_at_the_edge_has_a_closed_contour():
    (outline,) = contours(spot(row=0, column=0))
    assert outline[0] == outline[-1]


def test_the_overlay_has_the_images_size_and_colours_the_spot():
    grey = np.full((160, 80), 100, np.uint8)
    image = Image.open(io.BytesIO(overlay_png(grey, spot())))
    assert image.size == (80, 160)
    pixels = np.asarray(image).astype(int)
    hot, cold = pixels[45, 52], pixels[150, 5]
    assert (cold == 100).all()
    assert hot.max() - hot.min() > 30


@given(st.integers(0, 6), st.integers(0, 6), st.floats(-5, 5, width=32))
def test_contours_stay_inside_the_image(row, column, value):
    activation_map = spot(7, 7, row, column)
    activation_map[3, 3] = value
    for outline in contours(activation_map):
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in outline)


def test_peak_of_a_row_vector_map():
    assert peak(np.array([[0, 1, 0, 0]], np.float32)) == pytest.approx((0.375, 0.5))
