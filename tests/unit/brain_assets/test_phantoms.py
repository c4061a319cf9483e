import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brain_assets.ml import phantoms
from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.phantoms import draw_sample, draw_slice, sample_paths, slice_truth
from brain_core.labels import CLASSES
from tests.fixtures_images import statistics_of

LESIONS = [CLASSES.index(label) + 4 for label in ("glioma", "meningioma", "pituitary")]

Painter = Callable[..., tuple[np.ndarray, np.ndarray]]


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


@pytest.mark.parametrize("index", LESIONS)
def test_lesion_is_painted_into_a_part_of_the_slice(index: int, monkeypatch: pytest.MonkeyPatch):
    assert 0.002 < (np.abs(_painted(index, monkeypatch)) > 30).mean() < 0.3


@pytest.mark.parametrize(("label", "filled"), [("glioma", 0.15), ("meningioma", 0.5), ("pituitary", 0.5)])
def test_box_holds_what_became_brighter_and_little_else(label: str, filled: float, monkeypatch: pytest.MonkeyPatch):
    index = CLASSES.index(label) + 4
    box = slice_truth(index).box
    assert box is not None
    brighter = _painted(index, monkeypatch) > 20
    x0, y0, x1, y1 = (round(edge * brighter.shape[0]) for edge in box)
    assert brighter[y0:y1, x0:x1].sum() > 0.9 * brighter.sum()
    assert brighter[y0:y1, x0:x1].mean() > filled


@pytest.mark.parametrize("index", [*LESIONS, 44, 45, 47])
def test_box_is_that_of_the_lesion_in_the_drawing(index: int, monkeypatch: pytest.MonkeyPatch):
    masks = []

    def recorded(paint: Painter) -> Painter:
        def paint_and_record(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
            grey, lesion = paint(*arguments)
            masks.append(lesion > 0.5)
            return grey, lesion

        return paint_and_record

    for label, paint in dict(phantoms._PAINTERS).items():
        monkeypatch.setitem(phantoms._PAINTERS, label, recorded(paint))
    slice_truth(index), draw_slice(index)
    quick, drawn = masks
    assert np.array_equal(quick, drawn)


def test_healthy_slice_has_a_plane_and_no_box():
    truths = [slice_truth(index) for index in range(CLASSES.index("notumor"), 40, len(CLASSES))]
    assert {truth.plane for truth in truths} == {"axial", "coronal", "sagittal"}
    assert {truth.box for truth in truths} == {None}


def test_template_is_the_one_that_nilearn_gives():
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=1)
    head = phantoms._template_head()
    assert np.array_equal(head.t1, np.asarray(template.dataobj, dtype=np.float32))
    assert np.array_equal(head.origin_mm, template.affine[:3, 3])


def test_speck_beside_the_lesion_does_not_widen_the_box():
    mask = np.zeros((10, 20), dtype=bool)
    mask[2:6, 5:10] = mask[8, 19] = True
    assert phantoms._bounding_box(phantoms._largest_part(mask)) == (0.25, 0.2, 0.5, 0.6)


def _painted(index: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """By how much the lesion changed each pixel, float (S, S)."""

    def discarded(paint: Painter) -> Painter:
        # It must still be painted, so that the shading and the noise after it are the same.
        return lambda grey, *others: (grey, paint(grey, *others)[1])

    with_lesion = draw_slice(index).astype(float)
    for label, paint in dict(phantoms._PAINTERS).items():
        monkeypatch.setitem(phantoms._PAINTERS, label, discarded(paint))
    return with_lesion - draw_slice(index)
