"""Boosted trees for the upload gate: fitted by scikit-learn, kept as arrays that NumPy evaluates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_core.gate import Trees

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TreeConfig:
    """How trees are grown (stochastic gradient boosting, Friedman 2002, doi 10.1016/S0167-9473(01)00065-2).

    Attributes:
        count: number of trees.
        leaves: of a tree.
        learning_rate: shrinks what a tree adds.
        rows: share of the examples that a tree sees.
        columns: share of the features that a question is chosen from.
        fewest: examples in a leaf.
        seed: of the choice of examples and features.
    """

    count: int = 300
    leaves: int = 12
    learning_rate: float = 0.1
    rows: float = 0.5
    columns: float = 0.3
    fewest: int = 10
    seed: int = 0


def fit_trees(positives: Floats, negatives: Floats, config: TreeConfig) -> Trees:
    """Trees whose log-odds tell positives from negatives, both sides weighing the same.

    Args:
        positives: features float32 (N, F).
        negatives: features float32 (M, F).
        config: how.

    Returns:
        The trees; what is typical of the positives is their median.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=config.count,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaves,
        max_depth=None,
        min_samples_leaf=config.fewest,
        subsample=config.rows,
        max_features=config.columns,
        init="zero",
        random_state=config.seed,
    )
    features = np.concatenate([positives, negatives])
    is_positive = np.arange(len(features)) < len(positives)
    weights = np.where(is_positive, 0.5 / len(positives), 0.5 / len(negatives)) * len(features)
    model.fit(features, is_positive, sample_weight=weights)
    fitted = [stage.tree_ for stage in model.estimators_[:, 0]]
    return as_arrays(fitted, config, np.median(positives, axis=0).astype(np.float32))


def as_arrays(fitted: Sequence[Any], config: TreeConfig, typical: Floats) -> Trees:
    """Fitted trees of scikit-learn as arrays.

    Args:
        fitted: `tree_` of each regression tree.
        config: how they were grown.
        typical: float32 (F,), see `Trees`.
    """
    shape = (len(fitted), 2 * config.leaves - 1)
    own = np.tile(np.arange(shape[1], dtype=np.int16), (shape[0], 1))
    feature, limit, value = np.zeros(shape, np.int16), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    left, right = own.copy(), own.copy()
    for row, tree in enumerate(fitted):
        asks = tree.children_left >= 0
        nodes, leaves = np.flatnonzero(asks), np.flatnonzero(~asks)
        left[row, nodes], right[row, nodes] = tree.children_left[asks], tree.children_right[asks]
        feature[row, nodes], limit[row, nodes] = tree.feature[asks], _rounded_down(tree.threshold[asks])
        value[row, leaves] = tree.value[~asks, 0, 0] * config.learning_rate
    return Trees(feature, limit, left, right, value, typical)


def _rounded_down(limits: NDArray[np.float64]) -> Floats:
    # Features are 32 bits wide: compared with the next smaller such number they fall on the same side.
    rounded = limits.astype(np.float32)
    return np.where(rounded > limits, np.nextafter(rounded, np.float32(-np.inf)), rounded)
