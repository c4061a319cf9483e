"""One small trained model for the session, on drawn textures that a small network learns in seconds."""

from dataclasses import dataclass

import numpy as np
import pytest

from brain_assets.ml.trainer import Attempt
from brain_assets.ml.training import TrainedWeights, train
from brain_assets.ml.training_data import TrainingConfig, TrainingData
from brain_core.labels import CLASSES

SIZE = 32
QUICK = TrainingConfig(architecture="compact_cnn", epochs=4, min_steps=1, batch_size=16, patience=4, variation=0.2)


def textures(count: int, seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Noise, a disc, horizontal and vertical stripes in turn: uint8 (count, size, size, 1) and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    rows, columns = np.mgrid[:size, :size]
    images = rng.integers(40, 80, (count, size, size))
    for image, label in zip(images, labels, strict=True):
        x, y = rng.integers(size // 4, 3 * size // 4, 2)
        marks = [rows < 0, (rows - y) ** 2 + (columns - x) ** 2 < 36, (rows + y) % 8 < 4, (columns + x) % 8 < 4]
        image[marks[label]] += 100
    return images.astype(np.uint8)[..., np.newaxis], labels.astype(np.int64)


def texture_data(count: int = 96) -> TrainingData:
    """Textures to train on and a third as many to tune on."""
    return TrainingData(*textures(count, seed=1), *textures(count // 3, seed=2))


@dataclass(frozen=True)
class QuickTraining:
    """What was trained on, what came out, and what the callback was told."""

    data: TrainingData
    trained: TrainedWeights
    told: list[tuple[int, int, dict[str, float]]]


@pytest.fixture(scope="session")
def quick_training() -> QuickTraining:
    """A training of a few seconds; its model tells the textures apart."""
    told: list[tuple[int, int, dict[str, float]]] = []
    data = texture_data()
    trained = train(data, QUICK, Attempt(lambda *told_of: told.append(told_of)))
    return QuickTraining(data, trained, told)
