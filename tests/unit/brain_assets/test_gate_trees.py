import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from brain_assets.ml.gate_trees import TreeConfig, as_arrays, fit_trees


def examples() -> tuple[np.ndarray, np.ndarray]:
    # Rounded values make limits fall on values.
    features = np.round(np.random.default_rng(0).standard_normal((500, 6)), 1).astype(np.float32)
    return features, features[:, 0] * features[:, 1] + features[:, 2] > 0


def test_arrays_answer_exactly_as_scikit_learns_trees_do():
    features, is_positive = examples()
    config = TreeConfig(count=25, leaves=8)
    model = GradientBoostingClassifier(
        n_estimators=config.count,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaves,
        max_depth=None,
        init="zero",
        random_state=0,
    ).fit(features, is_positive)
    trees = as_arrays([stage.tree_ for stage in model.estimators_[:, 0]], config, features[0])
    np.testing.assert_allclose(trees.log_odds(features), model.decision_function(features), atol=1e-4)
    np.testing.assert_array_equal(trees.typical, features[0])


def test_fitted_trees_tell_positives_from_negatives_however_many_there_are_of_each():
    features, is_positive = examples()
    few = features[is_positive][:60]
    trees = fit_trees(few, features[~is_positive], TreeConfig(count=120, leaves=6, fewest=3))
    assert (trees.log_odds(few) > 0).mean() > 0.95
    assert (trees.log_odds(features[~is_positive]) < 0).mean() > 0.95
    np.testing.assert_allclose(trees.typical, np.median(few, axis=0))


def test_fitting_again_gives_the_same_trees():
    features, is_positive = examples()
    config = TreeConfig(count=10)
    one, other = (fit_trees(features[is_positive], features[~is_positive], config) for _ in range(2))
    np.testing.assert_array_equal(one.value, other.value)
