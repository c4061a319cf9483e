import numpy as np
import pytest

from brain_assets.ml.augmentation import AugmentationConfig, augment
from brain_core.errors import SettingsError
from tests.fixtures_images import distinct_pixels

NOTHING = AugmentationConfig(rotation_degrees=0, shift_share=0, shear_degrees=0, zoom_share=0, horizontal_flip=False)


def only(**ranges: float | bool) -> AugmentationConfig:
    return AugmentationConfig(**{**vars(NOTHING), **ranges})


@pytest.fixture
def images() -> np.ndarray:
    return np.stack([distinct_pixels(seed) for seed in range(6)])[..., np.newaxis]


LABELS = np.array([0, 1, 2, 3, 0, 1], dtype=np.int64)


def test_originals_come_first_and_copies_follow_in_their_order(images: np.ndarray):
    augmented, labels = augment(images, LABELS, AugmentationConfig(copies=2))
    assert (augmented.shape, augmented.dtype) == ((18, 64, 64, 1), np.uint8)
    assert np.array_equal(augmented[:6], images)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS.tolist() * 3
    assert not np.array_equal(augmented[6:12], augmented[12:])


def test_no_copies_gives_the_originals(images: np.ndarray):
    augmented, labels = augment(images, LABELS, AugmentationConfig(copies=0))
    assert np.array_equal(augmented, images)
    assert np.array_equal(labels, LABELS)


def test_no_images_give_none():
    augmented, labels = augment(np.empty((0, 64, 64, 1), np.uint8), np.empty(0, np.int64), AugmentationConfig())
    assert augmented.shape == (0, 64, 64, 1)
    assert labels.shape == (0,)


def test_copies_are_the_same_bits_for_a_seed_whatever_the_number_of_threads(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    several = augment(images, LABELS, AugmentationConfig(copies=3))[0]
    monkeypatch.setattr("brain_assets.ml.ingestion.THREADS", 1)
    assert np.array_equal(augment(images, LABELS, AugmentationConfig(copies=3))[0], several)
    assert not np.array_equal(augment(images, LABELS, AugmentationConfig(copies=3, seed=1))[0], several)


def test_copy_of_an_image_does_not_depend_on_those_after_it(images: np.ndarray):
    few = augment(images[:2], LABELS[:2], AugmentationConfig())[0]
    many = augment(images, LABELS, AugmentationConfig())[0]
    assert np.array_equal(few[2:], many[6:8])


def test_without_any_range_the_copies_are_the_originals(images: np.ndarray):
    assert np.array_equal(augment(images, LABELS, NOTHING)[0][6:], images)


def test_flip_mirrors_some_copies_exactly_and_leaves_the_others(images: np.ndarray):
    copies = augment(np.repeat(images, 5, axis=0), np.repeat(LABELS, 5), only(horizontal_flip=True))[0][30:]
    mirrored = [
        np.array_equal(copy, image[:, ::-1]) for copy, image in zip(copies, np.repeat(images, 5, 0), strict=True)
    ]
    same = [np.array_equal(copy, image) for copy, image in zip(copies, np.repeat(images, 5, 0), strict=True)]
    assert np.logical_xor(mirrored, same).all()
    assert 5 < sum(mirrored) < 25


def test_shift_repeats_the_nearest_edge_and_stays_in_its_range():
    image = np.tile(np.arange(100, dtype=np.uint8)[:, np.newaxis], (1, 100))[np.newaxis, ..., np.newaxis]
    copies = augment(np.repeat(image, 20, axis=0), np.zeros(20, np.int64), only(shift_share=0.1))[0][20:, ..., 0]
    shifts = copies[:, 50, 50].astype(int) - 50
    assert np.abs(shifts).max() <= 10
    assert len(set(shifts)) > 5
    # Rows rise downwards: what lies outside is the first or the last row, never black.
    assert (np.diff(copies.astype(int), axis=1) >= 0).all()


def test_rotation_turns_about_the_centre():
    image = np.zeros((1, 101, 101, 1), np.uint8)
    image[0, 50, :, 0] = 255
    copies = augment(np.repeat(image, 10, axis=0), np.zeros(10, np.int64), only(rotation_degrees=30))[0][10:, ..., 0]
    assert (copies[:, 50, 50] == 255).all()
    heights = [np.argmax(copy[:, 90]) - 50 for copy in copies]
    assert max(np.abs(heights)) <= 40 * np.tan(np.deg2rad(30)) + 1
    assert len(set(heights)) > 5


def test_zoom_changes_the_size_within_its_range():
    image = np.zeros((1, 100, 100, 1), np.uint8)
    image[0, 30:70, 30:70] = 200
    copies = augment(np.repeat(image, 20, axis=0), np.zeros(20, np.int64), only(zoom_share=0.2))[0][20:, ..., 0]
    widths = (copies[:, 50] > 100).sum(axis=1)
    assert 40 * 0.8 - 2 <= widths.min() < 38
    assert 42 < widths.max() <= 40 * 1.2 + 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("shear_degrees", 10.1), ("shear_degrees", -1), ("copies", -1), ("shift_share", 0.6), ("zoom_share", 1.0)],
)
def test_value_out_of_its_range_is_refused_by_name(name: str, value: float):
    with pytest.raises(SettingsError, match=name):
        AugmentationConfig(**{name: value})


def test_shear_slants_by_at_most_its_angle():
    image = np.zeros((1, 101, 101, 1), np.uint8)
    image[0, :, 50, 0] = 255
    copies = augment(np.repeat(image, 10, axis=0), np.zeros(10, np.int64), only(shear_degrees=10))[0][10:, ..., 0]
    offsets = np.array([np.argmax(copy[90]) - 50 for copy in copies])
    assert np.abs(offsets).max() <= 40 * np.tan(np.deg2rad(10)) + 1
    assert np.abs(offsets).max() > 2
