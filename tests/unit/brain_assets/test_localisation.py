import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.localisation import (
    ALL_TUMOURS,
    NO_TUMOUR,
    cell_targets,
    energy_in_box,
    localisation_figures,
    mirrored,
    peak_in_box,
    peaks,
)

UNKNOWN = np.full((1, 4), np.nan)


def box(*sides: float) -> np.ndarray:
    return np.array([sides])


def spot(row: int, column: int, size: int = 8) -> np.ndarray:
    cells = np.zeros((1, size, size))
    cells[0, row, column] = 1
    return cells


def test_cells_in_the_box_say_the_class_and_the_others_say_no_tumour():
    targets = cell_targets(box(0, 0, 0.5, 0.5), np.array([0]), (4, 4))[0]
    assert np.all(targets[:2, :2, 0] == 0.5 / 4)
    assert targets[..., 0].sum() == pytest.approx(0.5)
    assert targets[2:, :, NO_TUMOUR].min() == pytest.approx(0.5 / 12)
    assert targets[:2, :2, NO_TUMOUR].max() == 0


@pytest.mark.parametrize("tiny", [(0.5, 0.5, 0.5001, 0.5001), (0.0, 0.0, 0.001, 0.001), (0.99, 0.2, 1.0, 0.21)])
def test_a_small_tumour_does_not_vanish_on_the_grid(tiny):
    targets = cell_targets(box(*tiny), np.array([3]), (4, 4))[0]
    assert targets[..., 3].sum() == pytest.approx(0.5)


def test_an_image_without_a_tumour_asks_every_cell_to_say_so():
    targets = cell_targets(UNKNOWN, np.array([NO_TUMOUR]), (4, 4))[0]
    assert np.all(targets[..., NO_TUMOUR] == 1 / 16)
    assert targets.sum() == pytest.approx(1)


def test_without_a_box_nothing_is_asked_of_the_cells_of_a_tumour_image():
    assert cell_targets(UNKNOWN, np.array([1]), (4, 4)).sum() == 0


def test_a_box_of_the_whole_image_leaves_no_cell_outside():
    targets = cell_targets(box(0, 0, 1, 1), np.array([1]), (4, 4))
    assert targets[..., 1].sum() == pytest.approx(0.5)
    assert targets[..., NO_TUMOUR].sum() == 0


def test_the_peak_is_the_centre_of_the_greatest_cell():
    np.testing.assert_allclose(peaks(spot(1, 6)), [[6.5 / 8, 1.5 / 8]])


def test_a_peak_just_outside_counts_within_the_margin_only():
    cells = spot(0, 4)
    near = box(0.1, 0.0, 0.55, 0.2)
    assert peak_in_box(cells, near, margin=0.1)[0]
    assert not peak_in_box(cells, near, margin=0.0)[0]


def test_a_peak_is_in_no_unknown_box():
    assert not peak_in_box(spot(1, 1), UNKNOWN)[0]


def test_energy_is_the_share_of_what_is_positive():
    cells = spot(0, 0) + spot(7, 7) - 0.5 * spot(3, 3)
    assert energy_in_box(cells, box(0, 0, 0.5, 0.5))[0] == pytest.approx(0.5)
    assert np.isnan(energy_in_box(cells, UNKNOWN)[0])
    assert np.isnan(energy_in_box(-spot(0, 0), box(0, 0, 1, 1))[0])


def test_the_figures_are_those_of_each_class_and_of_all_with_a_box():
    maps = np.concatenate([spot(1, 1), spot(1, 1), spot(7, 7), spot(1, 1), spot(0, 0)])
    left = [0.0, 0.0, 0.5, 0.5]
    boxes = np.array([left, [0.5, 0.5, 1.0, 1.0], left, [np.nan] * 4, left])
    found = localisation_figures(maps, boxes, np.array([0, 0, 3, 3, NO_TUMOUR]), np.arange(5))
    assert {name: figures.images for name, figures in found.items()} == {"glioma": 2, "pituitary": 1, ALL_TUMOURS: 3}
    assert {name: figures.peak_in_box.value for name, figures in found.items()} == pytest.approx(
        {"glioma": 0.5, "pituitary": 0.0, ALL_TUMOURS: 1 / 3}
    )
    assert found["glioma"].energy_in_box.value == pytest.approx(0.5)
    assert found["glioma"].peak_in_box.low == 0 < found["glioma"].peak_in_box.high == 1


def test_without_boxes_nothing_can_be_said_about_where_the_maps_point():
    assert localisation_figures(spot(1, 1), UNKNOWN, np.array([0]), np.array([0])) == {}


def test_a_map_without_evidence_has_a_peak_but_no_energy():
    (found, _) = localisation_figures(-spot(1, 1), box(0, 0, 1, 1), np.array([0]), np.array([0])).values()
    assert found.energy_in_box is None


sides = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@given(sides, sides, st.integers(1, 9), st.integers(1, 9))
def test_any_box_gives_its_image_weights_that_add_up_and_mirror(across, down, height, width):
    boxes = box(across[0], down[0], across[1], down[1])
    targets = cell_targets(boxes, np.array([0]), (height, width))
    assert targets[..., 0].sum() == pytest.approx(0.5, abs=1e-5)
    assert targets.sum() <= 1 + 1e-5
    np.testing.assert_allclose(mirrored(mirrored(boxes)), boxes, atol=1e-12)
