"""From logits to probabilities that can be believed, and to the answers that say they are uncertain."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_core.labels import CLASSES

COVERAGE = 0.95
"""Share of the images whose true class is in the prediction set."""


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities of (N, 4) logits."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities of logits: softmax((logits + offsets) / temperature).

    Attributes:
        temperature: in [0.2, 5].
        offsets: float64 (4,), of each class; 0 for `notumor`.
    """

    temperature: float
    offsets: NDArray[np.float64]

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Calibrated probabilities, float64 (N, 4)."""
        return softmax((logits + self.offsets) / self.temperature)


def fit_calibration(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> Calibration:
    """The most likely temperature and class offsets: bias-corrected temperature scaling.

    Alexandari et al. 2020 (arXiv:1901.06852), after Guo et al. 2017 (arXiv:1706.04599). A normal prior of unit variance
    on the tempered offsets keeps them near 0 where few images speak. On unseen patients a network names the class that
    looks different in every patient too rarely; the temperature alone cannot mend that.

    Args:
        logits: (M, 4) of images that were not trained on.
        labels: int64 (M,).
        weights: float64 (M,), what each image counts; all alike without.
    """
    from scipy.optimize import minimize

    # Single precision would hide the differences that the gradient is made of.
    exact = logits.astype(np.float64)
    count = float(len(labels) if weights is None else weights.sum())

    def cost(parameters: NDArray[np.float64]) -> float:
        tempered = exact / math.exp(parameters[0]) + _with_no_tumour(parameters[1:])
        return weighted_loss(tempered, labels, weights) + float(parameters[1:] @ parameters[1:]) / (2 * count)

    bounds = [(math.log(0.2), math.log(5)), *[(-3.0, 3.0)] * (len(CLASSES) - 1)]
    found = minimize(cost, np.zeros(len(CLASSES)), method="L-BFGS-B", bounds=bounds).x
    temperature = math.exp(found[0])
    return Calibration(temperature, _with_no_tumour(found[1:]) * temperature)


def _with_no_tumour(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.insert(values, CLASSES.index("notumor"), 0.0)


def weighted_loss(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> float:
    """Mean negative log-likelihood of the true classes."""
    chosen = np.take_along_axis(softmax(logits), labels[:, np.newaxis], axis=1)[:, 0]
    return float(np.average(-np.log(np.maximum(chosen, 1e-12)), weights=weights))


def set_threshold(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
    coverage: float = COVERAGE,
) -> float:
    """Least probability with which a class belongs to an image's prediction set.

    Split conformal prediction (Sadinle et al. 2019, doi 10.1080/01621459.2017.1395341): of images like the validation
    images, at least `coverage` have their true class in the set. An answer is uncertain when its set does not hold
    exactly one class.

    Args:
        probabilities: float64 (M, 4) of images that were not trained on.
        labels: int64 (M,).
        weights: float64 (M,), what each image counts; all alike without.
        coverage: wanted share.

    Returns:
        A probability in [0, 1]; 0, so that every set holds every class, when there are too few images to tell.
    """
    chosen = np.take_along_axis(probabilities, labels[:, np.newaxis], axis=1)[:, 0]
    counts = np.ones(len(chosen)) if weights is None else weights
    order = np.argsort(-chosen, kind="stable")
    reached = np.cumsum(counts[order])
    # One image more than there are: the new one may be the least of all.
    enough = np.flatnonzero(reached >= coverage * (reached[-1] + 1) - 1e-9)
    return float(chosen[order[enough[0]]]) if len(enough) else 0.0
