from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.augmentation import AugmentationConfig, augment, move_boxes
from brain_core.bundle import sha256
from brain_core.errors import SettingsError
from tests.fixtures_images import distinct_pixels

NOTHING = AugmentationConfig(rotation_degrees=0, shift_share=0, shear_degrees=0, zoom_share=0, horizontal_flip=False)


def only(**ranges: float | bool) -> AugmentationConfig:
    return AugmentationConfig(**{**vars(NOTHING), **ranges})


@pytest.fixture
def images() -> np.ndarray:
    return np.stack([distinct_pixels(seed) for seed in range(6)])[..., np.newaxis]


def copies_of(images: np.ndarray, config: AugmentationConfig) -> np.ndarray:
    return augment(images, config).images[len(images) :]


def test_originals_come_first_and_copies_follow_in_their_order(images: np.ndarray):
    augmented = augment(images, AugmentationConfig(copies=2))
    pixels = augmented.images[:]
    assert (pixels.shape, pixels.dtype, augmented.images.shape) == ((18, 64, 64, 1), np.uint8, (18, 64, 64, 1))
    assert np.array_equal(pixels[:6], images)
    assert not np.array_equal(pixels[6:12], pixels[12:])
    assert (len(augmented.images), augmented.images.nbytes, augmented.made) == (18, pixels.nbytes, 12)


def test_no_copies_gives_the_originals(images: np.ndarray):
    augmented = augment(images, AugmentationConfig(copies=0))
    assert np.array_equal(augmented.images[:], images)
    assert augmented.recipes.tolist() == [""] * 6


def test_no_images_give_none():
    augmented = augment(np.empty((0, 64, 64, 1), np.uint8), AugmentationConfig())
    assert augmented.images[:].shape == (0, 64, 64, 1)
    assert augmented.boxes.shape == (0, 4)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_copies_are_the_same_bits_whatever_the_number_of_threads_and_the_chunks(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch, threads: int, chunk: int
):
    expected = augment(images, AugmentationConfig(copies=3)).images[:]
    monkeypatch.setattr("brain_assets.ml.ingestion.THREADS", threads)
    monkeypatch.setattr("brain_assets.ml.augmentation.CHUNK_IMAGES", chunk)
    augmented = augment(images, AugmentationConfig(copies=3))
    assert np.array_equal(augmented.images[:], expected)


def test_the_bits_of_a_seed_are_the_same_on_every_machine():
    smooth = (np.arange(64 * 64 * 3).reshape(3, 64, 64, 1) * 2654435761 % 2**32 >> 24).astype(np.uint8)
    config = AugmentationConfig(copies=2, rotation_degrees=12, shift_share=0.06, shear_degrees=6, seed=7)
    augmented = augment(smooth, config)
    assert sha256(augmented.images[:].tobytes()) == "8b2fe4a7e9fdcaa00485e70c8ce89e8fd279a08361bcce441e646202053afaae"


def test_another_seed_gives_other_copies(images: np.ndarray):
    first, second = (copies_of(images, AugmentationConfig(seed=seed)) for seed in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_images_can_be_asked_for_in_any_order(images: np.ndarray):
    augmented = augment(images, AugmentationConfig(copies=2)).images
    whole = augmented[:]
    assert np.array_equal(augmented[np.array([17, 0, 9, 9])], whole[[17, 0, 9, 9]])
    assert np.array_equal(augmented[7], whole[7])
    assert np.array_equal(augmented[whole[:, 0, 0, 0] > 100], whole[whole[:, 0, 0, 0] > 100])


def test_a_copy_depends_on_its_original_alone(images: np.ndarray):
    few = copies_of(images[[4, 1]], AugmentationConfig())
    many = copies_of(images, AugmentationConfig())
    assert np.array_equal(few, many[[4, 1]])


def test_copies_of_exact_duplicates_differ(images: np.ndarray):
    first, second = copies_of(images[[0, 0]], AugmentationConfig())
    assert not np.array_equal(first, second)


def test_without_any_range_the_copies_are_the_originals(images: np.ndarray):
    assert np.array_equal(copies_of(images, NOTHING), images)


def test_copies_of_unchanged_images_are_taken_from_an_earlier_result(images: np.ndarray):
    before = augment(images[:4], AugmentationConfig(copies=2))
    # Other pixels in the earlier result would show that they are taken, and not made again.
    marked = before.images[:] // 2
    after = augment(images[1:], AugmentationConfig(copies=2), earlier=(marked, before.recipes))
    fresh = augment(images[1:], AugmentationConfig(copies=2))
    assert after.made == 4
    assert np.array_equal(after.recipes, fresh.recipes)
    pixels = after.images[:]
    assert np.array_equal(pixels[:5], images[1:])
    assert np.array_equal(pixels[5:8], marked[5:8])
    assert np.array_equal(pixels[8:10], fresh.images[8:10])


@pytest.mark.parametrize("change", [{"seed": 1}, {"rotation_degrees": 11.0}, {"horizontal_flip": False}])
def test_another_configuration_takes_nothing_from_an_earlier_result(images: np.ndarray, change: dict[str, Any]):
    before = augment(images, AugmentationConfig())
    after = augment(images, AugmentationConfig(**change), earlier=(before.images, before.recipes))
    assert after.made == 6


def test_one_copy_more_makes_only_that_copy(images: np.ndarray):
    before = augment(images, AugmentationConfig(copies=1))
    after = augment(images, AugmentationConfig(copies=2), earlier=(before.images, before.recipes))
    assert after.made == 6


BOX = np.array([[0.3, 0.4, 0.5, 0.7]], np.float32)


def test_boxes_move_with_the_pixels():
    image = np.zeros((1, 128, 128, 1), np.uint8)
    image[0, 51:90, 38:64] = 255
    exact = np.array([[38, 51, 64, 90]], np.float32) / 128
    augmented = augment(
        np.repeat(image, 40, axis=0),
        AugmentationConfig(rotation_degrees=40, shear_degrees=10, zoom_share=0.3, shift_share=0.1),
        np.repeat(exact, 40, axis=0),
    )
    for pixels, box in zip(augmented.images[40:], augmented.boxes[40:], strict=True):
        rows, columns = np.nonzero(pixels[..., 0] > 127)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 128
        assert box == pytest.approx(seen, abs=1.5 / 128)


def test_a_mirrored_box_changes_sides():
    boxes = augment(
        np.repeat(np.zeros((1, 8, 8, 1), np.uint8), 9, axis=0), only(horizontal_flip=True), BOX.repeat(9, 0)
    ).boxes
    assert boxes[:9] == pytest.approx(BOX.repeat(9, 0))
    found = {tuple(np.round(box.astype(float), 4).tolist()) for box in boxes[9:]}
    assert found == {(0.3, 0.4, 0.5, 0.7), (0.5, 0.4, 0.7, 0.7)}


def test_a_box_that_leaves_the_image_is_dropped_and_one_at_the_edge_is_clipped():
    right = np.array([[[1.0, 0, 0], [0, 1, 0.4]]])
    left, far = move_boxes(BOX, right)[1], move_boxes(BOX, right * [[[1, 1, 1], [1, 1, 2]]])[1]
    assert left == pytest.approx([0, 0.4, 0.1, 0.7], abs=1e-6)
    assert np.isnan(far).all()


def test_an_unknown_box_stays_unknown(images: np.ndarray):
    boxes = np.concatenate([BOX, np.full((5, 4), np.nan, np.float32)])
    found = augment(images, AugmentationConfig(), boxes).boxes
    assert found.dtype == np.float32
    assert np.isnan(found).any(axis=1).tolist() == [False, True, True, True, True, True] * 2
    assert np.isnan(augment(images, AugmentationConfig()).boxes).all()


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 1000))
def test_a_moved_box_lies_in_the_image(sides: list[float], seed: int):
    left, right = sorted(sides[:2])
    top, bottom = sorted(sides[2:])
    image = np.full((1, 4, 4, 1), seed % 256, np.uint8)
    config = AugmentationConfig(rotation_degrees=180, shift_share=0.5, zoom_share=0.5, seed=seed)
    box = augment(image, config, np.array([[left, top, right, bottom]], np.float32)).boxes[1]
    x0, y0, x1, y1 = box
    assert np.isnan(box).all() or (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1)


def test_flip_mirrors_some_copies_exactly_and_leaves_the_others(images: np.ndarray):
    copies = copies_of(np.repeat(images, 5, axis=0), only(horizontal_flip=True))
    mirrored = [
        np.array_equal(copy, image[:, ::-1]) for copy, image in zip(copies, np.repeat(images, 5, 0), strict=True)
    ]
    same = [np.array_equal(copy, image) for copy, image in zip(copies, np.repeat(images, 5, 0), strict=True)]
    assert np.logical_xor(mirrored, same).all()
    assert 5 < sum(mirrored) < 25


def test_shift_repeats_the_nearest_edge_and_stays_in_its_range():
    image = np.tile(np.arange(100, dtype=np.uint8)[:, np.newaxis], (1, 100))[np.newaxis, ..., np.newaxis]
    copies = copies_of(np.repeat(image, 20, axis=0), only(shift_share=0.1))[..., 0]
    shifts = copies[:, 50, 50].astype(int) - 50
    assert np.abs(shifts).max() <= 10
    assert len(set(shifts)) > 5
    # Rows rise downwards: what lies outside is the first or the last row, never black.
    assert (np.diff(copies.astype(int), axis=1) >= 0).all()


def test_rotation_turns_about_the_centre():
    image = np.zeros((1, 101, 101, 1), np.uint8)
    image[0, 50, :, 0] = 255
    copies = copies_of(np.repeat(image, 10, axis=0), only(rotation_degrees=30))[..., 0]
    assert (copies[:, 50, 50] == 255).all()
    heights = [np.argmax(copy[:, 90]) - 50 for copy in copies]
    assert max(np.abs(heights)) <= 40 * np.tan(np.deg2rad(30)) + 1
    assert len(set(heights)) > 5


def test_zoom_changes_the_size_within_its_range():
    image = np.zeros((1, 100, 100, 1), np.uint8)
    image[0, 30:70, 30:70] = 200
    copies = copies_of(np.repeat(image, 20, axis=0), only(zoom_share=0.2))[..., 0]
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
    copies = copies_of(np.repeat(image, 10, axis=0), only(shear_degrees=10))[..., 0]
    offsets = np.array([np.argmax(copy[90]) - 50 for copy in copies])
    assert np.abs(offsets).max() <= 40 * np.tan(np.deg2rad(10)) + 1
    assert np.abs(offsets).max() > 2
