"""The training loop: a network with its losses, an epoch after the other, the best one kept.

The weights that count are the moving average over the steps (Polyak and Juditsky 1992, doi 10.1137/0330046), and of
these the epoch with the lowest validation loss. After every epoch a checkpoint is kept, from which the same training
goes on when it was cut off.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.checkpoints import Checkpoint, CheckpointStore, NoCheckpoints, assign, fits, values_of
from brain_assets.ml.confidence import weighted_loss
from brain_assets.ml.losses import cell_loss
from brain_assets.ml.model import weights_bytes
from brain_assets.ml.networks import mirror_averaged
from brain_assets.ml.training_batches import BatchOptions, learning_heads, training_batches
from brain_assets.ml.training_data import TrainingConfig, TrainingData
from brain_assets.ml.variation import VariationConfig
from brain_assets.shards import ImageArray
from brain_core.errors import TrainingError

if TYPE_CHECKING:
    import keras

PREDICTION_BATCH = 64

EpochCallback = Callable[[int, int, dict[str, float]], None]
"""Called after every epoch with its number, from 1, how many there are at most, and its metrics."""


@dataclass(frozen=True)
class Attempt:
    """What may differ between two attempts at the same training.

    Attributes:
        on_epoch: told of every epoch that is done.
        checkpoints: where the state after each epoch is kept.
        mark: what is trained on and how; only a checkpoint with the same mark is gone on from.
    """

    on_epoch: EpochCallback | None = None
    checkpoints: CheckpointStore = field(default_factory=NoCheckpoints)
    mark: str = ""


def predicted_logits(averaged: "keras.Model", images: ImageArray) -> NDArray[np.float32]:
    """Logits float32 (N, 4) of uint8 (N, S, S, 1) by a network that `networks.mirror_averaged` made."""
    logits = averaged.predict(images[:], batch_size=PREDICTION_BATCH, verbose=0)["logits"]
    return np.asarray(logits, np.float32)


class Trainer:
    """One training: the network with its losses, the batches, and the best epoch so far.

    Args:
        model: the network with the weights to start from.
        data: what to train and tune on.
        config: how to train.
        attempt: whom to tell, and where to go on from.

    Attributes:
        averaged: the network that averages the mirrored image; shares the weights.
        compiled: the network with losses and optimiser; shares the weights.
        batches: of the epoch that comes next.
    """

    def __init__(self, model: "keras.Model", data: TrainingData, config: TrainingConfig, attempt: Attempt) -> None:
        self._model, self._data, self._config, self._attempt = model, data, config, attempt
        self.averaged = mirror_averaged(model)
        self.batches: Any = training_batches(data, _batch_options(model, config))
        self._epochs = max(config.epochs, math.ceil(config.min_steps / len(self.batches)))
        steps = len(self.batches) * self._epochs
        self.compiled, self._rates = _compiled(model, config, steps), _schedule(steps, config)
        self._history: list[dict[str, float]] = []
        self._best_weights, self._best_loss = b"", math.inf

    def run(self) -> tuple[list[dict[str, float]], bytes]:
        """Train to the end; metrics by epoch, and the best weights."""
        self._build()
        self._go_on()
        if not self._is_over():
            self.compiled.fit(
                self.batches,
                initial_epoch=len(self._history),
                epochs=self._epochs,
                callbacks=[_watch(self._rates, self._after_epoch)],
                verbose=0,
            )
        return self._history, self._best_weights

    def _build(self) -> None:
        """Make the variables of optimiser, losses and metrics; made within the first step, it would be traced twice."""
        self.compiled.optimizer.build(self.compiled.trainable_variables)
        images, targets, weights = self.batches[0]
        answers = self.compiled(images)
        self.compiled.compute_loss(images, targets, answers, weights)
        self.compiled.compute_metrics(images, targets, answers, weights)

    @property
    def _state(self) -> list[Any]:
        return [*self._model.variables, *self.compiled.optimizer.variables]

    def _go_on(self) -> None:
        found = self._attempt.checkpoints.load(self._attempt.mark)
        if found is None or not fits(self._state, found.variables):
            return
        assign(self._state, found.variables)
        self._history, self._best_weights, self._best_loss = found.history, found.best_weights, found.best_loss
        self.batches.start_at(len(self._history))

    def _after_epoch(self, logs: dict[str, float]) -> bool:
        """Judge the epoch, keep a checkpoint; true when training is over."""
        epoch = len(self._history) + 1
        metrics = {**_training_metrics(logs), **self._judged(epoch)}
        metrics["learning_rate"] = float(self.compiled.optimizer.learning_rate)
        self._history.append({"epoch": epoch, **metrics})
        self._attempt.checkpoints.save(
            Checkpoint(self._attempt.mark, self._history, values_of(self._state), self._best_weights, self._best_loss)
        )
        if self._attempt.on_epoch is not None:
            self._attempt.on_epoch(epoch, self._epochs, metrics)
        return self._is_over()

    def _judged(self, epoch: int) -> dict[str, float]:
        """The validation metrics of the averaged weights, which are kept when they are the best so far."""
        moving = values_of(self.compiled.trainable_variables)
        self.compiled.optimizer.finalize_variable_values(self.compiled.trainable_variables)
        logits, labels = predicted_logits(self.averaged, self._data.validation_images), self._data.validation_labels
        loss = weighted_loss(logits, labels, self._data.validation_weights)
        # The first half of the schedule moves too fast for its validation loss to mean much.
        if epoch > self._epochs // 2 and loss < self._best_loss:
            self._best_weights, self._best_loss = weights_bytes(self._model), loss
        assign(self.compiled.trainable_variables, moving)
        right = np.average(logits.argmax(axis=1) == labels, weights=self._data.validation_weights)
        return {"val_loss": loss, "val_accuracy": float(right)}

    def _is_over(self) -> bool:
        done = len(self._history)
        counted = [row["val_loss"] for row in self._history[self._epochs // 2 :]]
        since_best = len(counted) - 1 - int(np.argmin(counted)) if counted else 0
        return done >= self._epochs or since_best >= self._config.patience


def _batch_options(model: "keras.Model", config: TrainingConfig) -> BatchOptions:
    cells = tuple(model.output["cells"].shape[1:3]) if "cells" in model.output else (1, 1)
    variation = _scaled(VariationConfig(), config.variation)
    return BatchOptions(config.batch_size, config.seed, variation, cells, learning_heads(model.output))


def _scaled(variation: VariationConfig, factor: float) -> VariationConfig:
    scaled = {
        name: min(1.0, value * factor) if name.endswith("_share") else value * factor
        for name, value in vars(variation).items()
    }
    return VariationConfig(**scaled)


def _compiled(model: "keras.Model", config: TrainingConfig, steps: int) -> "keras.Model":
    import keras

    # The weights are shared with the whole model; the other outputs have no loss.
    heads = learning_heads(model.output)
    image_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained = keras.Model(model.input, {name: model.output[name] for name in heads})
    trained.compile(
        keras.optimizers.AdamW(
            config.learning_rate,
            weight_decay=config.weight_decay,
            use_ema=True,
            # About the last twentieth of the steps.
            ema_momentum=1 - 1 / max(2, steps / 20),
        ),
        {name: cell_loss if name.startswith("cells") else image_loss for name in heads},
        loss_weights={name: config.cell_weight if name.startswith("cells") else 1.0 for name in heads},
        metrics={name: ["accuracy"] for name in heads if name.startswith("logits")},
        # XLA takes ten seconds to compile, and a step then takes twice as long; of depthwise convolutions, eight times.
        jit_compile=False,
    )
    return trained


def _schedule(steps: int, config: TrainingConfig) -> Callable[[int], Any]:
    import keras

    warmup = max(1, steps // 10)
    schedule: Callable[[int], Any] = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    return schedule


def _watch(rates: Callable[[int], Any], after_epoch: Callable[[dict[str, float]], bool]) -> Any:
    import keras

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        """Sets the learning rate, tells of the epochs, and stops a training that diverged."""

        def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
            del batch, logs
            # Given to the optimiser, the schedule would be traced, and computed in each step, for every weight anew.
            self.model.optimizer.learning_rate = rates(int(self.model.optimizer.iterations))

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            loss = (logs or {}).get("loss", 0.0)
            if not math.isfinite(loss):
                raise TrainingError(f"The loss became {loss} in step {batch + 1}. Lower the learning rate.")

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            del epoch
            self.model.stop_training = after_epoch(logs or {})

    return Watch()


def _training_metrics(logs: dict[str, float]) -> dict[str, float]:
    """Means over the learning heads: `loss` and `accuracy` of the images, `cell_loss`."""
    kinds = {"loss": ("logits", "_loss"), "cell_loss": ("cells", "_loss"), "accuracy": ("logits", "accuracy")}
    found = {
        kind: [float(value) for name, value in logs.items() if name.startswith(start) and name.endswith(end)]
        for kind, (start, end) in kinds.items()
    }
    # Keras does not name a single output.
    means = {kind: float(logs[kind]) for kind in ("loss", "accuracy") if kind in logs}
    return means | {kind: float(np.mean(values)) for kind, values in found.items() if values}
