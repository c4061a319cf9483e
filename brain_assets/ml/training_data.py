"""What a training is given: the images, and how to train on them."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brain_assets.shards import ImageArray
from brain_core.errors import TrainingError
from brain_core.labels import CLASSES

NO_GROUP = -1
"""Group of an image that is a copy of no other that is known."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        architecture: a name of `model.ARCHITECTURES`.
        initial: weights to start from: `imagenet` where the network has such weights, or `scratch`.
        epochs: at most so many passes over the duplicate groups; more where these would be fewer steps than
            `min_steps`.
        min_steps: a small data set is passed over as often as so many steps take.
        batch_size: images in a step.
        learning_rate: greatest rate; it rises over the first tenth of the steps and falls as a cosine.
        weight_decay: of AdamW.
        patience: epochs of the second half without a lower validation loss after which training ends.
        cell_weight: of the loss of the cells against that of the image; 0 leaves the boxes out.
        variation: multiplies every range of `variation.VariationConfig`; 0 only mirrors.
        seed: of weights, order and variation.
    """

    architecture: str = "twin_map"
    initial: Literal["imagenet", "scratch"] = "imagenet"
    epochs: int = 26
    min_steps: int = 120
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 3e-2
    patience: int = 12
    cell_weight: float = 1.0
    variation: float = 1.0
    seed: int = 0


SAMPLE_DEFAULTS = {"architecture": "compact_cnn", "epochs": 10}
"""Drawn slices are learned by a small network in seconds; nobody should wait for more at the first start."""


RETRAINING_DEFAULTS = {"epochs": 5, "learning_rate": 4e-4, "min_steps": 100}
"""From the champion's weights there is less to learn, and much to lose at the rate of a first training."""


def config_for(source: str, is_retraining: bool = False, **changes: Any) -> TrainingConfig:
    """The defaults for images of a source (`sample`, `public` or `own`), with what is to be otherwise.

    Args:
        source: of the images.
        is_retraining: whether training starts from the champion's weights.
        **changes: other values than the defaults.
    """
    defaults = {
        **(SAMPLE_DEFAULTS if source == "sample" else {}),
        **(RETRAINING_DEFAULTS if is_retraining else {}),
    }
    return TrainingConfig(**{**defaults, **changes})


@dataclass(frozen=True)
class TrainingData:
    """What to train on and what to tune on.

    Attributes:
        images: uint8 (N, S, S, 1), see `imaging.model_tensor`; only a batch at a time is asked for.
        labels: int64 (N,), indices into `labels.CLASSES`.
        validation_images: uint8 (M, S, S, 1).
        validation_labels: int64 (M,).
        boxes: float32 (N, 4): x0, y0, x1, y1 of the tumour as fractions of the image, NaN where unknown. Where they are
            known, the model also learns where to look.
        groups: int64 (N,), the duplicate group of each image; an epoch shows one image of a group. `NO_GROUP` is a
            group of one.
        validation_groups: int64 (M,); each group counts as one image.
        weights: float64 (N,), what each image counts in the loss beside the balance of the classes; 1 without.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    validation_images: ImageArray
    validation_labels: NDArray[np.int64]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 4), np.float32))
    groups: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    validation_groups: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if len(self.boxes) == 0:
            object.__setattr__(self, "boxes", np.full((len(self.labels), 4), np.nan, np.float32))
        if len(self.groups) == 0:
            object.__setattr__(self, "groups", np.full(len(self.labels), NO_GROUP))
        if len(self.validation_groups) == 0:
            object.__setattr__(self, "validation_groups", np.full(len(self.validation_labels), NO_GROUP))
        if len(self.weights) == 0:
            object.__setattr__(self, "weights", np.ones(len(self.labels)))

    @property
    def validation_weights(self) -> NDArray[np.float64]:
        """What each validation image counts, float64 (M,): the images of a group together as much as one."""
        numbers, counts = np.unique(self.validation_groups, return_counts=True)
        shares = 1 / counts[np.searchsorted(numbers, self.validation_groups)]
        return np.where(self.validation_groups == NO_GROUP, 1.0, shares)


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


def check(data: TrainingData) -> None:
    """Refuse data that nothing can be learned from.

    Raises:
        TrainingError: a class has no images, or the validation set is empty.
    """
    class_weights(data.labels)
    if len(data.validation_labels) == 0:
        raise TrainingError("The validation set is empty. Add images to the source, or raise the validation share.")
