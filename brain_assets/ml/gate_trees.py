"""Boosted trees for the upload gate: fitted by scikit-learn, kept as arrays that NumPy evaluates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_core.gate import MAX_LEAVES, Trees

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
        fitted: `tree_` of each regression tree, of at most `gate.MAX_LEAVES` leaves.
        config: how they were grown.
        typical: float32 (F,), see `Trees`.
    """
    shape = (len(fitted), config.leaves - 1)
    feature, remaining = np.zeros(shape, np.int16), np.full(shape, 2**MAX_LEAVES - 1, np.uint16)
    limit, value = np.full(shape, np.inf, np.float32), np.zeros((len(fitted), config.leaves), np.float32)
    for row, tree in enumerate(fitted):
        asks = np.flatnonzero(tree.children_left >= 0)
        leaves, ruled_out = _leaves(tree)
        feature[row, : len(asks)] = tree.feature[asks]
        limit[row, : len(asks)] = _rounded_down(tree.threshold[asks])
        remaining[row, : len(asks)] = [2**MAX_LEAVES - 1 - ruled_out[node] for node in asks.tolist()]
        value[row, : len(leaves)] = tree.value[leaves, 0, 0] * config.learning_rate
    return Trees(feature, limit, remaining, value, typical)


def _leaves(tree: Any) -> tuple[list[int], dict[int, int]]:
    """The leaves' nodes from left to right; for each question, a bit for each leaf that lies left of it."""
    leaves: list[int] = []
    ruled_out: dict[int, int] = {}

    def walk(node: int) -> None:
        if tree.children_left[node] < 0:
            leaves.append(node)
            return
        before = len(leaves)
        walk(int(tree.children_left[node]))
        ruled_out[node] = 2 ** len(leaves) - 2**before
        walk(int(tree.children_right[node]))

    walk(0)
    return leaves, ruled_out


def _rounded_down(limits: NDArray[np.float64]) -> Floats:
    # Features are 32 bits wide: compared with the next smaller such number they fall on the same side.
    rounded = limits.astype(np.float32)
    return np.where(rounded > limits, np.nextafter(rounded, np.float32(-np.inf)), rounded)
