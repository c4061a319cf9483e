"""The replaced system's network, trained and judged on the same images for comparison; never exported or registered."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.asset_store import ImageSet
from brain_assets.ml.confidence import softmax
from brain_assets.ml.evaluation import BATCH, Answers, JudgedModel, Predictor
from brain_assets.ml.evaluation_report import FIGURES_FILE, judged_charts
from brain_assets.ml.heap import keep_freed_memory
from brain_assets.ml.metrics_table import BASELINE as ROLE
from brain_assets.ml.metrics_table import ROLE_TAG
from brain_assets.ml.model import BASELINE, build_model
from brain_assets.ml.training_data import class_weights
from brain_core.errors import TrainingError

if TYPE_CHECKING:
    import keras

ROLE_TAGS = {ROLE_TAG: ROLE}
"""Of the MLflow run, so that the metrics table finds it."""


@dataclass(frozen=True)
class BaselineConfig:
    """How the replaced system trained.

    Attributes:
        epochs: passes over the images.
        batch_size: images in a step.
        learning_rate: of Adam.
        beta_1: of Adam.
        beta_2: of Adam.
        seed: of weights and order.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 0.001
    beta_1: float = 0.85
    beta_2: float = 0.9925
    seed: int = 0


def train_baseline(
    images: ImageSet, config: BaselineConfig, on_epoch: Callable[[int, dict[str, float]], None]
) -> "keras.Model":
    """Train `original_cnn` with Adam and the plain cross-entropy.

    Args:
        images: what to train on.
        config: how.
        on_epoch: told of every epoch, from 1, with its `loss` and `accuracy`.

    Raises:
        TrainingError: a class has no images, or the loss is not finite.
    """
    import keras

    # Refuses a class without images.
    class_weights(images.labels)
    keep_freed_memory()
    keras.utils.set_random_seed(config.seed)
    model = build_model(BASELINE, images.images.shape[1])
    trained = keras.Model(model.inputs, model.output["logits"])
    trained.compile(
        keras.optimizers.Adam(config.learning_rate, beta_1=config.beta_1, beta_2=config.beta_2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA takes seconds to compile and makes no step faster.
        jit_compile=False,
    )
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: _told(on_epoch, epoch + 1, logs))
    trained.fit(_batches(images, config), epochs=config.epochs, callbacks=[watch], verbose=0)
    return model


def baseline_predictor(model: "keras.Model") -> Predictor:
    """Runs the network; it has no class map and no temperature."""

    def predict(images: NDArray[np.uint8]) -> Answers:
        logits = model.predict(images, batch_size=BATCH, verbose=0)["logits"]
        return Answers(softmax(logits).astype(np.float32), maps=None)

    return predict


def baseline_files(judged: JudgedModel) -> dict[str, bytes]:
    """Figures and charts for MLflow, by name."""
    figures = json.dumps(judged.evaluation.as_dict(), indent=2)
    return {FIGURES_FILE: figures.encode(), **judged_charts(judged, temperature=1.0)}


def _told(on_epoch: Callable[[int, dict[str, float]], None], epoch: int, logs: dict[str, float]) -> None:
    if not math.isfinite(logs["loss"]):
        raise TrainingError(f"The baseline's loss became {logs['loss']} in epoch {epoch}. Take another seed.")
    on_epoch(epoch, {name: float(value) for name, value in logs.items()})


def _batches(images: ImageSet, config: BaselineConfig) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Shuffled batches; only the images of a batch are read at a time."""

        def __init__(self) -> None:
            super().__init__()
            self._rng = np.random.default_rng(config.seed)
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(images) / config.batch_size)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            rows = np.sort(self._order[index * config.batch_size : (index + 1) * config.batch_size])
            return images.images[rows], images.labels[rows]

        def on_epoch_end(self) -> None:
            self._order = self._rng.permutation(len(images))

    return Batches()
