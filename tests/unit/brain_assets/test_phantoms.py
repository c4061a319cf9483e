import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.phantoms import draw_sample, draw_slice, sample_paths
from brain_core.labels import CLASSES
from tests.fixtures_images import statistics_of


def test_paths_are_balanced_and_one_in_five_is_for_testing():
    parts = Counter(tuple(path.split("/")[:2]) for path in sample_paths(320))
    assert parts == {(split, label): count for label in CLASSES for split, count in (("Training", 64), ("Testing", 16))}


def test_paths_are_unique_and_those_of_a_smaller_sample_come_first():
    assert len(set(sample_paths(320))) == 320
    assert sample_paths(320)[:10] == sample_paths(10)


def test_sample_holds_the_drawn_slices_as_jpeg_under_their_paths():
    drawn = list(draw_sample(count=4))
    assert [path for path, _ in drawn] == sample_paths(4)
    for index, (_, data) in enumerate(drawn):
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "JPEG"
            assert np.abs(np.asarray(image, dtype=float) - draw_slice(index)).mean() < 4


def test_slices_repeat_for_a_seed_and_differ_between_seeds():
    assert np.array_equal(draw_slice(5, seed=1), draw_slice(5, seed=1))
    assert draw_slice(5, seed=1).shape != draw_slice(5, seed=2).shape or not np.array_equal(
        draw_slice(5, seed=1), draw_slice(5, seed=2)
    )


@pytest.mark.parametrize("index", range(8))
def test_slice_is_a_head_on_a_dark_background(index: int):
    grey = draw_slice(index)
    assert grey.dtype == np.uint8
    assert grey.shape[0] == grey.shape[1]
    assert 224 <= grey.shape[0] <= 256
    assert 0.15 < (grey > 40).mean() < 0.85
    assert np.median(grey[:20, :20]) < 40


def test_no_slice_is_a_near_duplicate_of_another():
    groups = duplicate_groups(statistics_of({path: draw_slice(i) for i, path in enumerate(sample_paths(40))}))
    assert groups["group"].nunique() == 40


@pytest.mark.parametrize("index", [CLASSES.index(label) + 4 for label in ("glioma", "meningioma", "pituitary")])
def test_lesion_is_painted_into_a_part_of_the_slice(index: int, monkeypatch: pytest.MonkeyPatch):
    with_lesion = draw_slice(index).astype(float)
    monkeypatch.setattr(
        "brain_assets.ml.phantoms._PAINTERS", dict.fromkeys(CLASSES, lambda grey, plane, centre, rng: grey)
    )
    without = draw_slice(index).astype(float)
    changed = np.abs(_blurred(with_lesion) - _blurred(without)) > 30
    assert 0.002 < changed.mean() < 0.3


def _blurred(grey: np.ndarray) -> np.ndarray:
    # The noise is drawn after the lesion and differs between the two.
    from scipy.ndimage import uniform_filter

    return uniform_filter(grey, 5)
