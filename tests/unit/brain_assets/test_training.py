from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.localisation import peak_in_box
from brain_assets.ml.model import build_model, load_weights
from brain_assets.ml.training import TrainingData, class_weights, fit_temperature, softmax, train, vary_intensity
from brain_core.errors import TrainingError
from tests.fixtures_model import QUICK, texture_data, textures

STRENGTHS = st.floats(0, 0.5)


@given(st.lists(st.integers(0, 3), max_size=50))
def test_class_weights_balance_the_classes(more):
    labels = np.array([0, 1, 2, 3, *more])
    weights = class_weights(labels)
    totals = [weights[index] * (labels == index).sum() for index in range(4)]
    np.testing.assert_allclose(totals, len(labels) / 4)


def test_a_class_without_images_is_named():
    with pytest.raises(TrainingError, match="no image of notumor, pituitary"):
        class_weights(np.array([0, 1, 1]))


@given(STRENGTHS, st.integers(0, 100))
def test_varied_intensities_keep_the_order_of_the_grey_values(strength, seed):
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=0)
    varied = vary_intensity(images, strength, np.random.default_rng(seed))
    assert (varied.dtype, varied.shape) == (np.uint8, images.shape)
    assert (np.diff(varied.reshape(3, -1).astype(int), axis=1) >= 0).all()


def test_no_strength_varies_nothing_and_some_varies_each_image_differently():
    images = textures(1)[0].repeat(2, axis=0)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(vary_intensity(images, 0.0, rng), images)
    first, second = vary_intensity(images, 0.2, rng)
    assert (first != second).any()


@given(st.floats(-50, 50), st.floats(-1e4, 1e4))
def test_softmax_sums_to_one_and_ignores_an_offset(spread, offset):
    logits = np.array([[0.0, spread, 1.0, -spread]])
    probabilities = softmax(logits + offset)
    assert probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(probabilities, softmax(logits), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (4000, 4))
    cumulative = softmax(logits / temperature).cumsum(axis=1)
    labels = (rng.random((4000, 1)) > cumulative).sum(axis=1).clip(0, 3)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.1)


def test_a_perfect_validation_set_gives_the_least_temperature_and_not_zero():
    assert 0.2 <= fit_temperature(5 * np.eye(4), np.arange(4)) < 0.22


def test_a_training_learns_and_tells_of_every_epoch(quick_training):
    history = quick_training.trained.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["val_accuracy"] > 0.6
    assert history[-1]["loss"] < history[0]["loss"]
    assert [(epoch, epochs) for epoch, epochs, _ in quick_training.told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert quick_training.told[0][2].keys() == {
        "loss", "cell_loss", "total_loss", "accuracy",
        "val_loss", "val_cell_loss", "val_total_loss", "val_accuracy", "learning_rate",
    }  # fmt: skip


def test_boxes_teach_the_model_where_to_look():
    images, labels = textures(64, seed=4)
    discs = labels == 1
    boxes = np.full((64, 4), np.nan)
    for index in np.flatnonzero(discs):
        rows, columns = np.nonzero(images[index, ..., 0] > 120)
        boxes[index] = [columns.min() / 32, rows.min() / 32, (columns.max() + 1) / 32, (rows.max() + 1) / 32]
    data = TrainingData(images, labels, *textures(16, seed=5), boxes)
    trained = train(data, replace(QUICK, epochs=12))
    model = build_model(trained.architecture, trained.input_size)
    load_weights(model, trained.weights)
    maps = model.predict(images[discs], verbose=0)["activation_map"][..., 1]
    assert peak_in_box(maps, boxes[discs], margin=0.5).mean() > 0.6
    assert trained.history[-1]["cell_loss"] < trained.history[0]["cell_loss"]


def test_the_weights_are_those_of_the_best_epoch_and_the_figures_fit_them(quick_training):
    trained, data = quick_training.trained, quick_training.data
    model = build_model(trained.architecture, trained.input_size)
    load_weights(model, trained.weights)
    logits = model.predict(data.validation_images, verbose=0)["logits"]
    loss = -np.log(softmax(logits)[np.arange(len(logits)), data.validation_labels]).mean()
    best = [row["val_loss"] for row in trained.history[len(trained.history) // 2 :]]
    assert loss == pytest.approx(min(best), rel=1e-3)
    assert fit_temperature(logits, data.validation_labels) == pytest.approx(trained.temperature, rel=1e-3)
    confidence = softmax(logits / trained.temperature).max(axis=1)
    assert (confidence < trained.uncertain_below).mean() <= 0.1


def test_a_retraining_starts_from_the_given_weights(quick_training):
    resumed = train(quick_training.data, replace(QUICK, epochs=1), initial_weights=quick_training.trained.weights)
    assert resumed.history[0]["loss"] < quick_training.trained.history[1]["loss"]


def test_a_small_data_set_is_passed_over_for_the_least_steps_and_the_same_seed_gives_the_same_model():
    data, config = texture_data(32), replace(QUICK, epochs=1, min_steps=3, seed=3)
    first, again = train(data, config), train(data, config)
    assert [row["epoch"] for row in first.history] == [1, 2]
    assert again.history == first.history


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(TrainingError, match=r"loss became .* Lower the learning rate"):
        train(texture_data(32), replace(QUICK, learning_rate=1e30))


def test_a_class_without_training_images_is_refused():
    data = texture_data(32)
    labels = np.where(data.labels == 2, 0, data.labels)
    with pytest.raises(TrainingError, match="notumor"):
        train(replace(data, labels=labels), QUICK)


def test_an_empty_validation_set_is_refused():
    data = texture_data(32)
    empty = replace(data, validation_images=data.images[:0], validation_labels=data.labels[:0])
    with pytest.raises(TrainingError, match="validation set is empty"):
        train(empty, QUICK)


def test_weights_that_do_not_fit_are_refused_before_training():
    with pytest.raises(TrainingError, match="do not fit"):
        train(texture_data(32), QUICK, initial_weights=b"nonsense")
