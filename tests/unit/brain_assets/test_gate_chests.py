import numpy as np
import pytest

from brain_assets.ml.gate_chests import chest, upright_chest


@pytest.mark.parametrize("draw", [chest, upright_chest])
def test_a_chest_is_a_picture_that_its_seed_decides(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.shape == (160, 160)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("draw", [chest, upright_chest])
def test_chests_have_dark_lungs_and_bright_blood(draw):
    pictures = np.stack([draw(np.random.default_rng(seed)) for seed in range(12)])
    spread = np.percentile(pictures, 95, axis=(1, 2)) - np.percentile(pictures, 10, axis=(1, 2))
    assert np.median(spread) > 0.3
