import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_core.explain import contours, explanation_png, normalised, overlay_png, packed, peak, unpacked


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


def test_the_peak_leans_towards_the_greater_neighbour():
    activation_map = np.zeros((5, 5), np.float32)
    activation_map[2, 1:4] = (0.5, 1.0, 0.9)
    activation_map[1:4, 2] = (0.9, 1.0, 0.5)
    x, y = peak(activation_map)
    assert x == pytest.approx((2.5 + 1 / 3) / 5)
    assert y == pytest.approx((2.5 - 1 / 3) / 5)


def test_the_peak_of_a_smooth_spot_is_nearer_to_it_than_a_cells_centre():
    place = np.array([0.43, 0.61])
    cells = (np.arange(20) + 0.5) / 20
    distance = (cells - place[0]) ** 2 + (cells[:, np.newaxis] - place[1]) ** 2
    found = np.array(peak(np.exp(-distance / (2 * 0.08**2)).astype(np.float32)))
    assert np.abs(found - place).max() < 0.002


def test_the_peak_of_a_uniform_map_is_a_cells_centre():
    assert peak(np.ones((4, 4), np.float32)) == (0.125, 0.125)


@given(st.lists(st.floats(-10, 10, width=32), min_size=25, max_size=25))
def test_the_peak_stays_in_the_greatest_cell(values):
    activation_map = np.array(values, np.float32).reshape(5, 5)
    row, column = np.unravel_index(activation_map.argmax(), activation_map.shape)
    x, y = peak(activation_map)
    assert column <= x * 5 + 1e-9
    assert x * 5 <= column + 1 + 1e-9
    assert row - 1e-9 <= y * 5 <= row + 1 + 1e-9


def picture(grey: np.ndarray, title: list[str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explanation_png(grey, spot(), title)))).astype(int)


@pytest.mark.parametrize("shape", [(40, 40), (300, 200), (2000, 900), (1000, 20)])
def test_an_explanation_shows_the_image_large_enough_and_in_its_aspect(shape):
    pixels = picture(np.full(shape, 90, np.uint8), ["glioma"])
    plain = picture(np.full(shape, 90, np.uint8), ["glioma", "a second line"])
    head = 2 * (plain.shape[0] - pixels.shape[0])
    height = pixels.shape[0] - head
    assert 512 <= max(height, round(height * shape[1] / shape[0])) <= 1024
    assert pixels.shape[1] == max(512, round(height * shape[1] / shape[0]))


def test_an_explanation_has_outline_and_peak():
    pixels = picture(np.full((512, 512), 0, np.uint8), [])
    image = pixels[-512:]
    is_outline = (image[..., 2] > 200) & (image[..., 0] < 60)
    rows, columns = np.nonzero(is_outline)
    x, y = peak(spot())
    assert columns.min() < x * 512 < columns.max()
    assert rows.min() < y * 512 < rows.max()
    is_white = (image > 240).all(axis=-1)
    assert np.abs(np.argwhere(is_white).mean(axis=0) - (y * 512, x * 512)).max() < 2


def test_a_long_title_is_wrapped_and_stays_inside():
    short = picture(np.zeros((512, 512), np.uint8), ["glioma"])
    long = picture(np.zeros((512, 512), np.uint8), ["never use it for diagnosis " * 8])
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == 512
    head = long[: long.shape[0] - 512]
    assert (head[:, -10:] == 0).all()
    assert head.max() == 255


def test_a_packed_map_gives_the_same_picture():
    activation_map = np.random.default_rng(0).normal(0, 3, (20, 17)).astype(np.float32)
    again = unpacked(packed(activation_map))
    assert (again.shape, again.dtype) == ((20, 17), np.float32)
    np.testing.assert_allclose(again, activation_map, rtol=1e-3)
    assert len(packed(activation_map)) == 4 + 2 * 20 * 17
    assert np.isfinite(unpacked(packed(np.full((2, 2), 1e9, np.float32)))).all()
