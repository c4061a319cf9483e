import numpy as np
import pytest

from brain_assets.ml import gate_bodies
from brain_assets.ml.gate_bodies import (
    bones,
    cells,
    chest_radiograph,
    close_up,
    fundus,
    heart,
    joint,
    layers,
    limbs,
    mammogram,
    pelvis,
    skull_radiograph,
    torso,
    ultrasound,
    vessels,
)  # fmt: skip

DRAWN = [
    torso, close_up, pelvis, heart, limbs, joint, chest_radiograph, bones, skull_radiograph, mammogram, ultrasound,
    fundus, layers, vessels, cells,
]  # fmt: skip


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_a_body_is_a_picture_that_its_seed_decides(draw):
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.ndim == 2
    assert np.isfinite(first).all()
    assert first.max() > first.min()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_drawing_of_the_module_is_drawn_here():
    public = {
        name for name, value in vars(gate_bodies).items()
        if getattr(value, "__module__", "") == gate_bodies.__name__ and callable(value) and not name.startswith("_")
    }  # fmt: skip
    assert public == {draw.__name__ for draw in DRAWN}
