import itertools

import numpy as np
import pytest

from brain_assets.ml.metrics import accuracy, macro_f1, recalls
from brain_assets.ml.paired import PERMUTATIONS, PairedComparison

LABELS = np.arange(40) % 4
RIGHT = LABELS.copy()
WRONG = np.where(np.arange(40) < 6, (LABELS + 1) % 4, LABELS)
ALONE = np.arange(40)


def test_the_values_are_those_of_the_answers():
    comparison = PairedComparison(RIGHT, WRONG, LABELS, ALONE)
    assert comparison.values(accuracy) == (1.0, 34 / 40)
    assert comparison.components == 40
    difference = comparison.difference(accuracy)
    assert difference is not None
    assert difference.value == pytest.approx(6 / 40)
    assert 0 < difference.low < difference.value < difference.high


def test_the_p_value_is_that_of_all_permutations():
    comparison = PairedComparison(RIGHT, WRONG, LABELS, ALONE)
    # Six components differ, all in favour of the challenger: of 64 ways to swap them only one is as good.
    assert comparison.p_value(accuracy, sign=1) == pytest.approx(1 / 64, abs=0.01)
    assert comparison.p_value(accuracy, sign=-1) == 1.0


def test_a_mixed_result_has_the_p_value_of_the_exact_test():
    challenger, champion = RIGHT.copy(), RIGHT.copy()
    challenger[:2], champion[2:9] = (LABELS[:2] + 1) % 4, (LABELS[2:9] + 1) % 4
    swaps = itertools.product((1, -1), repeat=9)
    exact = np.mean([sum(swap) >= 5 for swap in swaps])
    found = PairedComparison(challenger, champion, LABELS, ALONE).p_value(accuracy, sign=1)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / PERMUTATIONS))


def test_the_slices_of_one_patient_are_swapped_together():
    together = np.where(np.arange(40) < 6, 0, ALONE)
    assert PairedComparison(RIGHT, WRONG, LABELS, together).p_value(accuracy, sign=1) == pytest.approx(0.5, abs=0.05)


def test_equal_answers_are_a_tie():
    comparison = PairedComparison(WRONG, WRONG, LABELS, ALONE)
    assert comparison.p_value(macro_f1, sign=1) == comparison.p_value(macro_f1, sign=-1) == 1.0
    assert comparison.lower_bound(macro_f1, 0.05) == 0


def test_the_lower_bound_is_below_the_difference_and_nearer_for_a_lower_confidence():
    comparison = PairedComparison(RIGHT, WRONG, LABELS, ALONE)
    assert comparison.lower_bound(accuracy, 0.05) < comparison.lower_bound(accuracy, 0.4) <= 6 / 40


def test_a_figure_that_is_not_defined_has_no_difference():
    labels = np.zeros(9, np.int64)
    comparison = PairedComparison(labels, labels, labels, labels)
    assert np.isnan(comparison.values(lambda matrices: recalls(matrices)[..., 3])[0])
    assert comparison.difference(lambda matrices: recalls(matrices)[..., 3]) is None
    assert comparison.values(macro_f1) == (1.0, 1.0)


def test_equal_models_are_called_better_as_rarely_as_the_level_says():
    rng = np.random.default_rng(1)
    labels, patients = rng.integers(0, 4, 90), rng.integers(0, 30, 90)
    found = 0
    for seed in range(200):
        # A patient is hard for both, each answer a matter of luck.
        hard = (rng.random(30) < 0.4)[patients]
        models = [np.where(hard & (rng.random(90) < 0.5), (labels + 1) % 4, labels) for _ in range(2)]
        found += PairedComparison(*models, labels, patients, seed).p_value(macro_f1, sign=1) < 0.05
    # Of 200 at a level of 5 %: 99.9 % of such series have at most 21.
    assert found <= 21
