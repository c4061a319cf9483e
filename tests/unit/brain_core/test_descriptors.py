import numpy as np
import pytest

from brain_core.descriptors import (
    DARK_BELOW,
    DESCRIPTOR_NAMES,
    MARGIN_NAMES,
    dark_margins,
    describe,
    detail,
    histogram,
    thumbnail,
)
from brain_core.imaging import DecodedImage, grey_counts


def decoded(grey: np.ndarray) -> DecodedImage:
    return DecodedImage(grey, 0.0, grey.shape[1], grey.shape[0], "PNG")


def test_the_histogram_is_shares_of_256_values():
    grey = np.array([[0, 0, 255, 7]], np.uint8)
    shares = histogram(grey)
    assert shares.dtype == np.float32
    assert shares.shape == (256,)
    assert (shares[0], shares[255], shares[7]) == (0.5, 0.25, 0.25)


def test_the_thumbnail_has_its_size():
    assert thumbnail(np.zeros((50, 70), np.uint8)).shape == (32, 32)


def test_the_thumbnail_is_that_of_the_detail():
    grey = np.random.default_rng(4).integers(0, 256, (90, 80), dtype=np.uint8)
    assert np.array_equal(thumbnail(grey, detail(grey)), thumbnail(grey))
    assert np.array_equal(thumbnail(detail(grey)), thumbnail(grey))


def test_a_constant_image_has_no_contrast_entropy_or_sharpness():
    described = describe(decoded(np.full((20, 40), 9, np.uint8)))
    assert (described.brightness, described.contrast, described.entropy_bits) == (9.0, 0.0, 0.0)
    assert described.sharpness == pytest.approx(0.0)
    assert described.aspect_ratio == 2.0


def test_entropy_counts_bits():
    grey = np.repeat(np.arange(4, dtype=np.uint8), 16).reshape(8, 8)
    assert describe(decoded(grey)).entropy_bits == pytest.approx(2.0)


def test_noise_is_sharper_than_a_ramp():
    noise = np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)
    smooth = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
    assert describe(decoded(noise)).sharpness > 100 * describe(decoded(smooth)).sharpness


def test_names_are_those_of_the_values():
    assert tuple(describe(decoded(np.zeros((4, 4), np.uint8))).as_dict()) == DESCRIPTOR_NAMES


def test_brightness_and_contrast_are_mean_and_deviation_of_the_pixels():
    grey = np.random.default_rng(1).integers(0, 256, (37, 53), dtype=np.uint8)
    described = describe(decoded(grey))
    assert described.brightness == grey.mean()
    assert described.contrast == pytest.approx(grey.std(), rel=1e-12)


def test_sharpness_is_the_variance_of_the_laplacian():
    grey = np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8)
    g = grey.astype(np.float64)
    laplacian = g[:-2, 1:-1] + g[2:, 1:-1] + g[1:-1, :-2] + g[1:-1, 2:] - 4 * g[1:-1, 1:-1]
    assert describe(decoded(grey)).sharpness == pytest.approx(laplacian.var(), rel=1e-5)


def test_counts_that_are_known_change_nothing():
    grey = np.random.default_rng(3).integers(0, 256, (20, 30), dtype=np.uint8)
    counts = grey_counts(grey)
    assert counts.tolist() == np.bincount(grey.ravel(), minlength=256).tolist()
    assert np.array_equal(histogram(grey, counts), histogram(grey))


def test_dark_margins_reach_to_the_outermost_bright_pixels():
    grey = np.full((10, 20), DARK_BELOW - 1, np.uint8)
    grey[1, 5] = grey[6, 15] = DARK_BELOW
    margins = dark_margins(grey)
    assert tuple(margins) == MARGIN_NAMES
    assert list(margins.values()) == [0.25, 0.1, 0.2, 0.3]


def test_dark_margins_of_a_dark_image_are_whole_and_of_a_bright_one_nothing():
    assert set(dark_margins(np.zeros((4, 5), np.uint8)).values()) == {1.0}
    assert set(dark_margins(np.full((4, 5), 200, np.uint8)).values()) == {0.0}
