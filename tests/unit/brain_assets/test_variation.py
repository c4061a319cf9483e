from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.variation import NO_VARIATION, VariationConfig, vary
from brain_core.errors import SettingsError

SIZE = 40
BOX = np.array([[0.25, 0.3, 0.5, 0.6]], np.float32)


def head(grey: int = 90, lesion: int = 220) -> np.ndarray:
    image = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    image[0, (x - 20) ** 2 + (y - 20) ** 2 < 17**2] = grey
    image[0, 12:24, 10:20] = lesion
    return image


def varied(config: VariationConfig, seed: int = 0, image: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    image = head() if image is None else image
    before = image.copy()
    result = vary(image, BOX.repeat(len(image), axis=0), config, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before)
    return result


def test_without_variation_an_image_is_itself_or_its_mirror_image():
    found = set()
    for seed in range(8):
        images, boxes = varied(NO_VARIATION, seed)
        mirrored = bool((images != head()).any())
        found.add(mirrored)
        np.testing.assert_array_equal(images, head()[:, :, ::-1] if mirrored else head())
        np.testing.assert_allclose(boxes[0], [0.5, 0.3, 0.75, 0.6] if mirrored else BOX[0], atol=0.02)
    assert found == {True, False}


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_the_box_moves_with_the_lesion_whatever_else_happens(seed):
    config = replace(VariationConfig(), gamma=0.0, field=0.0, curve_share=0.0, blur_share=0.0, noise_share=0.0)
    images, boxes = varied(config, seed)
    rows, columns = np.nonzero(images[0, ..., 0] >= 200)
    x0, y0, x1, y1 = boxes[0] * SIZE
    # A rectangle cut out may be as bright as the lesion, but never covers it.
    inside = (columns >= x0 - 2) & (columns <= x1 + 2) & (rows >= y0 - 2) & (rows <= y1 + 2)
    assert inside.sum() >= 50


def test_an_ellipse_and_a_rectangle_take_away_all_but_the_tumour():
    for name in ("strip_share", "occluded_share"):
        images, boxes = varied(replace(NO_VARIATION, **{name: 1.0}), seed=5)
        assert (images[0] != head()[0]).any()
        x0, y0, x1, y1 = np.rint(boxes[0] * SIZE).astype(int)
        assert (images[0, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1] == 220).all()


@pytest.mark.parametrize("name", ["gamma", "field", "curve_share", "blur_share", "noise_share"])
def test_each_change_of_the_grey_values_does_something_and_keeps_the_type(name):
    images, _ = varied(replace(NO_VARIATION, **{name: 1.0}), seed=2)
    assert (images.dtype, images.shape) == (np.uint8, (1, SIZE, SIZE, 1))
    assert (images != head()).any()
    assert (images != head()[:, :, ::-1]).any()


def test_black_stays_black_under_another_contrast():
    for seed in range(5):
        images, _ = varied(replace(NO_VARIATION, curve_share=1.0), seed)
        assert (images[0, :3] == 0).all()


def test_a_black_image_and_unknown_boxes_are_no_trouble():
    black = np.zeros((3, SIZE, SIZE, 1), np.uint8)
    config = VariationConfig(**dict.fromkeys(VariationConfig.__dataclass_fields__, 1.0))
    _, boxes = vary(black, np.full((3, 4), np.nan, np.float32), config, np.random.default_rng(0))
    assert np.isnan(boxes).all()


def test_the_same_seed_varies_the_same_way():
    for first, second in zip(varied(VariationConfig(), 4), varied(VariationConfig(), 4), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("values", [{"gamma": -0.1}, {"curve_share": 1.2}])
def test_a_value_out_of_range_is_named(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        VariationConfig(**values)
