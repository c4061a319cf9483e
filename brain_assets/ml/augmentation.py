"""Geometric augmentation: each copy is one affine warp of its original."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from brain_assets.ml.ingestion import in_threads
from brain_core.errors import SettingsError

MAX_SHEAR_DEGREES = 10.0


@dataclass(frozen=True)
class AugmentationConfig:
    """How far a copy may be from its original; each range is drawn uniformly from minus to plus the value.

    Attributes:
        copies: of each image; 0 makes none.
        rotation_degrees: about the centre.
        shift_share: of width and of height.
        shear_degrees: at most 10.
        zoom_share: 0.1 is a zoom in [0.9, 1.1], one factor for both axes.
        horizontal_flip: mirror every other copy on average.
        seed: the same seed makes the same copies, whatever the number of threads.

    Raises:
        SettingsError: a value is out of its range.
    """

    copies: int = 1
    rotation_degrees: float = 12.0
    shift_share: float = 0.06
    shear_degrees: float = 6.0
    zoom_share: float = 0.1
    horizontal_flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "copies": np.inf,
            "rotation_degrees": 180.0,
            "shift_share": 0.5,
            "shear_degrees": MAX_SHEAR_DEGREES,
            "zoom_share": 0.5,
        }
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SettingsError(f"The augmentation's {name} is {value}; it must lie in [0, {limit:g}].")


def augment(
    images: NDArray[np.uint8], labels: NDArray[np.int64], config: AugmentationConfig
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The originals followed by their copies, in the same order.

    Pixels from outside the original take the nearest edge's value; in between, values are interpolated bilinearly.

    Args:
        images: uint8 (N, S, S, 1).
        labels: int64 (N,).
        config: what to do.

    Returns:
        uint8 (N * (1 + copies), S, S, 1) and int64 (N * (1 + copies),).
    """
    count = len(images)
    augmented = np.empty((count * (1 + config.copies), *images.shape[1:]), dtype=np.uint8)
    augmented[:count] = images

    def fill(job: tuple[int, NDArray[np.float64]]) -> None:
        index, matrix = job
        # Each copy has its own place and its own matrix: the order of the threads cannot matter.
        _warp(images[index % count, ..., 0], matrix, augmented[index, ..., 0])

    for _ in in_threads(fill, _jobs(count, config)):
        pass
    return augmented, np.tile(labels, 1 + config.copies)


def _jobs(count: int, config: AugmentationConfig) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for copy in range(1, config.copies + 1):
        for index in range(count):
            yield copy * count + index, _matrix(np.random.default_rng([config.seed, copy, index]), config)


def _matrix(rng: Generator, config: AugmentationConfig) -> NDArray[np.float64]:
    """From a pixel of the copy to one of the original: (2, 3), rows then columns, lengths as shares of the size."""
    turn, shear, zoom, down, across, flip = rng.uniform(-1, 1, 6)
    angle = np.deg2rad(turn * config.rotation_degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1.0, 0.0], [np.tan(np.deg2rad(shear * config.shear_degrees)), 1.0]])
    mirror = np.diag([1.0, -1.0 if config.horizontal_flip and flip < 0 else 1.0])
    linear = rotation @ slant @ mirror / (1.0 + zoom * config.zoom_share)
    return np.column_stack([linear, np.array([down, across]) * config.shift_share])


def _warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], output: NDArray[np.uint8]) -> None:
    size = np.array(image.shape)
    centre = (size - 1) / 2
    linear, shift = matrix[:, :2], matrix[:, 2] * size
    ndimage.affine_transform(image, linear, centre - linear @ centre + shift, output=output, order=1, mode="nearest")
