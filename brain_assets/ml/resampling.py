"""Intervals that respect what hangs together: a percentile bootstrap that resamples whole groups.

Efron and Tibshirani 1993, An Introduction to the Bootstrap. The images of one patient are not independent, so that it
is the patients (or, where these are not known, the groups of copies) that are drawn anew.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.figures import Interval

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)


class Resampling:
    """A set of images, and the sets that are drawn from it group by group; the same for the same seed.

    Args:
        groups: int64 (N,), images with the same number are drawn together.
        seed: of the drawing.
    """

    def __init__(self, groups: NDArray[np.int64], seed: int = 0) -> None:
        numbers, members = np.unique(groups, return_inverse=True)
        self.members: NDArray[np.int64] = members.astype(np.int64)
        self.groups = len(numbers)
        self._seed = seed

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each group is drawn, float64 (1 + RESAMPLES, G); the first row is the set as it is."""
        rng = np.random.default_rng(self._seed)
        drawn = rng.multinomial(self.groups, np.full(self.groups, 1 / self.groups), RESAMPLES)
        return np.vstack([np.ones(self.groups), drawn])

    def totals(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sums of the images' values (N, …) in the set and in each that was drawn: (1 + RESAMPLES, …)."""
        by_group = np.zeros((self.groups, *values.shape[1:]))
        np.add.at(by_group, self.members, values)
        return np.tensordot(self.weights, by_group, axes=1)

    def mean(self, values: NDArray[Any]) -> Interval | None:
        """Mean of the images' values (N,); NaN counts for nothing, and None stands for a mean of nothing."""
        known = ~np.isnan(np.asarray(values, np.float64))
        pairs = np.stack([np.where(known, values, 0.0), known], axis=-1)
        total, count = self.totals(pairs).T
        return interval(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def interval(values: NDArray[np.float64]) -> Interval | None:
    """The figure of the set, which comes first, with the percentiles of those of the drawn sets.

    A drawn set may lack a class; its figure is then NaN and left out. None where the figure itself is NaN.
    """
    if np.isnan(values[0]):
        return None
    low, high = _percentiles(values)
    return Interval(value=float(values[0]), low=low, high=high)


def recentred_interval(values: NDArray[np.float64]) -> Interval:
    """The interval of an error in [0, 1] that drawing with repetition alone makes greater.

    Their percentiles are moved by as much as the drawn sets are worse on average: percentiles as they are would often
    lie wholly above a small calibration error.
    """
    value = float(values[0])
    excess = float(np.nanmean(values[1:])) - value
    low, high = (min(1.0, max(0.0, bound - excess)) for bound in _percentiles(values))
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(drawn, PERCENTILES) if len(drawn) else (values[0], values[0])
    return float(low), float(high)
