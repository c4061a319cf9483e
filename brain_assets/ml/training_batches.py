"""What the network sees in an epoch: one image of every duplicate group, each varied anew."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.localisation import cell_targets
from brain_assets.ml.training_data import TrainingData, class_weights
from brain_assets.ml.variation import VariationConfig, vary
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    import keras


def group_rows(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each duplicate group, in the order of their first row; rows of group -1 are groups of their own."""
    alone = groups < 0
    numbers = np.where(alone, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    order = np.argsort(numbers, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)) if len(groups) else []


def chosen_rows(rows: list[NDArray[np.int64]], seed: int, epoch: int) -> NDArray[np.int64]:
    """One row of each group, shuffled: int64 (G,), the same for the same seed and epoch."""
    rng = np.random.default_rng((seed, epoch))
    draws = rng.random(len(rows))
    picked = [group[int(draw * len(group))] for group, draw in zip(rows, draws, strict=True)]
    return rng.permutation(np.array(picked, dtype=np.int64))


@dataclass(frozen=True)
class BatchOptions:
    """What the batches hold.

    Attributes:
        batch_size: images in a batch.
        seed: of order and variation.
        variation: how far an image may be from its original.
        cells: height and width of the class map in cells.
        heads: names of the outputs that learn, see `learning_heads`.
    """

    batch_size: int
    seed: int
    variation: VariationConfig
    cells: tuple[int, int]
    heads: tuple[str, ...] = ("logits", "cells")


def learning_heads(outputs: Iterable[str]) -> tuple[str, ...]:
    """Names of a network's outputs that have a loss: those of its members where it has several, else its own."""
    names = list(outputs)
    members = tuple(name for name in names if name.startswith(("logits_", "cells_")))
    return members or tuple(name for name in names if name in {"logits", "cells"})


def training_batches(data: TrainingData, options: BatchOptions) -> "keras.utils.PyDataset":
    """Shuffled batches of an epoch, the same for the same seed; `start_at` goes on in a later one."""
    import keras

    batch_size, seed = options.batch_size, options.seed
    rows = group_rows(data.groups)
    by_class = class_weights(data.labels[[group[0] for group in rows]])
    weights = np.array([by_class[index] for index in range(len(CLASSES))])

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """One image of every group."""

        def __init__(self) -> None:
            super().__init__()
            self.start_at(0)

        def start_at(self, epoch: int) -> None:
            """Go on with this epoch, from 0."""
            self.epoch = epoch
            self.order = chosen_rows(rows, seed, epoch)

        def __len__(self) -> int:
            return math.ceil(len(rows) / batch_size)

        def __getitem__(self, index: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
            # In their order on disk.
            chosen = np.sort(self.order[index * batch_size : (index + 1) * batch_size])
            rng = np.random.default_rng((seed, self.epoch, index))
            images, boxes = vary(data.images[chosen], data.boxes[chosen], options.variation, rng)
            labels = data.labels[chosen]
            cells = cell_targets(boxes, labels, options.cells)
            targets = {name: cells if name.startswith("cells") else labels for name in options.heads}
            return images, targets, dict.fromkeys(targets, weights[labels] * data.weights[chosen])

        def on_epoch_end(self) -> None:
            self.start_at(self.epoch + 1)

    return Batches()
