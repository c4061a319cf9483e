"""Training: from images and labels to calibrated weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.localisation import cell_targets, mirrored
from brain_assets.ml.model import build_model, load_weights, weights_bytes
from brain_assets.shards import ImageArray
from brain_core.errors import TrainingError
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    import keras

UNCERTAIN_SHARE = 0.05
"""Share of the validation images whose answers are called uncertain."""

MAX_UNCERTAIN_BELOW = 0.9
"""A confidence above this is never called uncertain, however sure the model is elsewhere."""

EpochCallback = Callable[[int, int, dict[str, float]], None]
"""Called after every epoch with its number, from 1, how many there are at most, and its metrics."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        architecture: a name of `model.ARCHITECTURES`.
        epochs: at most so many passes over the training images; more where these would be fewer steps than `min_steps`.
        min_steps: a small data set is passed over as often as so many steps take.
        batch_size: images in a step.
        learning_rate: greatest rate; it rises over the first tenth of the steps and falls as a cosine.
        weight_decay: of AdamW.
        patience: epochs of the second half without a lower validation loss after which training ends.
        cell_weight: of the loss of the cells against that of the image; 0 leaves the boxes out.
        intensity: greatest relative change of gain and gamma, and of offset, in the random intensity augmentation.
        seed: of weights, order and augmentation.
    """

    architecture: str = "compact_cnn"
    epochs: int = 12
    min_steps: int = 120
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    patience: int = 4
    cell_weight: float = 1.0
    intensity: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class TrainingData:
    """What to train on and what to tune on.

    Attributes:
        images: uint8 (N, S, S, 1), see `imaging.model_tensor`; only a batch at a time is asked for.
        labels: int64 (N,), indices into `labels.CLASSES`.
        validation_images: uint8 (M, S, S, 1).
        validation_labels: int64 (M,).
        boxes: float (N, 4): x0, y0, x1, y1 of the tumour as fractions of the image, NaN where unknown. Where they are
            known, the model also learns where to look.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    boxes: NDArray[np.floating[Any]] | None = None


@dataclass(frozen=True)
class TrainedWeights:
    """A trained model: load `weights` into `build_model(architecture, input_size)`.

    Attributes:
        weights: HDF5 bytes (`.weights.h5`) of the epoch with the lowest validation loss.
        architecture: a name of `model.ARCHITECTURES`.
        input_size: height and width of the images in pixels.
        temperature: divides the logits before the softmax.
        uncertain_below: confidence below which an answer is called uncertain.
        history: metrics of each epoch: `epoch`, `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`.
    """

    weights: bytes
    architecture: str
    input_size: int
    temperature: float
    uncertain_below: float
    history: list[dict[str, float]]


def train(
    data: TrainingData,
    config: TrainingConfig,
    on_epoch: EpochCallback | None = None,
    initial_weights: bytes | None = None,
) -> TrainedWeights:
    """Train, keep the epoch with the lowest validation loss, and calibrate it on the validation images.

    Args:
        data: what to train and tune on.
        config: how to train.
        on_epoch: told of every epoch.
        initial_weights: weights of the same architecture to start from; fresh ones without.

    Raises:
        TrainingError: a class has no images, the validation set is empty, the loss is not finite, or
            `initial_weights` do not fit.
    """
    import keras

    _check(data)
    keras.utils.set_random_seed(config.seed)
    input_size = data.images.shape[1]
    model = build_model(config.architecture, input_size)
    if initial_weights is not None:
        load_weights(model, initial_weights)
    history = _fit(model, data, config, on_epoch)
    logits = model.predict(data.validation_images, batch_size=256, verbose=0)["logits"]
    temperature = fit_temperature(logits, data.validation_labels)
    return TrainedWeights(
        weights=weights_bytes(model),
        architecture=config.architecture,
        input_size=input_size,
        temperature=temperature,
        uncertain_below=_uncertain_below(softmax(logits / temperature)),
        history=history,
    )


def class_weights(labels: NDArray[np.int64]) -> dict[int, float]:
    """Weight of each class index, inverse to its frequency; the mean over the images is 1.

    Raises:
        TrainingError: a class has no images.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    missing = [name for name, count in zip(CLASSES, counts, strict=True) if count == 0]
    if missing:
        raise TrainingError(f"The training set has no image of {', '.join(missing)}. Add some to the source.")
    return {index: len(labels) / (len(CLASSES) * int(count)) for index, count in enumerate(counts)}


def vary_intensity(images: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random gain, offset and gamma for each image of uint8 (N, S, S, 1); zero stays zero without the offset.

    Args:
        images: uint8 (N, S, S, 1).
        strength: greatest relative change; the offset is at most a quarter of it, of the full range.
        rng: source of randomness.
    """
    gain, gamma = np.exp(rng.uniform(-strength, strength, (2, len(images), 1)))
    offset = rng.uniform(-strength, strength, (len(images), 1)) / 4
    grey = np.linspace(0, 1, 256)
    tables = np.round(255 * np.clip(gain * grey**gamma + offset, 0, 1)).astype(np.uint8)
    varied = np.take_along_axis(tables, images.reshape(len(images), -1).astype(np.intp), axis=1)
    return varied.reshape(images.shape)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities of (N, 4) logits."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float64)


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), in [0.2, 5].

    Args:
        logits: (M, 4) of images that were not trained on.
        labels: int64 (M,).
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        probabilities = softmax(logits / math.exp(log_temperature))
        chosen = np.take_along_axis(probabilities, labels[:, np.newaxis], axis=1)
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return math.exp(minimize_scalar(loss, bounds=(math.log(0.2), math.log(5)), method="bounded").x)


def _check(data: TrainingData) -> None:
    class_weights(data.labels)
    if len(data.validation_labels) == 0:
        raise TrainingError("The validation set is empty. Add images to the source, or raise the validation share.")


def _fit(
    model: "keras.Model", data: TrainingData, config: TrainingConfig, on_epoch: EpochCallback | None
) -> list[dict[str, float]]:
    import keras

    # The weights are shared with the whole model; the other outputs have no loss.
    outputs = {name: model.output[name] for name in ("logits", "cells")}
    trained = keras.Model(model.inputs, outputs)
    batches = _batches(data, config, model.output["cells"].shape[1:3])
    epochs = max(config.epochs, math.ceil(config.min_steps / len(batches)))
    trained.compile(
        keras.optimizers.AdamW(_schedule(len(batches) * epochs, config), weight_decay=config.weight_decay),
        {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "cells": _cell_loss},
        loss_weights={"logits": 1.0, "cells": config.cell_weight},
        metrics={"logits": ["accuracy"]},
        # Twice as fast for plain convolutions on a CPU; it takes ten seconds to compile.
        jit_compile=True,
    )
    history: list[dict[str, float]] = []
    trained.fit(
        batches,
        epochs=epochs,
        validation_data=_validation(data, model.output["cells"].shape[1:]),
        validation_batch_size=256,
        callbacks=[
            _watch(history, on_epoch),
            # The first half of the schedule moves too fast for its validation loss to mean much.
            keras.callbacks.EarlyStopping(
                "val_logits_loss",
                mode="min",
                patience=config.patience,
                restore_best_weights=True,
                start_from_epoch=epochs // 2,
            ),
        ],
        verbose=0,
    )
    return history


def _schedule(steps: int, config: TrainingConfig) -> Any:
    import keras

    warmup = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )


def _cell_loss(targets: Any, cells: Any) -> Any:
    """Cross-entropy of the cells with weighted targets, see `localisation.cell_targets`: one value an image."""
    import keras

    return -keras.ops.sum(targets * keras.ops.log_softmax(cells), axis=(1, 2, 3))


def _validation(data: TrainingData, shape: tuple[int, ...]) -> tuple[Any, dict[str, Any]]:
    # No cell is asked for anything: the best epoch is that of the images.
    nothing = np.zeros((len(data.validation_labels), *shape), np.float32)
    return data.validation_images, {"logits": data.validation_labels, "cells": nothing}


def _batches(data: TrainingData, config: TrainingConfig, shape: tuple[int, int]) -> Any:
    import keras

    by_class = class_weights(data.labels)
    weights = np.array([by_class[index] for index in range(len(CLASSES))])
    boxes = np.full((len(data.labels), 4), np.nan) if data.boxes is None else data.boxes

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Shuffled batches with varied intensities, the same for the same seed."""

        def __init__(self) -> None:
            super().__init__()
            self.epoch = 0
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(data.labels) / config.batch_size)

        def __getitem__(self, index: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
            chosen = self.order[index * config.batch_size : (index + 1) * config.batch_size]
            rng = np.random.default_rng((config.seed, self.epoch, index))
            images = data.images[chosen]
            is_mirrored = rng.random(len(images)) < 0.5
            images[is_mirrored] = images[is_mirrored, :, ::-1]
            labels, places = data.labels[chosen], boxes[chosen]
            places[is_mirrored] = mirrored(places[is_mirrored])
            targets = {"logits": labels, "cells": cell_targets(places, labels, shape)}
            return vary_intensity(images, config.intensity, rng), targets, dict.fromkeys(targets, weights[labels])

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = np.random.default_rng((config.seed, self.epoch)).permutation(len(data.labels))

    return Batches()


def _watch(history: list[dict[str, float]], on_epoch: EpochCallback | None) -> Any:
    import keras

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        """Keeps the metrics, tells of them, and stops a training that diverged."""

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            loss = (logs or {}).get("loss", 0.0)
            if not math.isfinite(loss):
                raise TrainingError(f"The loss became {loss} in step {batch + 1}. Lower the learning rate.")

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            rate = float(self.model.optimizer.learning_rate)
            metrics = {_metric_name(name): float(value) for name, value in (logs or {}).items()}
            metrics["learning_rate"] = rate
            history.append({"epoch": epoch + 1, **metrics})
            if on_epoch is not None:
                on_epoch(epoch + 1, int(self.params["epochs"]), metrics)

    return Watch()


def _metric_name(name: str) -> str:
    """Keras' name without the output's: `val_logits_loss` is the image's loss, which decides."""
    if name in {"loss", "val_loss"}:
        return name.replace("loss", "total_loss")
    return name.replace("logits_", "").replace("cells_loss", "cell_loss")


def _uncertain_below(probabilities: NDArray[np.float64]) -> float:
    return min(float(np.quantile(probabilities.max(axis=-1), UNCERTAIN_SHARE)), MAX_UNCERTAIN_BELOW)
