import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.confidence import fit_calibration, set_threshold, softmax, weighted_loss


@given(st.floats(-50, 50), st.floats(-1e4, 1e4))
def test_softmax_sums_to_one_and_ignores_an_offset(spread, offset):
    logits = np.array([[0.0, spread, 1.0, -spread]])
    probabilities = softmax(logits + offset)
    assert probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(probabilities, softmax(logits), atol=1e-6)


def drawn_labels(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    cumulative = softmax(logits / temperature).cumsum(axis=1)
    return (rng.random((len(logits), 1)) > cumulative).sum(axis=1).clip(0, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_and_the_offsets_that_made_the_labels_are_found(temperature):
    rng = np.random.default_rng(0)
    logits, offsets = rng.normal(0, 4, (6000, 4)).astype(np.float32), np.array([0.8, -1.0, 0.0, 0.4]) * temperature
    found = fit_calibration(logits, drawn_labels(logits + offsets, temperature, rng))
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    np.testing.assert_allclose(found.offsets, offsets, atol=0.25 * temperature)


def test_a_perfect_validation_set_gives_the_least_temperature_and_not_zero():
    assert 0.2 <= fit_calibration(5 * np.eye(4, dtype=np.float32), np.arange(4)).temperature < 0.4


def test_a_few_images_move_the_offsets_little():
    found = fit_calibration(np.zeros((2, 4)), np.array([1, 1]))
    assert 0 < found.offsets[1] / found.temperature < 1


def test_an_image_of_no_weight_does_not_count():
    logits, labels = np.array([[3.0, 0, 0, 0], [3.0, 0, 0, 0]]), np.array([0, 1])
    assert weighted_loss(logits, labels, np.array([1.0, 0.0])) == pytest.approx(weighted_loss(logits[:1], labels[:1]))


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_sets_hold_the_true_class_of_the_stated_share_of_new_images(coverage):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (6000, 4))
    labels, probabilities = drawn_labels(logits, 1.0, rng), softmax(logits)
    threshold = set_threshold(probabilities[:3000], labels[:3000], coverage=coverage)
    chosen = probabilities[np.arange(3000, 6000), labels[3000:]]
    assert (chosen >= threshold).mean() == pytest.approx(coverage, abs=0.02)


def test_too_few_images_to_tell_make_every_answer_uncertain():
    assert set_threshold(np.eye(4), np.arange(4), coverage=0.95) == 0.0


def test_the_images_of_a_group_count_as_one():
    probabilities = np.array([[0.9, 0.1, 0, 0]] * 30 + [[0.6, 0.4, 0, 0]] * 10)
    labels = np.zeros(40, np.int64)
    alone = set_threshold(probabilities, labels, coverage=0.7)
    grouped = set_threshold(probabilities, labels, np.array([1.0] * 30 + [5.0] * 10), coverage=0.7)
    assert (alone, grouped) == (0.9, 0.6)
