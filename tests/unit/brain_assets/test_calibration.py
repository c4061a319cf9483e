import numpy as np
import pytest

from brain_assets.ml.calibration import reliability, unscaled
from brain_assets.ml.confidence import softmax
from brain_assets.ml.metrics import expected_calibration_error


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_probabilities_before_scaling_are_those_of_the_logits(temperature):
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    np.testing.assert_allclose(unscaled(softmax(logits / temperature), temperature), softmax(logits), atol=1e-12)


def test_a_class_that_is_ruled_out_stays_a_number():
    assert unscaled(np.array([[1.0, 0.0, 0.0, 0.0]]), 2.0).sum() == pytest.approx(1)


def test_the_bins_hold_as_many_images_each_and_their_gap_is_the_calibration_error():
    rng = np.random.default_rng(0)
    confidence = np.linspace(0.6, 0.98, 1500)
    probabilities = np.stack([confidence, *[(1 - confidence) / 3] * 3], axis=-1)
    labels = np.where(rng.random(1500) < confidence - 0.3, 0, 1)
    bins = reliability(probabilities, labels)
    assert bins[:, 2].tolist() == [100] * 15
    assert (np.diff(bins[:, 0]) > 0).all()
    assert (bins[:, 0] - bins[:, 1]).mean() == pytest.approx(0.3, abs=0.03)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.3, abs=0.03)
