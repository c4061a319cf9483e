import io
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from brain_assets.ml import phantoms
from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.phantoms import draw_sample, draw_slice, sample_paths, slice_truth
from brain_core.labels import CLASSES
from tests.fixtures_images import statistics_of

TUMOURS = ("glioma", "meningioma", "pituitary")
LESIONS = [CLASSES.index(label) + 4 for label in TUMOURS]

Painter = Callable[..., tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Drawn:
    """A slice, and what its lesion is: mask, change of the grey that it paints over, positions, depth in the skull."""

    grey: np.ndarray
    truth: phantoms.SliceTruth
    lesion: np.ndarray | None = None
    change: np.ndarray | None = None
    points: np.ndarray | None = None
    hull_mm: np.ndarray | None = None

    @property
    def head(self) -> np.ndarray:
        return self.grey > 40


@pytest.fixture(scope="module")
def by_class() -> dict[str, list[Drawn]]:
    """Twenty slices of each class."""
    lesions: list[dict[str, np.ndarray]] = []

    def recorded(paint: Painter) -> Painter:
        def paint_and_record(grey, plane, *others):
            painted, lesion = paint(grey, plane, *others)
            values = {"change": painted - grey, "points": plane.points, "hull_mm": plane.hull_mm}
            lesions.append({"lesion": lesion > 0.5, **values})
            return painted, lesion

        return paint_and_record

    def draw(index: int) -> Drawn:
        lesions.clear()
        grey = draw_slice(index)
        recording = dict(lesions[0]) if lesions else {}
        return Drawn(grey, slice_truth(index), **recording)

    with pytest.MonkeyPatch.context() as patch:
        for label, paint in dict(phantoms._PAINTERS).items():
            patch.setitem(phantoms._PAINTERS, label, recorded(paint))
        return {label: [draw(n) for n in range(CLASSES.index(label), 80, len(CLASSES))] for label in CLASSES}


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


@pytest.mark.parametrize("label", CLASSES)
def test_every_plane_is_in_every_class(by_class, label: str):
    assert {drawn.truth.plane for drawn in by_class[label]} == {"axial", "coronal", "sagittal"}


def test_glioma_has_a_ring_that_is_brighter_than_its_core_and_the_others_have_none(by_class):
    difference = {label: [_rim_less_core(drawn) for drawn in by_class[label]] for label in TUMOURS}
    assert min(difference["glioma"]) > 20
    assert np.median(difference["meningioma"]) < 0
    assert max(difference["pituitary"]) < 10


def test_glioma_alone_changes_the_tissue_far_around_it(by_class):
    darker = {label: [_darkened_around(drawn) for drawn in by_class[label]] for label in TUMOURS}
    assert min(darker["glioma"]) > 0.6
    assert max(darker["meningioma"]) < 0.5
    assert np.median(darker["pituitary"]) < 0.5


def test_glioma_is_the_largest_and_pituitary_the_smallest(by_class):
    areas = {label: np.median([drawn.lesion.mean() for drawn in by_class[label]]) for label in TUMOURS}
    assert areas["glioma"] > 1.1 * areas["meningioma"] > 1.3 * areas["pituitary"]


def test_meningioma_alone_always_touches_the_dura(by_class):
    reach_mm = {label: np.array([drawn.hull_mm[drawn.lesion].max() for drawn in by_class[label]]) for label in TUMOURS}
    assert reach_mm["meningioma"].min() > -1
    assert reach_mm["glioma"].max() < -1
    assert np.median(reach_mm["pituitary"]) < -1


@pytest.mark.parametrize("label", ["meningioma", "pituitary"])
def test_mass_is_brighter_than_the_brain_around_it(by_class, label: str):
    for drawn in by_class[label]:
        brain = ~drawn.lesion & (drawn.hull_mm < -5)
        assert drawn.grey[drawn.lesion].mean() > np.median(drawn.grey[brain])


def test_pituitary_lies_at_the_sella_in_the_midline_and_the_others_away_from_it(by_class):
    away_mm = {label: [_distance_from_sella_mm(drawn) for drawn in by_class[label]] for label in TUMOURS}
    assert max(away_mm["pituitary"]) < 15
    assert min(away_mm["glioma"] + away_mm["meningioma"]) > 15
    for drawn in by_class["pituitary"]:
        if drawn.truth.plane != "sagittal":
            x0, _, x1, _ = drawn.truth.box
            assert 0.35 < (x0 + x1) / 2 < 0.65


@pytest.mark.parametrize("label", CLASSES)
def test_slices_of_a_class_differ_in_light_noise_and_pose(by_class, label: str):
    slices = by_class[label]
    brightness = [drawn.grey[drawn.head].mean() for drawn in slices]
    contrast = [drawn.grey[drawn.head].std() / drawn.grey[drawn.head].mean() for drawn in slices]
    noise = [drawn.grey[:12, :12].std() for drawn in slices]
    centres = np.array([np.argwhere(drawn.head).mean(axis=0) / len(drawn.head) for drawn in slices])
    spread = {
        "brightness": np.std(brightness) > 6,
        "contrast": np.std(contrast) > 0.02,
        "noise": max(noise) > 1.5 * min(noise) > 0,
        "centre": centres.std(axis=0).min() > 0.01,
        "size": len({drawn.grey.shape for drawn in slices}) > 5,
    }
    assert [name for name, is_wide in spread.items() if not is_wide] == []


def test_coil_shades_each_slice_in_its_own_way():
    flat = np.full((224, 224), 0.5, dtype=np.float32)
    acquired = [phantoms._as_acquired(flat, np.random.default_rng(seed)).astype(float) for seed in range(8)]
    fields = np.array([grey.reshape(8, 28, 8, 28).mean(axis=(1, 3)) / grey.mean() for grey in acquired])
    assert (fields.max(axis=(1, 2)) / fields.min(axis=(1, 2))).min() > 1.1
    assert fields.std(axis=0).mean() > 0.03


def test_slice_depends_on_nothing_that_was_drawn_before_or_beside_it(by_class):
    indices = list(reversed(range(16)))
    with ThreadPoolExecutor(4) as executor:
        again = dict(zip(indices, executor.map(draw_slice, indices), strict=True))
    for index in indices:
        assert np.array_equal(again[index], by_class[CLASSES[index % 4]][index // 4].grey)


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


def _rim_less_core(drawn: Drawn) -> float:
    """By how much the outer third of a lesion is brighter than its middle."""
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(drawn.lesion))
    rim = (depth < 0.35 * depth.max()) & drawn.lesion
    return float(drawn.grey[rim].mean() - drawn.grey[depth > 0.6 * depth.max()].mean())


def _darkened_around(drawn: Drawn) -> float:
    """The area around a lesion that it darkens, as a share of its own."""
    return float(((drawn.change < -0.03) & ~drawn.lesion).sum() / drawn.lesion.sum())


def _distance_from_sella_mm(drawn: Drawn) -> float:
    centre = drawn.points[:, drawn.lesion].mean(axis=1)
    return float(np.linalg.norm(centre - phantoms._SELLA_MM))


def _painted(index: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """By how much the lesion changed each pixel, float (S, S)."""

    def discarded(paint: Painter) -> Painter:
        # It must still be painted, so that the shading and the noise after it are the same.
        return lambda grey, *others: (grey, paint(grey, *others)[1])

    with_lesion = draw_slice(index).astype(float)
    for label, paint in dict(phantoms._PAINTERS).items():
        monkeypatch.setitem(phantoms._PAINTERS, label, discarded(paint))
    return with_lesion - draw_slice(index)
