import numpy as np
import pytest

from brain_assets.ml.gate_tomograms import depth_below_rim, drawn_outline, head_tomogram, windowed
from brain_core.descriptors import detail
from brain_core.structure import STRUCTURE_NAMES, structure
from tests.fixtures_bundle import drawn_slice


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return np.asarray(drawn_slice(120, 1, 160), np.float32) / 255


def test_a_tomogram_is_decided_by_its_seed(head):
    first, again, other = (head_tomogram(head, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.shape, first.min() >= 0, first.max() <= 1) == ((160, 160), True, True)


def test_the_skull_is_brighter_than_the_brain_in_nearly_every_window(head):
    pictures = [head_tomogram(head, np.random.default_rng(seed)) for seed in range(16)]
    fines = np.stack([detail((picture * 255).astype(np.uint8)) for picture in pictures])
    found = dict(zip(STRUCTURE_NAMES, structure(fines).features.T, strict=True))
    assert (found["peak_middle"] > 1.2 * found["inner_middle"]).mean() > 0.7


def test_a_window_makes_dense_things_bright_and_air_black():
    density = np.full((160, 160), -1000.0)
    density[40:120, 40:120] = 1500
    for seed in range(8):
        grey = windowed(density, np.random.default_rng(seed))
        assert grey[80, 80] > 0.5
        assert grey[2, 2] < 0.15
        assert grey.shape == (160, 160)


def test_depth_is_counted_inside_the_largest_body_only(head):
    head = head.copy()
    head[:4, :4] = 1
    depth = depth_below_rim(head, np.random.default_rng(0))
    assert depth[80, 80] > 30
    assert not depth[:4, :4].any()


def test_an_outline_is_one_oval_amid_the_picture():
    shares = [drawn_outline(np.random.default_rng(seed)) for seed in range(6)]
    assert all(0.1 < share.mean() < 0.85 and share[80, 80] == 1 for share in shares)
