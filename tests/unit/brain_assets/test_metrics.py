import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn import metrics as sklearn_metrics

from brain_assets.ml.metrics import (
    calibration_error,
    class_areas,
    confusion_png,
    evaluate,
    evaluate_subset,
    expected_calibration_error,
    training_curve_png,
)
from brain_assets.ml.resampling import Resampling
from brain_core.labels import CLASSES


def answers(count: int, seed: int = 0, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(4, 1 / sharpness), count)
    labels = (rng.random((count, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    return probabilities, labels.astype(np.int64)


def certain(predictions: list[int]) -> np.ndarray:
    return np.eye(4)[predictions]


def test_the_figures_are_those_of_scikit_learn():
    probabilities, labels = answers(500)
    found, predictions = evaluate(probabilities, labels, np.arange(500)), probabilities.argmax(axis=1)
    assert found.accuracy.value == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions))
    assert found.macro_f1.value == pytest.approx(sklearn_metrics.f1_score(labels, predictions, average="macro"))
    assert found.balanced_accuracy.value == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, predictions))
    assert found.confusion == sklearn_metrics.confusion_matrix(labels, predictions).tolist()
    recalls = sklearn_metrics.recall_score(labels, predictions, average=None)
    precisions = sklearn_metrics.precision_score(labels, predictions, average=None)
    for index, name in enumerate(CLASSES):
        assert found.by_class[name].recall.value == pytest.approx(recalls[index])
        assert found.by_class[name].precision.value == pytest.approx(precisions[index])


def test_the_interval_has_the_width_that_theory_gives():
    probabilities, labels = answers(1000)
    accuracy = evaluate(probabilities, labels, np.arange(1000)).accuracy
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 1000)
    assert accuracy.high - accuracy.low == pytest.approx(2 * half, rel=0.15)
    assert accuracy.low < accuracy.value < accuracy.high


def test_copies_in_one_group_do_not_narrow_the_interval():
    probabilities, labels = answers(100)
    once = evaluate(probabilities, labels, np.arange(100))
    copied = evaluate(*(np.repeat(x, 5, axis=0) for x in (probabilities, labels, np.arange(100))))
    assert (copied.images, copied.groups) == (500, 100)
    assert copied.accuracy == once.accuracy
    as_if_independent = evaluate(np.repeat(probabilities, 5, axis=0), np.repeat(labels, 5), np.arange(500)).accuracy
    assert as_if_independent.high - as_if_independent.low < once.accuracy.high - once.accuracy.low


def test_the_same_seed_gives_the_same_intervals():
    probabilities, labels = answers(100)
    first, again, other = (evaluate(probabilities, labels, np.arange(100), seed) for seed in (1, 1, 2))
    assert first == again
    assert first.ece != other.ece


def test_calibrated_answers_have_little_calibration_error():
    probabilities, labels = answers(5000)
    assert evaluate(probabilities, labels, np.arange(5000)).ece.value < 0.02


def test_answers_that_are_too_sure_have_the_calibration_error_that_they_have():
    labels = np.tile([0, 0, 0, 1], 250)
    probabilities = np.tile([0.95, 0.05, 0.0, 0.0], (1000, 1))
    assert evaluate(probabilities, labels, np.arange(1000)).ece.value == pytest.approx(0.2, abs=0.03)


def test_the_correction_takes_off_much_of_what_small_bins_show_by_chance():
    rng = np.random.default_rng(0)
    right = rng.binomial(20, 0.8, (400, 10)).astype(float)
    sums = np.stack([np.full_like(right, 20.0), np.full_like(right, 16.0), right], axis=-1)
    plain = np.abs(right / 20 - 0.8).mean()
    assert calibration_error(sums).mean() < 0.65 * plain


@pytest.mark.parametrize("count", [100, 180, 600])
def test_a_model_that_is_calibrated_mostly_seems_so_also_on_few_images(count):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 0.2), (200, count))
    labels = (probabilities.cumsum(axis=-1) > rng.random((200, count, 1))).argmax(axis=-1)
    errors = [expected_calibration_error(*one) for one in zip(probabilities, labels, strict=True)]
    assert np.mean(np.array(errors) > 0.05) < 0.25


def test_a_class_without_images_has_no_recall_and_does_not_count():
    found = evaluate(certain([0, 1, 1, 0]), np.array([0, 1, 1, 1]), np.arange(4))
    assert found.by_class["pituitary"].recall is None
    assert found.by_class["pituitary"].precision is None
    assert found.by_class["pituitary"].images == 0
    assert found.balanced_accuracy.value == pytest.approx((1 + 2 / 3) / 2)


def test_the_area_under_the_curve_is_that_of_scikit_learn_with_ties_too():
    probabilities, labels = answers(300)
    rounded = probabilities.round(1)
    found = evaluate(rounded, labels, np.arange(300))
    areas = [sklearn_metrics.roc_auc_score(labels == index, rounded[:, index]) for index in range(4)]
    assert [found.by_class[name].roc_auc.value for name in CLASSES] == pytest.approx(areas)
    assert found.roc_auc.value == pytest.approx(np.mean(areas))


def test_the_areas_of_the_drawn_sets_are_those_of_scikit_learn_with_weights():
    probabilities, labels = answers(120)
    resampling = Resampling(np.arange(120) // 3)
    weights = resampling.weights[7][resampling.members]
    expected = sklearn_metrics.roc_auc_score(labels == 1, probabilities[:, 1], sample_weight=weights)
    assert class_areas(probabilities, labels, resampling)[7, 1] == pytest.approx(expected)


def test_one_group_of_one_class_has_the_figures_that_there_are():
    found = evaluate(certain([0, 0, 1]), np.array([0, 0, 0]), np.zeros(3, np.int64))
    assert found.accuracy.value == found.accuracy.low == found.accuracy.high == pytest.approx(2 / 3)
    assert found.roc_auc is None
    assert found.by_class["glioma"].roc_auc is None


def test_a_subset_has_the_recall_of_the_classes_that_are_in_it():
    found = evaluate_subset(np.array([0, 1, 3]), np.array([0, 0, 3]), np.array([5, 5, 9]))
    assert (found.images, found.components) == (3, 2)
    assert {name: recall.value for name, recall in found.recall.items()} == {"glioma": 0.5, "pituitary": 1.0}
    assert found.accuracy.value == pytest.approx(2 / 3)
    assert found.balanced_accuracy.value == pytest.approx(0.75)


def test_the_calibration_error_is_the_one_of_the_evaluation():
    probabilities, labels = answers(200)
    error = expected_calibration_error(probabilities, labels)
    assert error == evaluate(probabilities, labels, np.arange(200)).ece.value


def test_a_small_calibration_error_lies_within_its_interval():
    probabilities, labels = answers(600)
    ece = evaluate(probabilities, labels, np.arange(600)).ece
    assert ece.low <= ece.value <= ece.high
    assert ece.high < 0.1


@pytest.mark.parametrize("judged", [evaluate, evaluate_subset])
def test_no_images_are_refused(judged):
    with pytest.raises(ValueError, match="no images"):
        judged(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0, np.int64))
    with pytest.raises(ValueError, match="no images"):
        expected_calibration_error(np.empty((0, 4)), np.empty(0, np.int64))


@given(arrays(np.int64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.integers(0, 3)))
def test_every_figure_lies_between_its_bounds_and_in_the_unit_interval(rows):
    labels, predictions, groups = rows.T
    found = evaluate(certain(predictions.tolist()) * 0.97 + 0.0075, labels, groups)
    for interval in found.intervals().values():
        assert 0 <= interval.low <= interval.high <= 1
        assert 0 <= interval.value <= 1
    assert found.ece.low <= found.ece.value <= found.ece.high
    assert sum(map(sum, found.confusion)) == len(labels)


def test_fifteen_hundred_images_are_judged_within_two_seconds():
    probabilities, labels = answers(1500)
    start = time.process_time()
    evaluate(probabilities, labels, np.arange(1500) // 2)
    assert time.process_time() - start < 2


def test_the_record_is_plain_json_and_has_the_headline():
    found = evaluate(*answers(50), np.arange(50))
    assert found.as_dict()["accuracy"]["value"] == found.headline()["accuracy"]
    assert type(found).model_validate(found.as_dict()) == found


def test_the_pictures_are_png_that_show_something():
    confusion = confusion_png(evaluate(*answers(50), np.arange(50)))
    history = [{"epoch": n, "loss": 1 / n, "val_loss": 1.2 / n, "val_accuracy": 1 - 0.5 / n} for n in (1, 2, 3)]
    for png in (confusion, training_curve_png(history)):
        picture = Image.open(io.BytesIO(png))
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(10**6)) > 20
