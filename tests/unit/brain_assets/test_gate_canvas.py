import numpy as np

from brain_assets.ml.gate_canvas import blob, fractal, paint, smooth, stretched


def test_values_are_stretched_to_the_whole_range():
    found = stretched(np.array([[2.0, 4.0], [6.0, 3.0]], np.float32))
    assert (found.min(), found.max()) == (0.0, 1.0)


def test_painting_covers_by_its_share():
    below = np.full((4, 4), 0.2, np.float32)
    np.testing.assert_allclose(paint(below, np.zeros((4, 4), np.float32), 0.9), below)
    np.testing.assert_allclose(paint(below, np.ones((4, 4), np.float32), 0.9), 0.9)


def test_a_blob_is_full_at_its_centre_and_nothing_far_away():
    rng = np.random.default_rng(0)
    found = blob(rng, (0.0, 0.0), (0.4, 0.4))
    middle = found.shape[0] // 2
    assert found[middle, middle] > 0.9
    assert found[0, 0] < 0.1


def test_the_same_seed_gives_the_same_texture():
    for texture in (lambda rng: smooth(rng, 6), lambda rng: fractal(rng, 1.5)):
        np.testing.assert_array_equal(texture(np.random.default_rng(1)), texture(np.random.default_rng(1)))
