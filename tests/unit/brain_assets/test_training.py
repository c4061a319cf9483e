from dataclasses import replace

import numpy as np
import pytest

from brain_assets.ml.confidence import softmax, weighted_loss
from brain_assets.ml.localisation import peak_in_box
from brain_assets.ml.model import build_model, load_weights
from brain_assets.ml.networks import mirror_averaged
from brain_assets.ml.trainer import predicted_logits
from brain_assets.ml.training import join, train
from brain_assets.ml.training_data import TrainingData
from brain_core.errors import TrainingError
from tests.fixtures_model import QUICK, texture_data, textures


def test_a_training_learns_and_tells_of_every_epoch(quick_training):
    history = quick_training.trained.history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["val_accuracy"] > 0.6
    assert history[-1]["loss"] < history[0]["loss"]
    assert [(epoch, epochs) for epoch, epochs, _ in quick_training.told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert quick_training.told[0][2].keys() == {
        "loss", "cell_loss", "accuracy", "val_loss", "val_accuracy", "learning_rate",
    }  # fmt: skip


def test_boxes_teach_the_model_where_to_look():
    images, labels = textures(64, seed=4)
    discs = labels == 1
    boxes = np.full((64, 4), np.nan, np.float32)
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
    logits = predicted_logits(mirror_averaged(model), data.validation_images)
    best = [row["val_loss"] for row in trained.history[len(trained.history) // 2 :]]
    assert weighted_loss(logits / trained.temperature, data.validation_labels) <= min(best) + 1e-3
    probabilities = softmax(logits / trained.temperature)
    covered = probabilities[np.arange(len(logits)), data.validation_labels] >= trained.set_threshold
    assert covered.mean() >= trained.coverage


def test_a_retraining_starts_from_the_given_weights(quick_training):
    again = train(quick_training.data, replace(QUICK, epochs=1), initial_weights=quick_training.trained.weights)
    assert again.history[0]["loss"] < quick_training.trained.history[0]["loss"]


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


def test_joined_members_are_calibrated_as_a_whole(quick_training):
    data = quick_training.data
    lite0 = train(data, replace(QUICK, architecture="lite0_map", epochs=1))
    joined = join([quick_training.trained, lite0], "twin_map", data)
    model = build_model(joined.architecture, joined.input_size)
    load_weights(model, joined.weights)
    probabilities = softmax(predicted_logits(mirror_averaged(model), data.validation_images) / joined.temperature)
    covered = probabilities[np.arange(len(probabilities)), data.validation_labels] >= joined.set_threshold
    assert covered.mean() >= joined.coverage
    assert len(joined.history) == len(quick_training.trained.history) + 1
