import io

import numpy as np
import pytest
from PIL import Image

from brain_assets.ml.phantoms import draw_slice
from dashboard.examples import EXAMPLES, FOLDER, example


def test_every_example_has_its_file_and_every_file_is_offered():
    assert set(EXAMPLES) == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize(("name", "number"), [("meningioma.jpg", 41), ("pituitary.jpg", 75), ("no-tumour.jpg", 90)])
def test_slices_are_drawn_and_nobodys(name, number):
    shown = np.asarray(Image.open(io.BytesIO(example(name).data)).convert("L"), dtype=float)

    assert np.abs(shown - draw_slice(number, seed=11)).mean() < 4
