import numpy as np
import pytest

from brain_core.body_rays import RAY_NAMES
from brain_core.structure import STRUCTURE_NAMES, structure

SIZE = 64
Y, X = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2


def named(picture: np.ndarray) -> dict[str, float]:
    features = structure(picture.astype(np.uint8)[np.newaxis]).features[0]
    return dict(zip(STRUCTURE_NAMES, features.tolist(), strict=True))


def head(rings: dict[float, int], scale: float = 1.0) -> np.ndarray:
    """Ovals in each other: outermost first, by their share of the whole."""
    picture = np.zeros((SIZE, SIZE))
    for share, grey in rings.items():
        picture[(X / (24 * scale)) ** 2 + (Y / (28 * scale)) ** 2 <= share**2] = grey
    return picture


MRI = head({1.0: 240, 0.92: 30, 0.8: 150})
CT = head({1.0: 60, 0.95: 255, 0.8: 90})


def test_rays_are_part_of_what_is_known_of_a_picture():
    assert set(RAY_NAMES) < set(STRUCTURE_NAMES)
    assert len(set(RAY_NAMES)) == len(RAY_NAMES)


def test_mri_has_a_gap_below_its_bright_rim_and_ct_has_none():
    mri, ct = named(MRI), named(CT)
    assert mri["gap_below_inner_middle"] > 0.3
    assert mri["gap_rays"] > 0.9
    assert ct["gap_below_inner_middle"] == pytest.approx(0, abs=0.02)
    assert ct["gap_rays"] < 0.1


def test_the_skull_of_a_ct_outshines_what_it_encloses_all_around():
    ct = named(CT)
    assert ct["saturated_rays"] == 1
    assert ct["peak_over_inner_low"] > 0.5
    assert ct["rim_deviation"] == pytest.approx(0, abs=0.01)


def test_depth_is_counted_from_the_rim_inwards():
    found = named(CT)
    assert found["depth_3_middle"] == pytest.approx(1, abs=0.01)
    assert found["depth_11_middle"] == pytest.approx(90 / 255, abs=0.02)


def test_an_even_inside_has_no_contrast_and_a_mixed_one_has():
    mixed = np.where((np.abs(X) < 9) & (np.abs(Y) < 9), 20, MRI)
    assert named(MRI)["inside_contrast"] == pytest.approx(0, abs=0.01)
    assert named(mixed)["inside_contrast"] > 0.5


def test_the_size_of_a_head_matters_little():
    small, large = named(head({1.0: 60, 0.95: 255, 0.75: 90}, 0.6)), named(head({1.0: 60, 0.95: 255, 0.75: 90}))
    for name in ("peak_middle", "inner_middle", "inside_50", "gap_rays"):
        assert small[name] == pytest.approx(large[name], abs=0.1), name


@pytest.mark.parametrize("shape", [(2, 2), (64, 1), (1, 64)])
def test_the_smallest_and_thinnest_bodies_give_finite_numbers(shape):
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[: shape[0], -shape[1] :] = 255
    assert np.isfinite(list(named(picture).values())).all()
