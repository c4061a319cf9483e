import numpy as np
import pytest

from brain_assets.ml.gate_heads import SLIGHT, STRONG, drawn_heads, stripped_heads, vary_heads
from tests.fixtures_bundle import drawn_slice


@pytest.fixture(scope="module")
def heads() -> np.ndarray:
    return np.stack([drawn_slice(120, seed, 96) for seed in range(24)])[..., np.newaxis]


def test_varied_heads_differ_from_the_originals_and_are_the_same_for_a_seed(heads):
    varied = vary_heads(heads, STRONG, np.random.default_rng(1))
    assert varied.shape == heads.shape
    assert all(not np.array_equal(one, other) for one, other in zip(varied, heads, strict=True))
    np.testing.assert_array_equal(varied, vary_heads(heads, STRONG, np.random.default_rng(1)))


def test_a_slight_variation_changes_less_than_a_strong_one(heads):
    slight, strong = (vary_heads(heads, config, np.random.default_rng(2)).astype(float) for config in (SLIGHT, STRONG))
    assert np.abs(slight - heads).mean() < np.abs(strong - heads).mean()


def test_stripped_heads_are_bright_inside_and_black_around():
    heads = stripped_heads(12, 96, seed=1)
    assert heads.shape == (12, 96, 96, 1)
    corners = heads[:, :6, :6].mean(axis=(1, 2, 3))
    middles = heads[:, 32:64, 32:64].mean(axis=(1, 2, 3))
    assert (middles > 2 * corners).all()
    assert len({head.tobytes() for head in heads}) == 12


def test_other_heads_than_the_samples_are_drawn():
    from brain_assets.ml.phantoms import draw_slice
    from brain_core.imaging import resize

    (head,) = drawn_heads(1, 96)
    assert head.shape == (96, 96, 1)
    assert not np.array_equal(head[..., 0], resize(draw_slice(0), 96))
    assert drawn_heads(0, 96).shape == (0, 96, 96, 1)
