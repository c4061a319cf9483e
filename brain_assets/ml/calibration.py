"""Are the probabilities true? What temperature scaling changed, and confidence against share of right answers."""

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.confidence import softmax
from brain_assets.ml.metrics import Labels, Probabilities, calibration_bins


def unscaled(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """The probabilities without temperature scaling, float64 (N, 4).

    With p = softmax(logits / T), T log p differs from the logits by a constant, which the softmax does not see.
    """
    smallest = np.finfo(np.float32).tiny
    return softmax(temperature * np.log(np.maximum(np.asarray(probabilities, np.float64), smallest)))


def reliability(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Mean confidence, share of right answers and number of images in each bin of equal mass: float64 (B, 3).

    The bins are those of `metrics.calibration_error`, in the order of their confidence.
    """
    count, confidence, right = calibration_bins(probabilities, labels).sum(axis=0).T
    return np.stack([confidence / count, right / count, count], axis=-1)
