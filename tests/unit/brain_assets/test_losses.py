import numpy as np
import pytest

from brain_assets.ml.localisation import cell_targets, energy_in_box
from brain_assets.ml.losses import LEAST_SHARE, cell_loss, place_loss
from brain_core.labels import CLASSES

GLIOMA, NO_TUMOUR = CLASSES.index("glioma"), CLASSES.index("notumor")
UNKNOWN = np.full((1, 4), np.nan, np.float32)
LEFT_HALF = np.array([[0.0, 0.0, 0.5, 1.0]], np.float32)


def evidence(left: float, right: float, shape: tuple[int, int] = (4, 4)) -> np.ndarray:
    """Cells with evidence for a glioma that differs between the halves of the image."""
    cells = np.full((1, *shape, len(CLASSES)), -20.0, np.float32)
    cells[..., NO_TUMOUR] = 0.0
    cells[:, :, : shape[1] // 2, GLIOMA] = left
    cells[:, :, shape[1] // 2 :, GLIOMA] = right
    return cells


def targets(boxes: np.ndarray, label: int = GLIOMA) -> np.ndarray:
    return cell_targets(boxes, np.array([label]), (4, 4))


def test_evidence_outside_the_box_costs_what_the_energy_in_the_box_says():
    cells = evidence(left=1.0, right=2.0)
    shares = np.exp(cells[..., GLIOMA]) / np.exp(cells[..., GLIOMA]).sum()
    expected = -np.log(energy_in_box(shares, LEFT_HALF) + LEAST_SHARE)
    assert np.asarray(place_loss(targets(LEFT_HALF), cells)) == pytest.approx(expected, rel=1e-4)


def test_one_distant_cell_with_more_evidence_than_the_box_costs_most():
    cells = evidence(left=0.0, right=-5.0)
    before = float(np.asarray(place_loss(targets(LEFT_HALF), cells))[0])
    cells[0, 0, 3, GLIOMA] = 8.0
    assert float(np.asarray(place_loss(targets(LEFT_HALF), cells))[0]) > before + 4


@pytest.mark.parametrize(("boxes", "label"), [(UNKNOWN, GLIOMA), (UNKNOWN, NO_TUMOUR), (LEFT_HALF, NO_TUMOUR)])
def test_nothing_is_asked_about_the_place_where_no_box_is_known(boxes: np.ndarray, label: int):
    assert np.asarray(place_loss(targets(boxes, label), evidence(1.0, 2.0))).tolist() == [0.0]


def test_loss_stays_finite_when_no_evidence_lies_in_the_box():
    loss = np.asarray(cell_loss(targets(LEFT_HALF), evidence(left=-80.0, right=20.0)))
    assert np.isfinite(loss).all()
    assert loss[0] > -np.log(2 * LEAST_SHARE)


def test_cells_that_say_the_right_class_in_the_right_place_cost_nothing():
    assert np.asarray(cell_loss(targets(LEFT_HALF), evidence(left=15.0, right=-15.0))) == pytest.approx(0, abs=1e-3)
