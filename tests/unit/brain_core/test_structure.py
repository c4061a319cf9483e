import numpy as np
import pytest

from brain_core.structure import CROP_SIZE, GROUPS, STRUCTURE_NAMES, structure

SIZE = 64
Y, X = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2


def named(picture: np.ndarray) -> dict[str, float]:
    return dict(zip(STRUCTURE_NAMES, structure(picture.astype(np.uint8)[np.newaxis]).features[0].tolist(), strict=True))


def ellipse(wide: float, high: float, grey: int = 200) -> np.ndarray:
    return np.where((X / wide) ** 2 + (Y / high) ** 2 <= 1, grey, 0)


def rimmed(grey: int, rim: int) -> np.ndarray:
    return np.where(ellipse(25, 29) > 0, np.where(ellipse(20, 24) > 0, grey, rim), 0)


def test_every_feature_belongs_to_one_group():
    assert sorted(place for places in GROUPS.values() for place in places) == list(range(len(STRUCTURE_NAMES)))


def test_an_ellipse_has_the_outline_of_an_ellipse():
    found = named(ellipse(20, 28))
    assert found["ellipse_overlap"] == pytest.approx(1.0, abs=0.04)
    assert found["elongation"] == pytest.approx(28 / 20, abs=0.05)
    assert found["off_centre"] == pytest.approx(0, abs=0.01)
    assert found["body_share"] == pytest.approx(np.pi * 20 * 28 / SIZE**2, rel=0.1)
    assert found["corner_mean"] == found["brightest_side"] == 0
    assert found["mirror_symmetry"] == pytest.approx(1, abs=1e-3)


def test_a_filled_picture_has_bright_corners_and_a_full_body():
    found = named(np.full((SIZE, SIZE), 180))
    assert (found["corner_mean"], found["body_share"]) == (1.0, 1.0)
    assert found["ellipse_overlap"] < 0.97


def test_pictures_described_together_are_as_each_alone():
    rng = np.random.default_rng(1)
    pictures = np.stack([rimmed(80, 250), ellipse(3, 3), rng.integers(0, 255, (SIZE, SIZE))]).astype(np.uint8)
    together = structure(pictures)
    for place, picture in enumerate(pictures):
        alone = structure(picture[np.newaxis])
        np.testing.assert_allclose(together.features[place], alone.features[0], atol=1e-5)
        np.testing.assert_array_equal(together.bodies[place], alone.bodies[0])
        np.testing.assert_allclose(together.gradients[place], alone.gradients[0], atol=1e-6)


def test_the_window_of_a_dim_picture_matters_little():
    rng = np.random.default_rng(0)
    picture = rimmed(120, 200) * (0.8 + 0.2 * rng.random((SIZE, SIZE)))
    bright, dim = named(picture), named(picture / 2)
    for name in STRUCTURE_NAMES:
        if STRUCTURE_NAMES.index(name) not in GROUPS["tones"] and not name.startswith("edge"):
            assert dim[name] == pytest.approx(bright[name], abs=0.06), name


def test_stripes_have_one_direction_and_one_band():
    found = named(127 + 100 * np.sign(np.sin(X * 2 * np.pi / 8)))
    assert found["strongest_orientation"] > 0.95
    assert found["orientation_entropy_bits"] < 0.3
    assert found["axis_power"] == pytest.approx(0, abs=0.02)
    assert found["band_3"] == max(found[f"band_{index}"] for index in range(5))


def test_a_half_moon_is_symmetric_one_way_only():
    moon = ellipse(26, 26) * (X > 2)
    found = named(np.where(moon > 0, 100 + 3 * X, 0))
    assert found["upside_down_symmetry"] > 0.99
    assert found["mirror_symmetry"] < 0.5


def test_the_body_fills_its_picture_wherever_it_lies():
    centred, moved = ellipse(14, 18), np.roll(ellipse(14, 18), (8, -10), (0, 1))
    found = structure(np.stack([centred, moved]).astype(np.uint8))
    assert found.bodies.shape == (2, CROP_SIZE, CROP_SIZE)
    np.testing.assert_array_equal(*found.bodies)
    np.testing.assert_allclose(*found.gradients)


@pytest.mark.parametrize("grey", [0, 1, 255])
def test_an_even_picture_gives_finite_numbers(grey):
    found = structure(np.full((1, SIZE, SIZE), grey, np.uint8))
    assert np.isfinite(found.features).all()
    assert not found.gradients.any()


def test_a_single_lit_pixel_gives_finite_numbers():
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[20, 30] = 255
    assert np.isfinite(structure(picture[np.newaxis]).features).all()
