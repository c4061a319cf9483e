"""Training: from images and labels to calibrated weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml import imagenet
from brain_assets.ml.confidence import COVERAGE, fit_calibration, set_threshold
from brain_assets.ml.heap import keep_freed_memory
from brain_assets.ml.model import architecture_of, build_model, load_weights, weights_bytes
from brain_assets.ml.networks import join_members, mirror_averaged, shift_evidence
from brain_assets.ml.trainer import Attempt, Trainer, predicted_logits
from brain_assets.ml.training_data import TrainingConfig, TrainingData, check

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainedWeights:
    """A trained model: load `weights` into `build_model(architecture, input_size)`.

    Attributes:
        weights: HDF5 bytes (`.weights.h5`) of the epoch with the lowest validation loss, with the class offsets of
            `confidence.fit_calibration` in the intercepts of the evidence.
        architecture: a name of `model.ARCHITECTURES`.
        input_size: height and width of the images in pixels.
        temperature: divides the logits before the softmax.
        set_threshold: least probability of a class in a prediction set, see `confidence.set_threshold`.
        coverage: share of the validation groups whose true class is in its set.
        history: metrics of each epoch: `epoch`, `loss`, `cell_loss`, `accuracy`, `val_loss`, `val_accuracy`,
            `learning_rate`.
    """

    weights: bytes
    architecture: str
    input_size: int
    temperature: float
    set_threshold: float
    coverage: float
    history: list[dict[str, float]]


def train(
    data: TrainingData, config: TrainingConfig, attempt: Attempt | None = None, initial_weights: bytes | None = None
) -> TrainedWeights:
    """Train, keep the epoch with the lowest validation loss, and calibrate it on the validation images.

    Args:
        data: what to train and tune on.
        config: how to train.
        attempt: whom to tell, and where to go on from.
        initial_weights: weights of the same architecture to start from; without, see `TrainingConfig.initial`.

    Raises:
        TrainingError: a class has no images, the validation set is empty, the loss is not finite, or
            `initial_weights` do not fit.
    """
    import keras

    check(data)
    keep_freed_memory()
    keras.utils.set_random_seed(config.seed)
    model = initial_model(config, data.images.shape[1], initial_weights)
    trainer = Trainer(model, data, config, attempt or Attempt())
    history, best = trainer.run()
    load_weights(model, best)
    return _calibrated(model, predicted_logits(trainer.averaged, data.validation_images), data, history)


def join(members: list[TrainedWeights], architecture: str, data: TrainingData) -> TrainedWeights:
    """The network whose members were trained alone, calibrated as a whole on the validation images.

    Raises:
        TrainingError: the members are not those of the architecture, or their weights do not fit.
    """
    models = []
    for member in members:
        models.append(build_model(member.architecture, member.input_size))
        load_weights(models[-1], member.weights)
    twin = build_model(architecture, members[0].input_size)
    join_members(twin, models)
    logits = predicted_logits(mirror_averaged(twin), data.validation_images)
    return _calibrated(twin, logits, data, [row for member in members for row in member.history])


def _calibrated(
    model: "keras.Model", logits: NDArray[np.float32], data: TrainingData, history: list[dict[str, float]]
) -> TrainedWeights:
    """The offsets go into the weights, the temperature beside them."""
    found = fit_calibration(logits, data.validation_labels, data.validation_weights)
    shift_evidence(model, found.offsets)
    probabilities = found.probabilities(logits)
    return TrainedWeights(
        weights=weights_bytes(model),
        architecture=model.name,
        input_size=model.input_shape[1],
        temperature=found.temperature,
        set_threshold=set_threshold(probabilities, data.validation_labels, data.validation_weights),
        coverage=COVERAGE,
        history=history,
    )


def initial_model(config: TrainingConfig, input_size: int, weights: bytes | None = None) -> "keras.Model":
    """The network with the weights to start from: those given, else ImageNet's where it has such, else fresh ones.

    Raises:
        TrainingError: the weights do not fit, or there is no such architecture.
    """
    model = build_model(config.architecture, input_size)
    if weights is not None:
        load_weights(model, weights)
    elif config.initial == "imagenet" and architecture_of(config.architecture).has_imagenet:
        imagenet.initialise(model)
    return model
