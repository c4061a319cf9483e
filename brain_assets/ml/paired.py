"""Two models that answered the same images: differences with intervals, and permutation tests on them.

What is swapped and drawn are components (patients, where known): the slices of one patient are not independent.
Under the hypothesis that both models are equally good it does not matter which of them gave which answers, component
by component (a paired permutation test: Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses).
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.figures import Interval
from brain_assets.ml.metrics import Counts, group_confusions
from brain_assets.ml.resampling import Resampling, interval

PERMUTATIONS = 2000

Figure = Callable[[Counts], NDArray[np.float64]]
"""A figure of each confusion matrix in (..., 4, 4), such as `metrics.macro_f1`."""

_EQUAL = 1e-12
"""Differences that rounding alone makes are ties."""


class PairedComparison:
    """The answers of two models, component by component.

    Nothing depends on the order of the images, nor on the numbers of the components: these are sorted by what both
    models answered in them.

    Args:
        challenger: int64 (N,), its predicted classes as indices into `labels.CLASSES`.
        champion: the same of the other model.
        labels: int64 (N,), the true classes; N is at least 1.
        components: int64 (N,), images with the same number are swapped and drawn together.
        seed: of the permutations and of the drawn sets.
    """

    def __init__(
        self,
        challenger: NDArray[np.int64],
        champion: NDArray[np.int64],
        labels: NDArray[np.int64],
        components: NDArray[np.int64],
        seed: int = 0,
    ) -> None:
        pairs = np.stack(
            [group_confusions(predictions, labels, components)[0] for predictions in (challenger, champion)], axis=1
        )
        order = np.lexsort(pairs.reshape(len(pairs), -1).T)
        self._pairs = pairs[order]
        self._seed = seed
        self.components = len(pairs)

    def values(self, figure: Figure) -> tuple[float, float]:
        """The figure of the challenger and of the champion; NaN where it is not defined."""
        challenger, champion = (float(value) for value in figure(self._pairs.sum(axis=0)))
        return challenger, champion

    def difference(self, figure: Figure) -> Interval | None:
        """Challenger minus champion with its 95 % interval; None where the figure is not defined."""
        return interval(self._drawn_differences(figure))

    def lower_bound(self, figure: Figure, alpha: float) -> float:
        """The difference is at least this, with a one-sided confidence of 1 - `alpha`."""
        return float(np.nanquantile(self._drawn_differences(figure)[1:], alpha))

    def p_value(self, figure: Figure, sign: int) -> float:
        """One-sided p-value that the challenger is better (`sign` 1) or worse (-1) than an equal model by chance.

        At least 1 / (1 + PERMUTATIONS); the probability of a value of at most p is at most p if both are equal.
        """
        values = figure(self._permuted)
        differences = sign * (values[0] - values[1])
        extreme = int((differences[1:] >= differences[0] - _EQUAL).sum())
        return (1 + extreme) / (1 + PERMUTATIONS)

    def _drawn_differences(self, figure: Figure) -> NDArray[np.float64]:
        values = figure(self._drawn)
        return np.asarray(values[:, 0] - values[:, 1])

    @cached_property
    def _drawn(self) -> Counts:
        """(1 + RESAMPLES, 2, 4, 4); the first is the set as it is."""
        return Resampling(np.arange(self.components), self._seed).totals(self._pairs)

    @cached_property
    def _permuted(self) -> Counts:
        """(2, 1 + PERMUTATIONS, 4, 4); the first permutation leaves everything in its place."""
        challenger, champion = self._pairs[:, 0], self._pairs[:, 1]
        # Where both answered alike a swap changes nothing.
        differ = (challenger != champion).any(axis=(1, 2))
        keeps = np.ones((1 + PERMUTATIONS, int(differ.sum())))
        keeps[1:] = np.random.default_rng(self._seed).integers(0, 2, (PERMUTATIONS, keeps.shape[1]))
        swapped = np.tensordot(keeps, (challenger - champion)[differ], axes=1) + champion.sum(axis=0)
        return np.stack([swapped, (challenger + champion).sum(axis=0) - swapped])
