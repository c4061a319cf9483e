import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from brain_assets.ml.warping import warp
from brain_core.bundle import sha256
from tests.fixtures_images import distinct_pixels

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def warp_one(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return warp(image[np.newaxis, ..., np.newaxis], np.asarray(matrix, np.float64)[np.newaxis])[0, ..., 0]


def reference(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The same in floating point, by SciPy, which counts rows first."""
    linear, shift = matrix[::-1, 1::-1], matrix[::-1, 2]
    return ndimage.affine_transform(image.astype(np.float64), linear, shift, order=1, mode="nearest")


def test_the_identity_changes_no_bit():
    image = distinct_pixels(0)
    assert np.array_equal(warp_one(image, IDENTITY), image)


def test_a_mirror_and_a_whole_shift_are_exact():
    image = distinct_pixels(0)
    assert np.array_equal(warp_one(image, [[-1, 0, 63], [0, 1, 0]]), image[:, ::-1])
    assert np.array_equal(warp_one(image, [[1, 0, 5], [0, 1, 0]])[:, :-5], image[:, 5:])
    assert np.array_equal(warp_one(image, [[1, 0, 0], [0, 1, -7]])[7:], image[:-7])


def test_outside_the_nearest_pixel_counts():
    image = distinct_pixels(0)
    far = warp_one(image, [[1, 0, 1000], [0, 1, 0]])
    assert (far == image[:, -1:]).all()
    assert (warp_one(image, [[1, 0, -1000], [0, 1, -1000]]) == image[0, 0]).all()


def test_half_a_pixel_is_the_mean_of_two():
    image = np.array([[0, 100], [200, 40]], np.uint8)
    assert warp_one(image, [[1, 0, 0.5], [0, 1, 0]])[0, 0] == 50
    assert warp_one(image, [[1, 0, 0], [0, 1, 0.5]])[0].tolist() == [100, 70]
    assert warp_one(image, [[1, 0, 0.5], [0, 1, 0.5]])[0, 0] == 85


@given(
    seed=st.integers(0, 50),
    size=st.sampled_from([2, 3, 17, 64, 128]),
    linear=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    shift=st.lists(st.floats(-200, 200), min_size=2, max_size=2),
)
def test_any_matrix_gives_what_floating_point_gives(seed: int, size: int, linear: list[float], shift: list[float]):
    # Smooth images: the place may be wrong by 1/256 of a pixel, and by the matrix' 16 bits times the size.
    image = np.asarray(ndimage.zoom(np.random.default_rng(seed).uniform(60, 190, (4, 4)), size / 4, order=1), np.uint8)
    image = np.resize(image, (size, size)) if size < 4 else image[:size, :size]
    matrix = np.column_stack([np.reshape(linear, (2, 2)), shift])
    steepest = max(np.abs(np.diff(image.astype(int), axis=axis)).max() for axis in (0, 1))
    difference = np.abs(warp_one(image, matrix) - reference(image, matrix)).max()
    assert difference <= 0.51 + 2 * steepest * (1 / 512 + size / 2**17)


def test_extremes_do_not_overflow():
    image = np.full((64, 64), 255, np.uint8)
    assert (warp_one(image, [[0.7, 0.6, 0.3], [-0.6, 0.7, 20.9]]) == 255).all()
    assert (warp_one(np.zeros_like(image), [[0.7, 0.6, 0.3], [-0.6, 0.7, 20.9]]) == 0).all()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_images_do_not_disturb_each_other(count: int):
    images = np.stack([distinct_pixels(seed) for seed in range(5)])[:count, ..., np.newaxis]
    matrices = np.stack([np.array([[1, 0.1 * n, n], [-0.1 * n, 1, 0]]) for n in range(5)])[:count]
    together = warp(images, matrices)
    assert together.shape == images.shape
    for place in range(count):
        assert np.array_equal(together[place, ..., 0], warp_one(images[place, ..., 0], matrices[place]))


def test_the_bits_are_the_same_on_every_machine():
    matrix = np.array([[0.9396926, 0.3420201, -7.25], [-0.3420201, 0.9396926, 31.125]])
    image = (np.arange(64 * 64).reshape(64, 64) * 2654435761 % 2**32 >> 24).astype(np.uint8)
    assert sha256(warp_one(image, matrix).tobytes()) == (
        "57893e6b7d44d31cb47234fb3a7d37eec43a61f78a3a7cc7601745f73b72635a"
    )
