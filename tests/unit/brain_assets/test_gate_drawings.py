import numpy as np
import pytest

from brain_assets.ml.gate_drawings import (
    glyph,
    gradient,
    line_drawing,
    mosaic,
    noise_texture,
    page,
    pattern,
    plot,
    scene,
    screenshot,
    solid,
)  # fmt: skip

DRAWN = [noise_texture, pattern, mosaic, page, plot, screenshot, glyph, line_drawing, solid, gradient, scene]


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_a_drawing_is_a_picture_that_its_seed_decides(draw):
    first, again = draw(np.random.default_rng(3)), draw(np.random.default_rng(3))
    assert first.ndim == 2
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    others = [draw(np.random.default_rng(seed)) for seed in range(4, 9)]
    assert any(not np.array_equal(first, other) for other in others)
