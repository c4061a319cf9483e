import numpy as np
import pytest

from brain_assets.ml.gate_negatives import ALTERATIONS, DRAWINGS, carried_pictures, make_negatives
from brain_core.descriptors import detail
from brain_core.structure import STRUCTURE_NAMES, structure
from tests.fixtures_bundle import drawn_slice

COUNT = 200


@pytest.fixture(scope="module")
def heads() -> np.ndarray:
    return np.stack([drawn_slice(120, seed, 96) for seed in range(4)])[..., np.newaxis]


@pytest.fixture(scope="module")
def made(heads):
    return make_negatives(heads, COUNT, seed=3)


def test_every_kind_is_made_and_named(made):
    pictures, kinds = made
    assert set(kinds) == {*DRAWINGS, *ALTERATIONS, "carried"}
    assert pictures.shape == (COUNT, 96, 96, 1)
    assert pictures.dtype == np.uint8


def test_the_same_seed_makes_the_same_pictures_whatever_their_number(heads, made):
    again, kinds = make_negatives(heads, COUNT, seed=3)
    np.testing.assert_array_equal(again, made[0])
    assert kinds == made[1]
    other, _ = make_negatives(heads, 20, seed=4)
    assert not np.array_equal(other, made[0][:20])


def test_hardly_a_picture_is_even_and_none_repeats_another(made):
    pictures, _ = made
    deviations = pictures.reshape(COUNT, -1).std(axis=1)
    assert (deviations > 2).mean() > 0.95
    assert len({picture.tobytes() for picture in pictures}) == COUNT


def test_no_alteration_leaves_a_slice_as_it_was(heads):
    for kind, ways in ALTERATIONS.items():
        for way in ways:
            rng = np.random.default_rng(1)
            head = np.asarray(drawn_slice(120, 1, 160), np.float32) / 255
            altered = way(head, rng)
            assert altered.shape == head.shape, kind
            assert np.abs(altered - head).mean() > 0.02, kind


def test_an_mri_slice_with_the_skull_of_a_ct_has_a_bright_rim_and_black_around():
    head = np.asarray(drawn_slice(120, 1, 160), np.float32) / 255
    pictures = [ALTERATIONS["tomogram"][0](head, np.random.default_rng(seed)) for seed in range(12)]
    fines = np.stack([detail((picture * 255).astype(np.uint8)) for picture in pictures])
    found = dict(zip(STRUCTURE_NAMES, structure(fines).features.T, strict=True))
    assert np.mean(found["peak_middle"]) > 1.2 * np.mean(found["inner_middle"])
    assert np.median(found["corner_mean"]) < 0.1


def test_the_packages_carry_photographs_and_digits():
    shapes = {picture.shape for picture in carried_pictures()}
    assert (8, 8) in shapes
    assert (427, 640) in shapes
