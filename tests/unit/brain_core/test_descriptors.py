import numpy as np
import pytest

from brain_core.descriptors import DESCRIPTOR_NAMES, describe, histogram, thumbnail
from brain_core.imaging import DecodedImage


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
